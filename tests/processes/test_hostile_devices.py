"""A device that floods, lies, talks nonsense or is there twice harms nobody but itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

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
    in_fleet,
    known,
    newest,
    order,
)
from tests.processes.nats_fixture import until

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Command
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Status
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.loop import Operator
from harmony_fleet.testing.light_device import LightDevice

HOSTILE = "hostile"
HONEST = ("honest-1", "honest-2")
FEW = 60
"""Tasks of everything that runs here, but for what waits."""


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


async def flood(device: FakeDevice, upgrade_id: str) -> None:
    """As fast as its connection takes them: heartbeats, and statuses that all change something."""
    phases = (AgentUpgradePhase.STAGING, AgentUpgradePhase.VERIFYING)
    device.status = Status(HOSTILE, "journal-1", 0, 1, upgrade_id, OLD, NEW)
    key = subjects.key(subjects.STATUS_BUCKET, HOSTILE)
    while True:
        for number in range(50):
            seq = device.beats * 50 + number
            status = Status(HOSTILE, "journal-1", seq, 1, upgrade_id, OLD, NEW, phases[seq % 2])
            await device.plane.publish(key, codec.encode(status))
        await device.beat()


def test_a_flood_holds_up_no_other_device_and_does_not_pile_up(tmp_path: Path) -> None:
    async def use(fleet: LightFleet, operator: Operator, device: FakeDevice) -> None:
        flooding = asyncio.create_task(flood(device, await order(operator, HOSTILE, NEW)))
        await honest_upgrades(fleet, operator)
        assert not flooding.done()
        assert device.beats > 20
        assert len(asyncio.all_tasks()) < FEW
        flooding.cancel()

    beside_honest_ones(tmp_path, use)


def test_nonsense_in_every_message_type_stops_nothing_and_is_logged_now_and_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sayings: list[bytes] = []

    @settings(max_examples=300, phases=[Phase.generate], deadline=None)
    @given(st.one_of(st.binary(max_size=200), st.sampled_from(spoilt()), st.text().map(str.encode)))
    def collect(saying: bytes) -> None:
        sayings.append(saying)

    collect()

    async def use(fleet: LightFleet, operator: Operator, device: FakeDevice) -> None:
        device.answer = lambda _command: sayings[len(device.commands) % len(sayings)]
        await device.listen()
        upgrade_id = await order(operator, HOSTILE, NEW)
        keys = [subjects.heartbeat_key(HOSTILE, role) for role in (Role.PRIMARY, Role.CANDIDATE)]
        keys.append(subjects.key(subjects.STATUS_BUCKET, HOSTILE))
        for saying in sayings:
            for key in keys:
                await device.plane.publish(key, saying)
        await honest_upgrades(fleet, operator)
        said = [record for record in caplog.records if HOSTILE in record.getMessage()]
        assert len([record for record in said if record.levelno >= logging.WARNING]) < 10
        await device.beat(agent_version="9.9.9")
        await known(operator, HOSTILE, version="9.9.9")  # it is heard again when it speaks
        assert newest(operator, HOSTILE).upgrade_id == upgrade_id

    beside_honest_ones(tmp_path, use)


def spoilt() -> list[bytes]:
    """Real messages of each type, each cut, and with a field of another kind."""
    status = codec.encode(Status(HOSTILE, "journal-1", 1, 1))
    command = codec.encode(Command(HOSTILE, "Ping"))  # type: ignore[arg-type]
    return [
        part
        for whole in (status, command)
        for part in (whole[:-1], whole[: len(whole) // 2], whole.replace(b"1", b"{}"), whole * 2)
    ]


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
