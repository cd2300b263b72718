"""A scripted device: its credentials and its side of the protocol, done only when told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tests.processes.nats_fixture import MessagePlane

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Info, Outcome, Verb
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Ended, Marker, Status
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message, MessagingError

LIMIT_S = 5.0
"""Of one request. One that was on its way to a bucket that goes away waits as long."""
PATIENCE_S = 4 * LIMIT_S

Reply = Answer | bytes | None
"""What is answered: None is silence."""


@dataclass
class FakeDevice:
    plane: Plane
    device_id: str
    version: str = "1.0.0"
    armed: str | None = None
    """The one upgrade_id whose stop it obeys."""
    commands: list[Command] = field(default_factory=list)
    """As they came."""
    answer: Callable[[Command], Reply] | None = None
    """Instead of what a device answers."""
    status: Status | None = None
    beats: int = 0

    async def listen(self) -> None:
        """Before this there is no responder for its commands."""
        await self.plane.subscribe(subjects.command(self.device_id), self._serve)
        await self.plane.flush(LIMIT_S)

    @property
    def stops(self) -> list[str | None]:
        """The upgrade_ids of the stops that came."""
        return [c.upgrade_id for c in self.commands if c.verb is Verb.UPGRADE_STOP]

    async def beat(self, **changed: Any) -> None:
        """A heartbeat of the primary. On the server when this returns."""
        self.beats += 1
        plain = Heartbeat(
            self.device_id, self.version, Role.PRIMARY, "primary-1", "boot-1", self.beats, 1000
        )
        said = replace(plain, **changed)
        key = subjects.heartbeat_key(self.device_id, said.role)
        await self.plane.publish(key, codec.encode(said))
        await self.plane.flush(LIMIT_S)

    async def beat_candidate(self, marker: Marker, **changed: Any) -> None:
        """What the new version's process says beside the primary."""
        said = {"agent_version": marker.version, "upgrade_id": marker.upgrade_id} | changed
        await self.beat(role=Role.CANDIDATE, instance_id="candidate-1", **said)

    async def say(self, **changed: Any) -> None:
        """The next status. Stored when this returns."""
        before = self.status or Status(self.device_id, "journal-1", 0, 0)
        self.status = replace(before, seq=before.seq + 1, **changed)
        await self.repeat()

    async def repeat(self) -> None:
        """The same status again."""
        assert self.status is not None
        value = codec.encode(self.status)
        await keyvalue.put(self.plane, subjects.STATUS_BUCKET, self.device_id, value, LIMIT_S)

    async def report(self, marker: Marker, phase: AgentUpgradePhase, **changed: Any) -> None:
        """A status about this order, with its verdict in the list where it has ended."""
        ended = self.status.ended if self.status else ()
        if phase.final:
            ended = (*ended, Ended(marker.upgrade_id, marker.generation, phase))
        about: dict[str, Any] = {
            "generation": marker.generation,
            "upgrade_id": marker.upgrade_id,
            "from_version": self.version,
            "to_version": marker.version,
            "phase": phase,
            "attempt": 1,
            "ended": ended,
        }
        await self.say(**about | changed)

    async def cut_over(self, marker: Marker) -> None:
        """Both run, the candidate is heard, the stop signal is armed."""
        await self.beat_candidate(marker)
        self.armed = marker.upgrade_id
        await self.report(marker, AgentUpgradePhase.CUTOVER_READY)

    async def finish(self, marker: Marker) -> None:
        """As the new primary, out of probation."""
        self.version = marker.version
        await self.beat(instance_id="primary-2")
        await self.report(marker, AgentUpgradePhase.SUCCEEDED)

    async def marker(self) -> Marker | None:
        """What it reads with its own credentials; None for what is no marker."""
        entry = await keyvalue.get(self.plane, subjects.MARKER_BUCKET, self.device_id, LIMIT_S)
        with suppress(MalformedMessage):
            return codec.decode(Marker, entry.value) if entry else None
        return None

    async def ordered(self, limit_s: float = PATIENCE_S, **wanted: Any) -> Marker:
        """The marker, as soon as there is one with these values."""
        found: list[Marker] = []

        async def look() -> bool:
            try:
                marker = await self.marker()
            except MessagingError:
                return False
            if marker and all(getattr(marker, name) == value for name, value in wanted.items()):
                found.append(marker)
            return bool(found)

        await eventually(look, limit_s)
        return found[0]

    async def _serve(self, message: Message) -> None:
        command = codec.decode(Command, message.payload)
        self.commands.append(command)
        reply = (self.answer or self._obey)(command)
        if reply is not None:
            value = reply if isinstance(reply, bytes) else codec.encode(reply)
            await self.plane.publish(message.reply, value)

    def _obey(self, command: Command) -> Answer:
        if command.verb is Verb.INFO:
            info = Info(self.version, "primary-1", "boot-1", "3.11.7", "linux-x86_64")
            return Answer(self.device_id, Outcome.OK, info=info)
        if command.verb is Verb.UPGRADE_STOP and command.upgrade_id != self.armed:
            return Answer(self.device_id, Outcome.REFUSED, "not armed for that upgrade")
        return Answer(self.device_id, Outcome.OK)


async def eventually(condition: Callable[[], Awaitable[bool]], limit_s: float = PATIENCE_S) -> None:
    """As `until`, for a condition that has to ask somebody. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def fake_devices(nats: MessagePlane, names: Sequence[str]) -> AsyncIterator[list[FakeDevice]]:
    """Connected, and listening for commands."""
    async with AsyncExitStack() as stack:
        found = []
        for name in names:
            device = FakeDevice(await stack.enter_async_context(nats.device(name)), name)
            await device.listen()
            found.append(device)
        yield found


@asynccontextmanager
async def fake_device(nats: MessagePlane, name: str = "pi-1") -> AsyncIterator[FakeDevice]:
    async with fake_devices(nats, [name]) as (device,):
        yield device
