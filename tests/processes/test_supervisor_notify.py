"""The agent's notify client, against real sockets."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harmony_fleet.agent.notify import Notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    name = f"@harmony-fleet-test-{os.getpid()}" if request.param == "abstract" else "/"
    name = str(tmp_path / "notify") if name == "/" else name
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(name.replace("@", "\0"))
        sock.settimeout(5)
        yield name, sock


def test_ready_and_alive_reach_the_manager(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    notify = Notify({"NOTIFY_SOCKET": name})
    notify.ready()
    notify.alive()
    assert (sock.recv(100), sock.recv(100)) == (b"READY=1", b"WATCHDOG=1")


@pytest.mark.parametrize("name", ["", "/nowhere/at/all", "@nobody-listens", "relative", "/" * 200])
def test_a_manager_that_is_not_there_is_no_trouble(name: str) -> None:
    Notify({"NOTIFY_SOCKET": name}).ready()
    Notify({}).alive()


def test_a_manager_that_does_not_read_is_not_waited_for(
    manager: tuple[str, socket.socket],
) -> None:
    name, _ = manager
    notify = Notify({"NOTIFY_SOCKET": name})
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            _fill(other, name.replace("@", "\0"))
    notify.alive()


def _fill(sock: socket.socket, address: str) -> None:
    while True:
        sock.sendto(b"x", address)


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
    ],
)
def test_the_watchdog_is_the_managers_or_none(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    assert Notify(environment).watchdog_s == watchdog_s
