"""Orders that change while an upgrade is under way, on light devices."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.processes.light_fleet import (
    CRASHING,
    LIMITS,
    NEW,
    NEWER,
    OLD,
    SILENT,
    SOON_S,
    LightFleet,
    ended,
    in_fleet,
    known,
    newest,
    order,
    until_ordered_there,
)
from tests.processes.nats_fixture import until

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.records import Order

RACES = 200
AT_ONCE = 20
LONGEST_RACE_S = 0.8
"""The first half of it races with the stop, the other with all that comes before."""

HELD = {
    Phase.STAGING: "stage",
    Phase.VERIFYING: "self_test",
    Phase.CUTOVER_READY: "start_candidate",
}
BEFORE = {Phase.STAGING: Phase.FAILED, Phase.VERIFYING: Phase.FAILED}
"""How an upgrade ends that is taken back in that phase; from any other it is rolled back."""


def with_devices(
    folder: Path, names: list[str], use: Callable[[LightFleet, Operator], Awaitable[None]]
) -> None:
    async def run(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            for name in names:
                fleet.add(name)
            await known(operator, *names)
            await use(fleet, operator)

    in_fleet(folder, [], run)


def past(operator: Operator, name: str, upgrade_id: str) -> Order:
    record = operator.sight(name).case.record
    (found,) = [one for one in (*record.past, record.order) if one and one.upgrade_id == upgrade_id]
    return found


def cause_of(one: Order) -> CauseKind | None:
    return one.cause.kind if one.cause else None


async def reach(fleet: LightFleet, operator: Operator, name: str, phase: Phase) -> str:
    """Order NEW, and keep it in that phase."""
    fleet.devices[name].executor.holds[HELD[phase]] = asyncio.Event()
    upgrade_id = await order(operator, name, NEW)
    await until(lambda: newest(operator, name).phase is phase, SOON_S)
    return upgrade_id


def decided(operator: Operator, name: str) -> bool:
    one = newest(operator, name)
    return one.phase is Phase.CUTOVER_READY or not one.open


def committed(operator: Operator, name: str) -> bool:
    one = newest(operator, name)
    return one.phase is Phase.COMMITTED or not one.open


Verdict = tuple[Phase, CauseKind | None]
SUCCESS: Verdict = (Phase.SUCCEEDED, None)
NOTHING_CHANGED: Verdict = (Phase.FAILED, CauseKind.ABORTED)
TAKEN_BACK: Verdict = (Phase.ROLLED_BACK, CauseKind.ABORTED)


async def race(
    fleet: LightFleet, operator: Operator, name: str, moment: Callable[[], Awaitable[None]]
) -> Verdict:
    """Order, wait for that moment, abort. What the device then runs is what was told."""
    device = fleet.devices[name]
    before, starts = device.running, len(device.started)
    target = NEW if before == OLD else OLD
    await order(operator, name, target)
    await moment()
    with suppress(OrderRefused):  # it is committed
        await operator.abort([name])
    phase = await ended(operator, name)
    verdict = phase, cause_of(newest(operator, name))
    runs = target if verdict == SUCCESS else before
    assert device.started[starts:] == ([target] if verdict == SUCCESS else [])
    assert (device.running, device.executor.link_version()) == (runs, runs)
    await known(operator, name, version=runs)
    return verdict


def test_of_many_aborts_at_random_moments_each_ends_as_the_device_says(tmp_path: Path) -> None:
    names = [f"pi-{number}" for number in range(AT_ONCE)]
    rng = random.Random("races")
    verdicts: list[Verdict] = []

    async def at_random(operator: Operator, name: str) -> None:
        wait_s = rng.uniform(0, LONGEST_RACE_S)
        if wait_s < LONGEST_RACE_S / 2:  # from the moment when the stop goes out
            await until(lambda: decided(operator, name), SOON_S)
            await asyncio.sleep(wait_s / 10)
        else:
            await asyncio.sleep(wait_s - LONGEST_RACE_S / 2)

    async def too_late(operator: Operator, name: str) -> None:
        await until(lambda: committed(operator, name), SOON_S)

    async def racer(fleet: LightFleet, operator: Operator, name: str) -> None:
        moments = (*[at_random] * (RACES // AT_ONCE), too_late)
        told = [await race(fleet, operator, name, partial(one, operator, name)) for one in moments]
        assert told[-1] == SUCCESS
        verdicts.extend(told)

    async def use(fleet: LightFleet, operator: Operator) -> None:
        await asyncio.gather(*(racer(fleet, operator, name) for name in names))
        assert len(verdicts) == RACES + AT_ONCE
        assert set(verdicts) <= {SUCCESS, NOTHING_CHANGED, TAKEN_BACK}
        assert {NOTHING_CHANGED, TAKEN_BACK} & set(verdicts)
        for name in names:
            assert not fleet.devices[name].executor.attempt_open
            assert fleet.devices[name].executor.candidate_running is None

    with_devices(tmp_path, names, use)


@pytest.mark.parametrize("phase", HELD)
def test_an_abort_in_each_phase_before_the_commit_takes_the_upgrade_back(
    phase: Phase, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet, operator: Operator) -> None:
        await reach(fleet, operator, "pi-1", phase)
        await operator.abort(["pi-1"])
        assert await ended(operator, "pi-1") is BEFORE.get(phase, Phase.ROLLED_BACK)
        assert cause_of(newest(operator, "pi-1")) is CauseKind.ABORTED
        assert fleet.devices["pi-1"].running == OLD
        fleet.devices["pi-1"].executor.holds.clear()
        await order(operator, "pi-1", NEW)
        assert await ended(operator, "pi-1") is Phase.SUCCEEDED

    with_devices(tmp_path, ["pi-1"], use)


@pytest.mark.parametrize("phase", HELD)
def test_a_newer_order_before_the_commit_ends_the_older_and_is_carried_out(
    phase: Phase, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet, operator: Operator) -> None:
        older = await reach(fleet, operator, "pi-1", phase)
        fleet.devices["pi-1"].executor.holds.clear()
        await order(operator, "pi-1", NEWER, replace=True)
        assert await ended(operator, "pi-1") is Phase.SUCCEEDED
        told = past(operator, "pi-1", older)
        assert (told.phase, cause_of(told)) == (
            BEFORE.get(phase, Phase.ROLLED_BACK),
            CauseKind.ABORTED,
        )
        assert fleet.devices["pi-1"].running == NEWER
        await known(operator, "pi-1", version=NEWER)

    with_devices(tmp_path, ["pi-1"], use)


def test_an_order_during_probation_waits_for_its_end(tmp_path: Path) -> None:
    async def use(fleet: LightFleet, operator: Operator) -> None:
        fleet.add("slow", limits=replace(LIMITS, probation_s=1.5))
        await known(operator, "slow")
        older = await order(operator, "slow", NEW)
        await until(lambda: newest(operator, "slow").phase is Phase.COMMITTED, SOON_S)
        await order(operator, "slow", NEWER, replace=True)
        assert await ended(operator, "slow") is Phase.SUCCEEDED
        assert past(operator, "slow", older).phase is Phase.SUCCEEDED
        assert fleet.devices["slow"].started == [OLD, NEW, NEWER]

    with_devices(tmp_path, [], use)


def test_a_device_that_was_away_while_its_order_was_replaced_twice_obeys_the_last(
    tmp_path: Path,
) -> None:
    async def use(fleet: LightFleet, operator: Operator) -> None:
        device = fleet.devices["pi-1"]
        await device.power_cut()
        missed = [
            await order(operator, "pi-1", NEW),
            await order(operator, "pi-1", SILENT, replace=True),
        ]
        await order(operator, "pi-1", NEWER, replace=True)
        await until_ordered_there(fleet, operator, "pi-1")
        device.power_on()
        assert await ended(operator, "pi-1") is Phase.SUCCEEDED
        assert [past(operator, "pi-1", one).phase for one in missed] == [Phase.NEVER_STARTED] * 2
        assert device.started == [OLD, OLD, NEWER]

    with_devices(tmp_path, ["pi-1"], use)


def test_the_version_that_runs_is_not_ordered_again_and_an_older_one_may_be(tmp_path: Path) -> None:
    async def use(fleet: LightFleet, operator: Operator) -> None:
        (again,) = await operator.upgrade(None, OLD, retry=False, replace=False)
        assert again.kind == "order_refused"
        for version in (NEWER, NEW, OLD):
            await order(operator, "pi-1", version)
            assert await ended(operator, "pi-1") is Phase.SUCCEEDED
            await known(operator, "pi-1", version=version)
        assert fleet.devices["pi-1"].started == [OLD, NEWER, NEW, OLD]

    with_devices(tmp_path, ["pi-1"], use)


@pytest.mark.parametrize("version", [SILENT, CRASHING])
def test_what_failed_there_is_tried_again_only_where_a_retry_is_said(
    version: str, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet, operator: Operator) -> None:
        device = fleet.devices["pi-1"]
        await order(operator, "pi-1", version)
        assert await ended(operator, "pi-1") is Phase.ROLLED_BACK
        await known(operator, "pi-1")
        starts = len(device.started)
        await order(operator, "pi-1", version)
        assert await ended(operator, "pi-1") is Phase.FAILED
        assert cause_of(newest(operator, "pi-1")) is CauseKind.QUARANTINED
        assert len(device.started) == starts
        await order(operator, "pi-1", version, retry=True)
        assert await ended(operator, "pi-1") is Phase.ROLLED_BACK

    with_devices(tmp_path, ["pi-1"], use)
