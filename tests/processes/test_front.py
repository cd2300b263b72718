"""What a replica that does not lead makes of a leader that cannot be asked, or does not answer."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import cast

import httpx
import pytest

from harmony_fleet.operator.http_server import listen, serving
from harmony_fleet.operator.kubernetes.front import Front
from harmony_fleet.operator.kubernetes.replica import Leading, Replica

LIMIT_S = 10.0


@dataclass
class Follower:
    """As much of a replica as a front looks at."""

    leader_address: str
    leading: Leading | None = None
    ready: bool = True


@asynccontextmanager
async def front_before(address: str) -> AsyncIterator[Front]:
    async with httpx.AsyncClient(trust_env=False) as others:
        replica = cast("Replica", Follower(address))
        yield Front(replica, lambda _: pytest.fail("it does not lead"), others, "harmony-fleet")


async def ask(address: str) -> httpx.Response:
    async with front_before(address) as front:
        over = httpx.ASGITransport(front)
        async with httpx.AsyncClient(transport=over, base_url="http://h") as client:
            return await client.post("/api/v1/upgrades", json={"version": "1.1.0"})


async def ask_in_bytes(address: str, asked: bytes) -> bytes:
    async with front_before(address) as front:
        listener = listen("127.0.0.1", 0)
        async with serving(front, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(asked)
            async with asyncio.timeout(LIMIT_S):
                answer = await reader.read()
            writer.close()
            return answer


@contextmanager
def leader_that_listens() -> Iterator[tuple[str, list[bytes]]]:
    """It answers one request, which is kept."""
    heard: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def take_and_answer() -> None:
            taken, _ = server.accept()
            with closing(taken):
                heard.append(taken.recv(65536))
                taken.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=take_and_answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard


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


@pytest.mark.parametrize("path", [b"/api/v1/devices/a%00b", b"/a%2Fb%3Fc?d=%20", b"//elsewhere/a"])
def test_path_and_headers_are_passed_on_as_they_came(path: bytes) -> None:
    with leader_that_listens() as (address, heard):
        asked = b"GET %s HTTP/1.1\r\nHost: h\r\nNote: \xff\xfe\r\nConnection: close\r\n\r\n" % path
        answer = asyncio.run(ask_in_bytes(address, asked))
    assert answer.startswith(b"HTTP/1.1 204")
    assert heard[0].startswith(b"GET %s HTTP/1.1\r\n" % path)
    assert b"note: \xff\xfe\r\n" in heard[0]


def test_what_is_no_path_is_refused_and_asked_of_nobody() -> None:
    with leader_that_listens() as (address, heard):
        asked = b"GET @elsewhere/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        answer = asyncio.run(ask_in_bytes(address, asked))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"bad_request" in answer
    assert not heard
