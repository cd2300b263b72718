"""The message plane under TLS: who is believed, who is not, and what a loss leaves open."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.client import Client
from tests.processes.nats_fixture import (
    IMPATIENT,
    QUICK,
    MessagePlane,
    connected,
    running_nats,
    under_tls,
    until,
)
from tests.processes.test_nats_connection import Heard, free_port, frozen

from harmony_fleet.contracts.subjects import STATUS_BUCKET
from harmony_fleet.embedded.certificates import Certificates
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Endpoint, Plane, PlaneUnreachable
from harmony_fleet.messaging.supervision import keep_connected


def sockets() -> int:
    return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())


@asynccontextmanager
async def secured(folder: Path, port: int = 0, *names: str) -> AsyncIterator[MessagePlane]:
    listening = under_tls(folder / "tls", *names)
    async with running_nats(folder / "nats", port, listening=listening) as nats:
        yield nats


def ended(pid: int) -> None:
    """Returns once its sockets are closed: it is a zombie, or a thread of asyncio has reaped it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            os.sched_yield()


def another_authority(folder: Path) -> Path:
    return Certificates.open(folder / "another", ["127.0.0.1"]).ca


async def told(endpoint: Endpoint, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """It says that, and never connects."""
    caplog.clear()
    plane = Plane(endpoint, QUICK)
    await plane.start()
    try:
        await until(lambda: words in caplog.text)
        assert plane.epoch == 0
    finally:
        await plane.close()


def test_a_device_and_the_operator_talk_under_tls(tmp_path: Path) -> None:
    async def run() -> None:
        async with secured(tmp_path) as nats, nats.operator() as operator:
            assert nats.server.url.startswith("tls://")
            heard = Heard()
            await operator.subscribe("fleet.renew.pi-1", heard)
            await operator.flush(2)
            async with nats.device("pi-1") as device:
                await keyvalue.put(device, STATUS_BUCKET, "pi-1", b"status", 2)
                await device.publish("fleet.renew.pi-1", bytes(60_000))
                await until(lambda: heard.payloads == [bytes(60_000)])

    asyncio.run(run())


def test_a_server_of_another_authority_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with secured(tmp_path) as nats:
            endpoint = replace(nats.device_endpoint("pi-1"), ca=another_authority(tmp_path))
            await told(endpoint, "certificate is not believed", caplog)
            await told(replace(endpoint, ca=None), "unable to get local issuer certificate", caplog)

    asyncio.run(run())


def test_a_server_with_a_certificate_for_another_name_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with secured(tmp_path, 0, "fleet.example", "10.1.2.3") as nats:
            endpoint = nats.device_endpoint("pi-1")
            await told(endpoint, "certificate is not valid for '127.0.0.1'", caplog)
            named = endpoint.servers[0].replace("127.0.0.1", "localhost")
            await told(replace(endpoint, servers=(named,)), "not valid for 'localhost'", caplog)

    asyncio.run(run())


def test_who_asks_for_no_tls_is_told_that_the_server_wants_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with secured(tmp_path) as nats:
            endpoint = nats.device_endpoint("pi-1")
            plain = endpoint.servers[0].replace("tls://", "nats://")
            words = f"{plain} takes TLS only: name it tls://"
            await told(replace(endpoint, servers=(plain,), ca=None), words, caplog)

    asyncio.run(run())


def test_who_asks_for_tls_sends_nothing_where_the_first_line_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That line comes in the clear: whoever stands between could take TLS out of it."""
    received = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","nonce":"abc","auth_required":true}\r\n')
        received.append(await reader.read())
        writer.close()

    async def run() -> None:
        async with secured(tmp_path) as nats:
            endpoint = nats.device_endpoint("pi-1")
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await told(replace(endpoint, servers=(url,)), f"{url} speaks no TLS", caplog)
        await until(lambda: bool(received))
        server.close()
        await server.wait_closed()
        assert set(received) == {b""}

    asyncio.run(run())


def test_an_authority_that_comes_late_is_taken_up_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with secured(tmp_path) as nats:
            assert nats.ca is not None
            late = tmp_path / "late.crt"
            plane = Plane(replace(nats.device_endpoint("pi-1"), ca=late), QUICK)
            await plane.start()
            await until(lambda: f"file {late} cannot be read (No such file" in caplog.text)
            late.write_text("no certificate")
            await until(lambda: f"{late} holds no certificate" in caplog.text)
            late.write_bytes(another_authority(tmp_path).read_bytes() + nats.ca.read_bytes())
            assert await plane.wait_connected(5)
            await plane.close()

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ended_is_found_again_and_no_socket_stays_open(
    tmp_path: Path, number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        port = free_port()
        before = sockets()
        async with secured(tmp_path, port) as nats:
            plane = Plane(nats.device_endpoint("pi-1"), QUICK)
            await plane.start()
            assert await plane.wait_connected(5)
            used = sockets() - before
            os.kill(nats.server.pid, number)
            await until(lambda: not plane.connected)
        async with secured(tmp_path, port):
            assert await plane.wait_connected(5)
            assert plane.epoch == 2
            await until(lambda: sockets() - before == used)
            await plane.close()
            await until(lambda: sockets() == before)
        gc.collect()  # what was left open would be complained of here

    asyncio.run(run())
    assert {record.name for record in caplog.records} == {"harmony_fleet.messaging.supervision"}


@pytest.mark.parametrize("words", ["not believed", "Authorization Violation"])
def test_attempts_that_fail_leave_no_socket_open(
    tmp_path: Path, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the handshake, or after it."""

    async def run() -> None:
        async with secured(tmp_path) as nats:
            before, one, other = sockets(), nats.device_endpoint("pi-1"), nats.ca
            mixed = replace(one.credentials, seed=nats.device_endpoint("pi-2").credentials.seed)
            if words == "not believed":
                other = another_authority(tmp_path)
            plane = Plane(replace(one, credentials=mixed, ca=other), QUICK)
            await plane.start()
            await until(lambda: caplog.text.count(words) >= 5)
            await plane.close()
            await until(lambda: sockets() == before)
        gc.collect()

    asyncio.run(run())


def test_a_socket_that_a_frozen_server_never_drains_is_given_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            secured(tmp_path) as nats,
            connected(nats.operator_endpoint(), IMPATIENT) as plane,
        ):
            before = sockets()
            async with frozen(nats.server.pid):
                for _ in range(400):
                    await plane.publish("news", bytes(60_000))
                await until(lambda: sockets() < before)
            await until(lambda: plane.connected)
        gc.collect()

    asyncio.run(run())


def test_a_flush_into_a_connection_that_just_ended_says_so(tmp_path: Path) -> None:
    """asyncio's encrypted stream raises an AttributeError for what is written after its end."""

    async def run() -> None:
        async with secured(tmp_path) as nats, connected(nats.operator_endpoint()) as plane:
            os.kill(nats.server.pid, signal.SIGKILL)
            ended(nats.server.pid)  # not awaited: the plane does not know of it yet
            await plane.publish("news", b"lost")
            with pytest.raises(PlaneUnreachable, match="connection was lost"):
                await plane.flush(30)

    asyncio.run(run())


def test_a_client_whose_end_is_cut_short_leaves_no_open_connection(tmp_path: Path) -> None:
    async def run() -> None:
        async with secured(tmp_path) as nats:
            up = asyncio.Queue[Client]()
            keeping = asyncio.create_task(
                keep_connected(nats.operator_endpoint(), QUICK, up.put, lambda: None)
            )
            client = await up.get()
            keeping.cancel()
            await asyncio.sleep(0)  # it has begun to close its connection
            keeping.cancel()
            await asyncio.wait([keeping])
            for writer in ("_io_writer", "_bare_io_writer"):
                assert getattr(client._transport, writer).is_closing()

    asyncio.run(run())
