"""A device that floods, lies, talks nonsense or is there twice harms nobody but itself."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.processes.fake_device import FakeDevice
from tests.processes.light_fleet import (
    LIMITS,
    NEW,
    OLD,
    PROGRAMS,
    SOON_S,
    LightFleet,
    ended,
    history,
    in_fleet,
    known,
    newest,
    order,
)
from tests.processes.nats_fixture import until

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Outcome
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat, Progress, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Status
from harmony_fleet.messaging.requests import RequestRefused
from harmony_fleet.operator.commands import FleetCommandsClient
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.loop import Operator
from harmony_fleet.testing.light_device import LightDevice

HOSTILE = "hostile"
STAGING, VERIFYING = AgentUpgradePhase.STAGING, AgentUpgradePhase.VERIFYING
HONEST = ("honest-1", "honest-2")
MANY = 1000
"""Statuses: far more than can be stored in the time in which they come."""
FEW = 150
"""Tasks of everything that runs here in the midst of two upgrades, but for what waits."""


@asynccontextmanager
async def hostile(fleet: LightFleet) -> AsyncIterator[FakeDevice]:
    async with fleet.plane.device(HOSTILE) as plane:
        yield FakeDevice(plane, HOSTILE)


def beside_honest_ones(
    folder: Path, use: Callable[[LightFleet, Operator, FakeDevice], Awaitable[None]]
) -> None:
    """`use` does its harm; then two others are upgraded as if it were not there."""

    async def run(fleet: LightFleet) -> None:
        async with fleet.operator() as operator, hostile(fleet) as device:
            await device.beat()
            await known(operator, HOSTILE)
            await use(fleet, operator, device)

    in_fleet(folder, [], run)


async def honest_upgrades(fleet: LightFleet, operator: Operator) -> None:
    for name in HONEST:
        fleet.add(name)
    await known(operator, *HONEST)
    for name in HONEST:
        await order(operator, name, NEW)
    for name in HONEST:
        assert await ended(operator, name) is AgentUpgradePhase.SUCCEEDED
        assert fleet.devices[name].started == [OLD, NEW]


@dataclass
class Flood:
    device: FakeDevice
    status: Status
    most_tasks: int = 0

    async def run(self) -> None:
        """As fast as its connection takes it: heartbeats, statuses that all change something."""
        while True:
            for _ in range(50):
                await self.say()
            await self.device.beat()
            self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))

    async def say(self) -> None:
        phases = {STAGING: VERIFYING, VERIFYING: STAGING}
        phase = phases[self.status.phase or VERIFYING]
        self.status = replace(self.status, seq=self.status.seq + 1, phase=phase)
        key = subjects.key(subjects.STATUS_BUCKET, HOSTILE)
        await self.device.plane.publish(key, codec.encode(self.status))


def test_a_flood_holds_up_no_other_device_and_does_not_pile_up(tmp_path: Path) -> None:
    async def use(fleet: LightFleet, operator: Operator, device: FakeDevice) -> None:
        upgrade_id = await order(operator, HOSTILE, NEW)
        flood = Flood(device, Status(HOSTILE, "journal-1", 0, 1, upgrade_id, OLD, NEW))
        flooding = asyncio.create_task(flood.run())
        await honest_upgrades(fleet, operator)
        await until(lambda: flooding.done() or flood.status.seq > MANY, SOON_S)
        assert not flooding.done()
        flooding.cancel()
        await asyncio.wait({flooding})
        await flood.say()
        await until(lambda: operator.sight(HOSTILE).case.record.seq == flood.status.seq, SOON_S)
        assert newest(operator, HOSTILE).phase is flood.status.phase  # its last word counts
        told = [one for one in await history(fleet, HOSTILE) if one.startswith(f"{NEW}: ")]
        assert 0 < len(told) < flood.status.seq // 10  # the others made way while they waited
        assert flood.most_tasks < FEW

    beside_honest_ones(tmp_path, use)


SAID = {
    "heartbeat": subjects.heartbeat_key(HOSTILE, Role.PRIMARY),
    "candidate": subjects.heartbeat_key(HOSTILE, Role.CANDIDATE),
    "status": subjects.key(subjects.STATUS_BUCKET, HOSTILE),
}
"""Where a device speaks unasked."""


@pytest.mark.parametrize("kind", SAID)
def test_nonsense_in_each_message_type_stops_nothing_and_is_logged_now_and_then(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sayings = nonsense()

    async def use(fleet: LightFleet, operator: Operator, device: FakeDevice) -> None:
        await order(operator, HOSTILE, NEW)
        marker = newest(operator, HOSTILE).marker(HOSTILE)
        for saying in sayings:
            await device.plane.publish(SAID[kind], saying)
        await honest_upgrades(fleet, operator)
        await device.beat(agent_version="0.9.9")
        await known(operator, HOSTILE, version="0.9.9")  # it is heard again when it speaks
        await device.report(marker, VERIFYING)
        await until(lambda: newest(operator, HOSTILE).phase is VERIFYING, SOON_S)
        assert 0 < len(complaints(caplog)) < 10

    beside_honest_ones(tmp_path, use)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [text for text in map(logging.LogRecord.getMessage, said) if HOSTILE in text]


def test_an_answer_that_is_nonsense_is_none_and_the_stop_is_sent_until_a_real_one_comes(
    tmp_path: Path,
) -> None:
    sayings = nonsense()

    async def use(fleet: LightFleet, operator: Operator, device: FakeDevice) -> None:
        device.answer = lambda _command: sayings[len(device.commands) % len(sayings)]
        await device.listen()
        upgrade_id = await order(operator, HOSTILE, NEW)
        await device.cut_over(newest(operator, HOSTILE).marker(HOSTILE))
        await until(lambda: len(device.stops) > 2, SOON_S)
        assert set(device.stops) == {upgrade_id}
        await honest_upgrades(fleet, operator)
        assert newest(operator, HOSTILE).phase is AgentUpgradePhase.CUTOVER_READY
        device.answer = None
        committed = AgentUpgradePhase.COMMITTED
        await until(lambda: newest(operator, HOSTILE).phase is committed, SOON_S)

    beside_honest_ones(tmp_path, use)


def test_no_answer_that_is_nonsense_is_taken_for_one(tmp_path: Path) -> None:
    sayings = nonsense()

    async def use(fleet: LightFleet, _operator: Operator, device: FakeDevice) -> None:
        device.answer = lambda _command: sayings[len(device.commands) - 1]
        await device.listen()
        async with fleet.plane.operator() as plane:
            client = FleetCommandsClient(plane)
            await client.start()
            for _ in sayings:
                with pytest.raises(RequestRefused, match=HOSTILE):
                    await client.upgrade_stop(HOSTILE, "f" * 32)
        assert len(device.stops) == len(sayings)

    beside_honest_ones(tmp_path, use)


def nonsense() -> list[bytes]:
    """What is no message of any type, or another device's."""
    found = spoilt()

    @settings(max_examples=200, phases=[Phase.generate], deadline=None, database=None)
    @given(st.one_of(st.binary(max_size=200), st.text().map(str.encode)))
    def collect(saying: bytes) -> None:
        found.append(saying)

    collect()
    return found


REAL = (
    Heartbeat(HOSTILE, NEW, Role.PRIMARY, "primary-1", "boot-1", 1, 1000, "f" * 32, Progress(1, 2)),
    Status(HOSTILE, "journal-1", 1, 1, "f" * 32, OLD, NEW, AgentUpgradePhase.SUCCEEDED, 1),
    Answer(HOSTILE, Outcome.OK),
)
ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    1.5,
    10**400,
    "",
    "honest-1",
    "x" * 10_000,
    "\ud800",
    [],
    [[]],
    {"a": 1},
)


def spoilt() -> list[bytes]:
    """Of each type a real message, cut, doubled, and with each of its fields made odd."""
    found = []
    for real in REAL:
        whole, fields = codec.encode(real), asdict(real)
        found += [whole[:-1], whole[: len(whole) // 2], whole * 2, b"[" * 50_000]
        odd = [json.dumps({**fields, name: value}).encode() for name in fields for value in ODD]
        found += [one for one in odd if not is_understood(type(real), one)]
    return found


def is_understood(kind: type[Any], said: bytes) -> bool:
    try:
        return bool(codec.decode(kind, said).device_id == HOSTILE)
    except MalformedMessage:
        return False


def test_a_device_that_lies_about_its_upgrade_gets_no_stop_and_deceives_about_itself_only(
    tmp_path: Path,
) -> None:
    async def use(fleet: LightFleet, operator: Operator, device: FakeDevice) -> None:
        await device.listen()
        await order(operator, HOSTILE, NEW)
        marker = newest(operator, HOSTILE).marker(HOSTILE)
        await device.report(marker, AgentUpgradePhase.CUTOVER_READY)
        await device.beat_candidate(marker, upgrade_id="f" * 32)
        await device.beat_candidate(marker, agent_version="1.0.9")
        await honest_upgrades(fleet, operator)
        assert device.stops == []
        await device.report(marker, AgentUpgradePhase.SUCCEEDED)
        await until(lambda: newest(operator, HOSTILE).phase.final)
        current = operator.sight(HOSTILE).case.record.current_version
        assert current == OLD  # what was heard, not what was claimed

    beside_honest_ones(tmp_path, use)


def test_of_two_devices_under_one_identity_neither_is_ordered_to_until_one_is_gone(
    tmp_path: Path,
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            fleet.add("twin", limits=LIMITS)
            first = fleet.devices["twin"]
            await known(operator, "twin")
            second = fleet.devices["copied"] = LightDevice(first.config, OLD, PROGRAMS)
            second.power_on()
            await until(lambda: operator.sight("twin").case.identity.duplicate, SOON_S)
            with pytest.raises(OrderRefused, match="two devices answer"):
                await operator.upgrade(["twin"], NEW, retry=False, replace=False)
            await second.power_cut()
            await until(lambda: not operator.sight("twin").case.identity.duplicate, SOON_S)
            await order(operator, "twin", NEW)
            assert await ended(operator, "twin") is AgentUpgradePhase.SUCCEEDED
            assert second.running == OLD

    in_fleet(tmp_path, [], use)
