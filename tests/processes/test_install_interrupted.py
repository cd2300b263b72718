"""Whatever asks `fleet device install` to end, Ansible ends with it, and nothing is left."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from soak.device import mentioning
from tests.processes.stand_in_api import Script, standing
from tests.processes.test_cli_install import script

__all__ = ["script"]
AS_BY_A_TERMINAL = ("env", "--default-signal=HUP,INT")
"""Whoever runs the tests in the background, or by nohup, has it ignore these."""
PROGRAM = "from harmony_fleet.cli.main import run; run()"
CASES = [
    (signal.SIGTERM, "install"),
    pytest.param(signal.SIGHUP, "uninstall", marks=pytest.mark.e2e),
    pytest.param(signal.SIGINT, "install", marks=pytest.mark.e2e),
]


@contextmanager
def silent_host() -> Iterator[socket.socket]:
    """One that takes a connection, and says nothing on it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(60)
        yield server


@contextmanager
def reaching(data: Path, command: str, *before: str) -> Iterator["subprocess.Popen[str]"]:
    """A real one, while it waits for the host's first word. Only it gets a signal, no group."""
    folder = data.parent / "tmp"
    folder.mkdir()
    with silent_host() as server:
        port = str(server.getsockname()[1])
        words = ("device", command, "127.0.0.1=pi", "--port", port, "--data", str(data))
        process = subprocess.Popen(
            [*AS_BY_A_TERMINAL, *before, sys.executable, "-c", PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(folder)},
            start_new_session=True,
        )
        with process, server.accept()[0]:
            yield process


def left(data: Path) -> list[str]:
    folder = data.parent / "tmp"
    return [*map(str, folder.iterdir()), *mentioning(f"{folder}/").values()]


@pytest.mark.parametrize(("number", "command"), CASES)
def test_each_signal_that_asks_it_to_end_ends_ansible_too(
    tmp_path: Path, script: Script, number: signal.Signals, command: str
) -> None:
    data = tmp_path / "data"
    with standing(data, script), reaching(data, command) as process:
        assert left(data)
        process.send_signal(number)
        process.send_signal(number)  # as a terminal that closes does; it hurries nothing
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "by a second run" in said
        assert left(data) == []


@pytest.mark.e2e
def test_one_that_was_started_by_nohup_is_not_ended_by_its_terminal(
    tmp_path: Path, script: Script
) -> None:
    data = tmp_path / "data"
    with standing(data, script), reaching(data, "uninstall", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "1 of 1 device failed" in said
        assert left(data) == []
