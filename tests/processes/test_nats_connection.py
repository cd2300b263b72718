import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from tests.processes.nats_fixture import (
    IMPATIENT,
    QUICK,
    MessagePlane,
    connected,
    running_nats,
    until,
)

from harmony_fleet.contracts.subjects import MARKER_BUCKET, STATUS_BUCKET
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import (
    Endpoint,
    Message,
    NoResponders,
    Plane,
    PlaneUnreachable,
    RequestRefused,
    RequestTimedOut,
)
from harmony_fleet.messaging.supervision import keep_connected


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def with_operator(folder: Path, use: Callable[[MessagePlane, Plane], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running_nats(folder) as nats, nats.operator() as operator:
            await use(nats, operator)

    asyncio.run(run())


class Heard:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


@asynccontextmanager
async def frozen(pid: int) -> AsyncIterator[None]:
    def stopped() -> bool:
        stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    os.kill(pid, signal.SIGSTOP)
    try:
        await until(stopped)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_plane_connects_once_its_server_is_there(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        async with running_nats(tmp_path, port) as nats:
            endpoint = nats.operator_endpoint()
        plane = Plane(endpoint, QUICK)
        await plane.start()
        assert not await plane.wait_connected(0.1)
        assert (plane.connected, plane.epoch) == (False, 0)
        async with running_nats(tmp_path, port):
            assert await plane.wait_connected(2)
            assert plane.epoch == 1
            await plane.close()

    asyncio.run(run())


def test_after_a_restart_of_the_server_it_is_connected_again_and_still_subscribed(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        port, heard, told = free_port(), Heard(), list[str]()
        async with running_nats(tmp_path, port) as nats:
            plane = Plane(nats.operator_endpoint(), QUICK)
            plane.on_connect(lambda: told.append(f"up {plane.epoch}"))
            plane.on_disconnect(lambda: told.append("down"))
            await plane.subscribe("news", heard)
            await plane.start()
            assert await plane.wait_connected(2)
            await plane.publish("news", b"before")
            await until(lambda: heard.payloads == [b"before"])
        await until(lambda: told == ["up 1", "down"])
        async with running_nats(tmp_path, port):
            assert await plane.wait_connected(2)
            await plane.publish("news", b"after")
            await until(lambda: heard.payloads == [b"before", b"after"])
            await until(lambda: told == ["up 1", "down", "up 2"])
            assert plane.epoch == 2
            await plane.close()
        assert told == ["up 1", "down", "up 2"]

    asyncio.run(run())


def test_a_client_whose_end_is_cut_short_leaves_no_open_connection(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats:
            up = asyncio.Queue[Client]()
            keeping = asyncio.create_task(
                keep_connected(nats.operator_endpoint(), QUICK, up.put, lambda: None)
            )
            client = await up.get()
            keeping.cancel()
            await asyncio.sleep(0)  # it has begun to close its connection
            keeping.cancel()
            await asyncio.wait([keeping])
            assert getattr(client._transport, "_io_writer").is_closing()  # noqa: B009 - untyped

    asyncio.run(run())


def test_what_was_published_while_disconnected_raises_and_is_never_sent(tmp_path: Path) -> None:
    async def run() -> None:
        port, heard = free_port(), Heard()
        async with running_nats(tmp_path, port) as nats:
            plane = Plane(nats.operator_endpoint(), QUICK)
            await plane.start()
            await plane.wait_connected(2)
        await until(lambda: not plane.connected)
        with pytest.raises(PlaneUnreachable):
            await plane.publish("news", b"lost")
        with pytest.raises(PlaneUnreachable):
            await plane.request("news", b"lost", 1)
        with pytest.raises(PlaneUnreachable):
            await keyvalue.put_if(plane, MARKER_BUCKET, "pi-1", b"lost", 0, 1)
        async with running_nats(tmp_path, port) as nats, nats.operator() as other:
            await other.subscribe("news", heard)
            await other.flush(2)
            assert await plane.wait_connected(2)
            await plane.publish("news", b"sent")
            await until(lambda: heard.payloads == [b"sent"])
            assert await keyvalue.get(other, MARKER_BUCKET, "pi-1", 1) is None
            await plane.close()

    asyncio.run(run())


@pytest.mark.parametrize("published", [0, 400], ids=["an idle socket", "a full socket"])
def test_a_frozen_server_is_noticed_and_found_again(tmp_path: Path, published: int) -> None:
    async def use(nats: MessagePlane, operator: Plane) -> None:
        heard, told = Heard(), list[str]()
        async with connected(nats.operator_endpoint(), IMPATIENT) as plane:
            plane.on_disconnect(lambda: told.append("down"))
            async with frozen(nats.server.pid):
                for _ in range(published):
                    await plane.publish("news", bytes(60_000))
                begun = time.monotonic()
                await until(lambda: told == ["down"], 4)
                assert time.monotonic() - begun < 2
            await until(lambda: plane.connected and plane.epoch == 2)
            await until(lambda: operator.connected)
            await operator.subscribe("news", heard)
            await operator.flush(2)
            await plane.publish("news", b"again")
            await until(lambda: heard.payloads[-1:] == [b"again"])

    with_operator(tmp_path, use)


def test_a_socket_that_a_frozen_server_never_drains_is_given_back(tmp_path: Path) -> None:
    def sockets() -> int:
        return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())

    async def run() -> None:
        async with (
            running_nats(tmp_path) as nats,
            connected(nats.operator_endpoint(), IMPATIENT) as plane,
        ):
            before = sockets()
            async with frozen(nats.server.pid):
                for _ in range(400):
                    await plane.publish("news", bytes(60_000))
                await until(lambda: sockets() < before)

    asyncio.run(run())


def test_a_client_that_the_server_threw_out_is_built_anew(tmp_path: Path) -> None:
    async def use(nats: MessagePlane, _: Plane) -> None:
        async with nats.device("pi-1") as device, system(nats) as administrator:
            await throw_out(administrator, "pi-1")
            await until(lambda: device.epoch == 2 and device.connected)
            await keyvalue.put(device, STATUS_BUCKET, "pi-1", b"back", 2)

    with_operator(tmp_path, use)


@asynccontextmanager
async def system(nats: MessagePlane) -> AsyncIterator[Plane]:
    credentials = nats.server.accounts.system_credentials
    endpoint = Endpoint((nats.server.url,), credentials, "system", "_INBOX_system")
    async with connected(endpoint) as plane:
        yield plane


async def throw_out(administrator: Plane, name: str) -> None:
    answer = await asked(administrator, "$SYS.REQ.SERVER.PING.CONNZ", {"auth": True})
    server = answer["server"]["id"]
    (cid,) = (c["cid"] for c in answer["data"]["connections"] if c.get("name") == name)
    await asked(administrator, f"$SYS.REQ.SERVER.{server}.KICK", {"cid": cid})


async def asked(administrator: Plane, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await administrator.request(subject, json.dumps(body).encode(), 2)
    content: dict[str, Any] = json.loads(answer.payload)
    return content


def test_an_expired_jwt_ends_the_connection_but_not_the_attempts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refusals() -> int:
        return sum("cannot connect" in record.message for record in caplog.records)

    async def use(nats: MessagePlane, _: Plane) -> None:
        soon = int(datetime.now(UTC).timestamp()) + 2
        async with connected(nats.device_endpoint("pi-1", soon)) as device:
            await until(lambda: not device.connected, 4)
            await until(lambda: refusals() >= 2)
            assert not device.connected

    with caplog.at_level(logging.WARNING):
        with_operator(tmp_path, use)


def test_wrong_credentials_never_connect_and_do_no_harm(tmp_path: Path) -> None:
    async def use(nats: MessagePlane, _: Plane) -> None:
        one, other = nats.device_endpoint("pi-1"), nats.device_endpoint("pi-2")
        mixed = replace(one.credentials, seed=other.credentials.seed)
        plane = Plane(replace(one, credentials=mixed), QUICK)
        await plane.start()
        assert not await plane.wait_connected(0.3)
        await plane.close()
        assert plane.epoch == 0

    with_operator(tmp_path, use)


def test_no_error_of_a_handler_or_a_callback_ends_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(nats: MessagePlane, _: Plane) -> None:
        handled, told = list[bytes](), list[str]()

        async def stumble(message: Message) -> None:
            handled.append(message.payload)
            raise RuntimeError("a handler stumbled")

        async def fall() -> None:
            raise RuntimeError("a callback fell")

        plane = Plane(nats.operator_endpoint(), QUICK)
        plane.on_connect(fall)
        plane.on_connect(lambda: told.append("up"))
        await plane.subscribe("news", stumble)
        await plane.start()
        await plane.wait_connected(2)
        for number in range(3):
            await plane.publish("news", b"%d" % number)
        await until(lambda: handled == [b"0", b"1", b"2"] and told == ["up"])
        assert (plane.connected, plane.epoch) == (True, 1)
        await plane.close()

    with_operator(tmp_path, use)
    assert "a handler stumbled" in caplog.text
    assert "a callback fell" in caplog.text


def test_a_handler_that_runs_when_the_connection_is_lost_is_left_to_finish(
    tmp_path: Path,
) -> None:
    async def use(nats: MessagePlane, operator: Plane) -> None:
        go_on, begun, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def commit(_: Message) -> None:
            begun.set()
            await go_on.wait()
            finished.set()

        async with nats.device("pi-1") as device, system(nats) as administrator:
            await device.subscribe("device-cmd.pi-1", commit)
            await device.flush(2)
            await operator.publish("device-cmd.pi-1", b"stop")
            await asyncio.wait_for(begun.wait(), 2)
            await throw_out(administrator, "pi-1")
            await until(lambda: device.epoch == 2)
            go_on.set()
            await asyncio.wait_for(finished.wait(), 2)

    with_operator(tmp_path, use)


def test_each_way_of_getting_no_answer_has_an_error_of_its_own(tmp_path: Path) -> None:
    async def use(_: MessagePlane, operator: Plane) -> None:
        with pytest.raises(NoResponders):
            await operator.request("nobody.home", b"", 2)
        await operator.subscribe("slow", Heard())
        with pytest.raises(RequestTimedOut):
            await operator.request("slow", b"", 0.05)
        for malformed in ("", "a b", "a\r\nPUB b 0\r\n"):
            with pytest.raises(RequestRefused):
                await operator.publish(malformed, b"")
            with pytest.raises(RequestRefused):
                await operator.subscribe(malformed, Heard())
        with pytest.raises(RequestRefused):
            await operator.publish("news", bytes(2**20 + 1))
        with pytest.raises(RequestRefused):
            await operator.publish("news", b"", {"not a header": "x"})
        assert operator.connected

    with_operator(tmp_path, use)


def test_a_batch_of_a_stream_that_is_not_there_ends_at_once_with_503(tmp_path: Path) -> None:
    """The server's own 503 names a subject, as a stored value does."""

    async def use(_nats: MessagePlane, operator: Plane) -> None:
        subject = "$JS.API.DIRECT.GET.KV_nothing"
        async with asyncio.timeout(20):
            (answer,) = await operator.request_all(subject, b'{"seq":1,"batch":5}', 3600)
        assert answer.status == "503"

    with_operator(tmp_path, use)


@pytest.mark.parametrize("ask", [Plane.request, Plane.request_all])
def test_a_request_ends_with_the_connection_that_it_was_asked_on(
    tmp_path: Path, ask: Callable[[Plane, str, bytes, float], Coroutine[Any, Any, object]]
) -> None:
    """Its time-out may be long, and whoever asks again can do so as soon as the plane is back."""

    async def use(nats: MessagePlane, operator: Plane) -> None:
        heard = Heard()
        await operator.subscribe("silent.service", heard)
        asking = asyncio.create_task(ask(operator, "silent.service", b"", 3600))
        await until(lambda: bool(heard.messages))
        os.kill(nats.server.pid, signal.SIGKILL)
        with pytest.raises(RequestTimedOut, match="connection was lost"):
            await asyncio.wait_for(asking, 30)

    with_operator(tmp_path, use)


def test_what_was_published_before_closing_is_sent(tmp_path: Path) -> None:
    async def use(nats: MessagePlane, operator: Plane) -> None:
        heard = Heard()
        await operator.subscribe("news", heard)
        await operator.flush(2)
        async with connected(nats.operator_endpoint()) as plane:
            for number in range(100):
                await plane.publish("news", b"%d" % number)
        await until(lambda: len(heard.messages) == 100)

    with_operator(tmp_path, use)


def test_a_flush_that_timed_out_does_no_harm_to_what_follows(tmp_path: Path) -> None:
    async def use(nats: MessagePlane, operator: Plane) -> None:
        async with connected(nats.operator_endpoint()) as plane:
            async with frozen(nats.server.pid):
                with pytest.raises(RequestTimedOut):
                    await plane.flush(0.05)
            await plane.flush(2)
            await plane.request("$JS.API.INFO", b"", 2)
            assert plane.epoch == 1

    with_operator(tmp_path, use)


def test_headers_and_the_reply_subject_arrive_as_they_were_sent(tmp_path: Path) -> None:
    async def use(_: MessagePlane, operator: Plane) -> None:
        heard = Heard()
        await operator.subscribe("news.*", heard)
        await operator.publish("news.a", b"x", {"Kind": "One", "kind": "two"}, reply="back.to")
        await until(lambda: len(heard.messages) == 1)
        (message,) = heard.messages
        assert (message.subject, message.reply) == ("news.a", "back.to")
        assert dict(message.headers) == {"Kind": "One", "kind": "two"}

    with_operator(tmp_path, use)


def test_messaging_needs_nothing_but_nats_py_and_the_standard_library() -> None:
    program = (
        "import sys; import harmony_fleet.messaging.keyvalue;"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    allowed = {"harmony_fleet", "nats", "__main__"}
    found = {name for name in ran.stdout.split() if not name.startswith(("__editable__", "_"))}
    assert found - allowed <= {"distutils-precedence", "sitecustomize"}
