"""One script of operations comes to the same over the real server and over the simulated one.

Through the shipped readers and writers of buckets and streams, so that what they rely on is what
is compared. What differs by design, the dates and the ids of connections, is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.processes.nats_fixture import running_nats

from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.subjects import (
    HEARTBEAT_BUCKET,
    MARKER_BUCKET,
    SEEN_HEARTBEAT,
    SEEN_STATUS,
    STATUS_BUCKET,
    heartbeat_key,
    heartbeat_name,
    order_wake,
)
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message, MessagingError
from harmony_fleet.operator import streams
from harmony_fleet.operator.commands import FleetCommandsClient
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.nats_server import NatsServer
from harmony_fleet.simulation.network import Network
from harmony_fleet.simulation.plane import SimulatedPlane

LIMIT_S = 5.0
TOLD = ("Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Last-Sequence", "Nats-Msg-Size")
CANDIDATE = heartbeat_name("pi-1", Role.CANDIDATE)


class Script:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._seen: list[Any] = []
        self.outcomes: list[Any] = []

    async def _hear(self, message: Message) -> None:
        told = {name: message.headers[name] for name in TOLD if name in message.headers}
        self._seen.append((message.subject, message.payload, told))

    async def _try(self, what: str, doing: Awaitable[Any]) -> None:
        try:
            result = await doing
        except MessagingError as error:
            self.outcomes.append((what, error.kind, getattr(error, "code", None)))
        else:
            self.outcomes.append((what, _plain(result)))

    async def run(self) -> list[Any]:
        await self._plane.start()
        assert await self._plane.wait_connected(10)
        for subject in (f"{SEEN_HEARTBEAT}.*.*", f"{SEEN_STATUS}.*", order_wake("pi-1")):
            await self._plane.subscribe(subject, self._hear)
        await self._plane.flush(LIMIT_S)
        await self._buckets()
        await self._heartbeats()
        await self._nobody()
        await self._plane.flush(LIMIT_S)
        await asyncio.sleep(0.3)
        return [*self.outcomes, *self._seen]

    async def _buckets(self) -> None:
        plane, name = self._plane, "pi-1"
        await self._try("ensure", streams.ensure_streams(plane))
        await self._try("again", streams.ensure_streams(plane))
        await self._try("none", keyvalue.get(plane, MARKER_BUCKET, name, LIMIT_S))
        await self._try("list none", streams.list_bucket(plane, MARKER_BUCKET))
        for value, revision in ((b"one", 0), (b"two", 0), (b"two", 1), (b"three", 1)):
            put = keyvalue.put_if(plane, MARKER_BUCKET, name, value, revision, LIMIT_S)
            await self._try(f"put {value!r} over {revision}", put)
        await self._try("get", keyvalue.get(plane, MARKER_BUCKET, name, LIMIT_S))
        await self._try("long", keyvalue.put(plane, STATUS_BUCKET, name, b"x" * 16385, LIMIT_S))
        for key in ("a", "b", "c", "a"):
            await self._try(f"put {key}", keyvalue.put(plane, STATUS_BUCKET, key, b"s", LIMIT_S))
        await self._try("list", streams.list_bucket(plane, STATUS_BUCKET))
        state = await streams.stream_state(plane, STATUS_BUCKET)
        self.outcomes.append(("state", state.last_sequence))

    async def _heartbeats(self) -> None:
        plane = self._plane
        for beat in (b"beat 1", b"beat 2"):
            await plane.publish(heartbeat_key("pi-1", Role.CANDIDATE), beat)
        await plane.flush(LIMIT_S)
        await asyncio.sleep(0.3)
        await self._try("beat", keyvalue.get(plane, HEARTBEAT_BUCKET, CANDIDATE, LIMIT_S))
        await self._try("beats", streams.list_bucket(plane, HEARTBEAT_BUCKET))

    async def _nobody(self) -> None:
        """Where nobody answers, and what is refused."""
        plane = self._plane
        client = FleetCommandsClient(plane, LIMIT_S)
        await client.start()
        await self._try("ping", client.ping("pi-9"))
        await self._try("request", plane.request("fleet.nobody", b"?", LIMIT_S))
        await self._try("gone", streams.stream_state(plane, "nothing"))
        batch = plane.request_all("$JS.API.DIRECT.GET.KV_nothing", b'{"seq":1,"batch":5}', LIMIT_S)
        await self._try("batch", batch)
        direct = plane.request("$JS.API.DIRECT.GET.KV_agent-upgrade.x", b"payload", LIMIT_S)
        await self._try("payload", direct)


def _plain(result: Any) -> Any:
    """Without dates."""
    if isinstance(result, keyvalue.Entry):
        return result.value, result.revision
    if isinstance(result, Message):
        return result.status, result.payload
    if isinstance(result, list):
        return [_plain(item) for item in result]
    if isinstance(result, tuple):
        return tuple(_plain(item) for item in result)
    return result


def over_the_real_server(folder: Path) -> list[Any]:
    async def run() -> list[Any]:
        async with running_nats(folder) as nats, nats.operator() as plane:
            return await Script(plane).run()

    return asyncio.run(run())


def over_the_simulated_one() -> list[Any]:
    loop = SimulatedLoop()  # type: ignore[abstract]
    network = Network(loop, NatsServer(lambda: loop.now_s), spread_s=0.02)
    outcomes: list[Any] = []
    process = SimulatedProcess(loop, "operator", Random(1), lambda _status: None, _nothing)

    async def main() -> int:
        outcomes.extend(await Script(SimulatedPlane(network, "operator", process)).run())
        return 0

    async def story() -> None:
        process.start(main)
        await asyncio.sleep(60)

    loop.run(story())
    loop.finish()
    assert loop.complaints == []
    return outcomes


_nothing: Callable[[str], None] = lambda _what: None  # noqa: E731


def test_the_simulated_server_does_what_the_real_one_does(tmp_path: Path) -> None:
    real, simulated = over_the_real_server(tmp_path), over_the_simulated_one()
    assert len(real) > 30
    assert simulated == real
