"""What a replica that does not lead makes of a leader that cannot be asked, or does not answer."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import cast

import httpx
import pytest

from harmony_fleet.operator.kubernetes.front import Front
from harmony_fleet.operator.kubernetes.replica import Leading, Replica


@dataclass
class Follower:
    """As much of a replica as a front looks at."""

    leader_address: str
    leading: Leading | None = None
    ready: bool = True


async def ask(address: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as others:
        replica = cast("Replica", Follower(address))
        front = Front(replica, lambda _: pytest.fail("it does not lead"), others, "harmony-fleet")
        over = httpx.ASGITransport(front)
        async with httpx.AsyncClient(transport=over, base_url="http://h") as client:
            return await client.post("/api/v1/upgrades", json={"version": "1.1.0"})


@contextmanager
def leader_that_breaks_off() -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def take_and_leave() -> None:
            taken, _ = server.accept()
            taken.recv(65536)
            taken.close()

        thread = threading.Thread(target=take_and_leave)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_without_a_leader_nothing_was_done_and_it_may_be_asked_again() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    for address in ("", gone):
        answer = asyncio.run(ask(address))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["error"]["kind"] == "not_leading"


def test_a_leader_that_took_the_order_and_is_gone_may_have_carried_it_out() -> None:
    with leader_that_breaks_off() as address:
        answer = asyncio.run(ask(address))
    assert answer.status_code == 503
    assert "Retry-After" not in answer.headers
    assert answer.json()["error"]["kind"] == "unanswered"
