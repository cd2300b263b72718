"""A NATS server, real or simulated, as `plane_script` plays on it.

Through the shipped readers and writers of buckets and streams, judge of heartbeats, and client of
commands. Only how one connects, and how the server is lost, is each server's own.
"""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from tests.contract.plane_script import ANSWERED, ARRIVES, BOTH, LINES, UNKNOWN, Return, Told, play
from tests.processes.nats_fixture import QUICK, MessagePlane

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Outcome
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.subjects import HEARTBEAT_BUCKET, MARKER_BUCKET, STATUS_BUCKET
from harmony_fleet.embedded.nats import EmbeddedNats
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message, NoResponders, RequestTimedOut, WrongRevision
from harmony_fleet.operator import streams
from harmony_fleet.operator.commands import FleetCommandsClient
from harmony_fleet.operator.liveness import Liveness, Verdict, judge, looked
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.nats_server import NatsServer
from harmony_fleet.simulation.network import Network
from harmony_fleet.simulation.plane import SimulatedPlane

NAME, UPGRADE_ID = "pi-1", "1" * 32
CANDIDATE = subjects.heartbeat_name(NAME, Role.CANDIDATE)
LIMIT_S = 20.0
PATIENCE_S = 0.4
"""For an answer that is lost, and so waited for in vain."""
ALL = 1000
"""More writes than there are."""


class Server(Protocol):
    async def plane(self, who: str) -> Plane: ...

    async def synced(self) -> None: ...

    async def lost(self, back: Return) -> None:
        """It has gone away, and is back."""


@dataclass
class Seat:
    """One operator, in one connection."""

    plane: Plane
    liveness: Liveness = field(default_factory=Liveness)
    verdicts: list[Verdict] = field(default_factory=list)

    async def hear(self, message: Message) -> None:
        sequence = int(message.headers["Nats-Sequence"])
        self.verdicts.append(judge(self.liveness, sequence))


class NatsPlanes:
    """A `Planes`."""

    def __init__(self, server: Server) -> None:
        self._server, self.events = server, list[str]()
        self._seats: dict[str, Seat] = {}
        self._device: Plane | None = None
        self._revisions = dict.fromkeys(BOTH, 0)
        self._answers, self._stops = True, 0
        """Stops that came since it was told how many did."""

    async def close(self) -> None:
        for who in BOTH:
            await self.disconnects(who)
        await self.device_disconnects()

    # Connections

    async def connects(self, who: str) -> None:
        seat = self._seats[who] = Seat(await self._server.plane("operator"))
        await seat.plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.*.*", seat.hear)
        await seat.plane.flush(LIMIT_S)

    async def disconnects(self, who: str) -> None:
        if (seat := self._seats.pop(who, None)) is not None:
            await seat.plane.close()

    async def looks(self, who: str) -> None:
        seat = self._seats[who]
        await streams.ensure_streams(seat.plane)
        state = await streams.stream_state(seat.plane, HEARTBEAT_BUCKET)
        seat.liveness = looked(seat.liveness, seat.liveness.connection, state)

    async def device_connects(self) -> None:
        if self._device is None:
            self._device = await self._server.plane(NAME)
            await self._device.subscribe(subjects.command(NAME), self._take)
            await self._device.flush(LIMIT_S)

    async def device_disconnects(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            await device.close()

    async def synced(self) -> None:
        await self._server.synced()

    async def outage(self, back: Return) -> None:
        await self.close()
        await self._server.lost(back)

    # Markers and statuses

    async def reads(self, who: str) -> None:
        entry = await keyvalue.get(self._seats[who].plane, MARKER_BUCKET, NAME, LIMIT_S)
        self._revisions[who] = entry.revision if entry else 0

    async def writes(self, who: str, marker: str) -> bool:
        plane, value = self._seats[who].plane, marker.encode()
        revision = self._revisions[who]
        try:
            await keyvalue.put_if(plane, MARKER_BUCKET, NAME, value, revision, LIMIT_S)
        except WrongRevision:
            return False
        return True

    async def device_reads(self) -> str:
        entry = await keyvalue.get(self._of_the_device(), MARKER_BUCKET, NAME, LIMIT_S)
        return entry.value.decode() if entry else ""

    async def device_puts(self, seq: int, acknowledged: bool = True) -> None:
        plane, value = self._of_the_device(), f"{seq}".encode()
        if acknowledged:
            await keyvalue.put(plane, STATUS_BUCKET, NAME, value, LIMIT_S)
            return
        await keyvalue.announce(plane, STATUS_BUCKET, NAME, value)
        await plane.flush(LIMIT_S)

    async def lists_statuses(self, who: str) -> int:
        found = dict(await streams.list_bucket(self._seats[who].plane, STATUS_BUCKET))
        return int(found[NAME].value) if NAME in found else 0

    def _of_the_device(self) -> Plane:
        assert self._device is not None
        return self._device

    # Heartbeats

    async def beats(self) -> dict[str, bool]:
        before = {who: len(seat.verdicts) for who, seat in self._seats.items()}
        await keyvalue.put(self._of_the_device(), HEARTBEAT_BUCKET, CANDIDATE, b"beat", LIMIT_S)
        async with asyncio.timeout(LIMIT_S):
            while any(len(seat.verdicts) == before[who] for who, seat in self._seats.items()):
                await asyncio.sleep(0.005)
        live = {who for who, seat in self._seats.items() if seat.verdicts[-1] is Verdict.LIVE}
        return {who: who in live for who in BOTH}

    async def lists_beats(self, who: str) -> bool:
        return bool(await streams.list_bucket(self._seats[who].plane, HEARTBEAT_BUCKET))

    # Stops

    async def _take(self, message: Message) -> None:
        assert codec.decode(Command, message.payload).upgrade_id == UPGRADE_ID
        self._stops += 1
        if self._answers:
            answer = codec.encode(Answer(NAME, Outcome.OK))
            await self._of_the_device().publish(message.reply, answer)

    async def _a_stop_came(self) -> None:
        """Somebody takes them, or the server would have said so: this one may just be slow."""
        async with asyncio.timeout(LIMIT_S):
            while not self._stops:
                await asyncio.sleep(0.005)

    async def stops(self, who: str, answer_lost: bool = False) -> Sequence[str]:
        client = FleetCommandsClient(self._seats[who].plane, PATIENCE_S if answer_lost else LIMIT_S)
        await client.start()
        self._answers = not answer_lost
        try:
            await client.upgrade_stop(NAME, UPGRADE_ID)
            known = ANSWERED
        except NoResponders:
            known = UNKNOWN
        except RequestTimedOut:
            known = UNKNOWN
            await self._a_stop_came()
        arrived, self._stops = self._stops, 0
        return [*[ARRIVES] * arrived, known]


class RealServer:
    def __init__(self, folder: Path, server: EmbeddedNats) -> None:
        self._folder, self._server = folder, server
        self._copy = folder.with_name(f"{folder.name}-copy")

    async def plane(self, who: str) -> Plane:
        messages = MessagePlane(self._server)
        operator = who == "operator"
        endpoint = messages.operator_endpoint() if operator else messages.device_endpoint(who)
        plane = Plane(endpoint, QUICK)
        await plane.start()
        assert await plane.wait_connected(LIMIT_S)
        return plane

    async def synced(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._folder / "jetstream", self._copy)

    async def lost(self, back: Return) -> None:
        await self.stop()
        kept = self._folder / "jetstream"
        if back in {Return.WITHOUT_LAST_WRITES, Return.EMPTY}:
            shutil.rmtree(kept)
        if back is Return.WITHOUT_LAST_WRITES:
            shutil.copytree(self._copy, kept)
        if back is Return.WITHOUT_LAST_MARKER:
            (copied,) = self._copy.rglob(subjects.stream(MARKER_BUCKET))
            place = kept / copied.relative_to(self._copy)
            shutil.rmtree(place)
            shutil.copytree(copied, place)
        self._server = await EmbeddedNats.start(self._folder, self._server.port)

    async def stop(self) -> None:
        await self._server.stop()


class SimulatedServer:
    def __init__(self, loop: SimulatedLoop, process: SimulatedProcess) -> None:
        self._server = NatsServer(lambda: loop.now_s)
        self._network, self._process = Network(loop, self._server, spread_s=0.02), process

    async def plane(self, who: str) -> Plane:
        plane = SimulatedPlane(self._network, who, self._process)
        await plane.start()
        assert await plane.wait_connected(LIMIT_S)
        return plane

    async def synced(self) -> None:
        self._server.jetstream.sync()

    async def lost(self, back: Return) -> None:
        less = {Return.WITHOUT_LAST_WRITES, Return.WITHOUT_LAST_MARKER}
        losing = ALL if back in less else 0
        if back is Return.WITHOUT_LAST_MARKER:
            streams_there = self._server.jetstream.streams
            streams_there[subjects.stream(STATUS_BUCKET)].unsynced.clear()
        self._server.stop(losing=losing, empty=back is Return.EMPTY)
        self._server.start()


async def over_the_real_server(folder: Path) -> Told:
    """One server for all lines, empty at each one's beginning."""
    server = RealServer(folder, await EmbeddedNats.start(folder))
    told: Told = {}
    try:
        for line in LINES:
            planes = NatsPlanes(server)
            told[line.__name__] = await play(planes, line)
            await planes.close()
            await server.lost(Return.EMPTY)
    finally:
        await server.stop()
    return told


def over_the_simulated_one() -> Told:
    loop = SimulatedLoop()  # type: ignore[abstract]
    told: Told = {}
    process = SimulatedProcess(loop, "all", Random(1), lambda _status: None, lambda _what: None)

    async def main() -> int:
        for line in LINES:
            planes = NatsPlanes(SimulatedServer(loop, process))
            told[line.__name__] = await play(planes, line)
            await planes.close()
        return 0

    async def story() -> None:
        process.start(main)
        await asyncio.sleep(600)

    loop.run(story())
    loop.finish()
    assert loop.complaints == []
    return told
