"""Two operators on one store and one message plane, and one that is away for a while."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.light_fleet import (
    CRASHING,
    HELD,
    LIMITS,
    NEW,
    NEWER,
    OLD,
    PHASES,
    SILENT,
    SOON_S,
    LightFleet,
    ended,
    history,
    in_fleet,
    known,
    newest,
    order,
)
from tests.processes.nats_fixture import connected, until

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts import codec
from harmony_fleet.contracts.commands import Answer, Outcome
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.messaging.requests import Message
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.records import DeviceRecord

IN_EACH = {**PHASES, "reverting": Phase.REVERTING}
SHORT = replace(LIMITS, stop_limit_s=1.5, probation_s=1.0)
LONG = replace(LIMITS, stop_limit_s=10.0, probation_s=6.0, retry_s=0.2)
"""So long that a second operator is there before they end; a way back is tried again at once."""
AWAY_S = 3.0
"""Longer than a device waits for its stop, and than a probation."""


def test_two_operators_at_once_do_everything_once(tmp_path: Path) -> None:
    good = [f"good-{number}" for number in range(6)]
    bad = {"silent": SILENT, "crashing": CRASHING}

    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as first, fleet.operator() as second:
            for name in (*good, *bad):
                fleet.add(name)
            for operator in (first, second):
                await known(operator, *good, *bad)
            for number, name in enumerate(good):
                await order((first, second)[number % 2], name, NEW)
            for name, version in bad.items():
                await order(first, name, version)
            for operator in (first, second):
                assert [await ended(operator, name) for name in good] == [Phase.SUCCEEDED] * 6
                assert [await ended(operator, name) for name in bad] == [Phase.ROLLED_BACK] * 2
                await known(operator, *good, version=NEW)
            for name in good:
                assert fleet.devices[name].started == [OLD, NEW]
                told = await history(fleet, name)
                for phase in (Phase.CUTOVER_READY, Phase.SUCCEEDED):
                    assert told.count(f"{NEW}: {phase}") == 1, told

    in_fleet(tmp_path, [], use)


def older_has_ended(operator: Operator, name: str) -> bool:
    (older,) = operator.sight(name).case.record.past
    return not older.open


def test_what_one_operator_ordered_the_other_may_take_back_or_replace(tmp_path: Path) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as first, fleet.operator() as second:
            for name in ("aborted", "replaced"):
                fleet.add(name)
                fleet.devices[name].executor.holds["stage"] = asyncio.Event()
            for operator in (first, second):
                await known(operator, "aborted", "replaced")
            for name in ("aborted", "replaced"):
                await order(first, name, NEW)
            await second.abort(["aborted"])
            await order(second, "replaced", NEWER, replace=True)
            await until(lambda: older_has_ended(second, "replaced"), SOON_S)
            fleet.devices["replaced"].executor.holds.pop("stage").set()
            for operator in (first, second):
                assert await ended(operator, "aborted") is Phase.FAILED
                await known(operator, "replaced", version=NEWER)
                assert await ended(operator, "replaced") is Phase.SUCCEEDED
            assert fleet.devices["replaced"].started == [OLD, NEWER]

    in_fleet(tmp_path, [], use)


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another"])
def test_an_operator_that_is_away_in_any_phase_loses_no_verdict(
    others: int, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(others):
                await stack.enter_async_context(fleet.operator())
            async with fleet.operator() as gone:
                await hold_in_each_phase(fleet, gone)
            if not others:
                await asyncio.sleep(AWAY_S)  # the absence is what is played
            for name, hold in HELD.items():
                fleet.devices[name].executor.holds[hold].set()
            back = await stack.enter_async_context(fleet.operator())
            for name in PHASES:
                verdict = await ended(back, name)
                cause = newest(back, name).cause
                if name == "armed" and not others:
                    assert (verdict, cause and cause.kind) == (
                        Phase.ROLLED_BACK,
                        CauseKind.CANDIDATE_SILENT,
                    )
                else:
                    assert (verdict, cause) == (Phase.SUCCEEDED, None)

    in_fleet(tmp_path, [], use)


async def hold_in_each_phase(fleet: LightFleet, operator: Operator) -> None:
    for name in PHASES:
        fleet.add(name, limits=SHORT)
        if hold := HELD.get(name):
            fleet.devices[name].executor.holds[hold] = asyncio.Event()
    await known(operator, *PHASES)
    for name, phase in PHASES.items():  # what is committed, the last, stays so for a moment only
        await order(operator, name, NEW)
        await until(lambda: newest(operator, name).phase is phase, SOON_S)  # noqa: B023


def test_an_armed_device_without_an_operator_goes_back_and_may_be_ordered_again(
    tmp_path: Path,
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as gone:
            fleet.add("pi-1", limits=SHORT)
            device = fleet.devices["pi-1"]
            hold = device.executor.holds["stage"] = asyncio.Event()
            await known(gone, "pi-1")
            await order(gone, "pi-1", NEW)
            await until(lambda: newest(gone, "pi-1").phase is Phase.STAGING, SOON_S)
        hold.set()
        await until(lambda: device.executor.attempt_open, SOON_S)
        await until(lambda: not device.executor.attempt_open, SOON_S)
        async with fleet.operator() as back:
            assert await ended(back, "pi-1") is Phase.ROLLED_BACK
            cause = newest(back, "pi-1").cause
            assert cause is not None
            assert cause.kind is CauseKind.NO_DECISION
            await order(back, "pi-1", NEW)
            assert await ended(back, "pi-1") is Phase.SUCCEEDED

    in_fleet(tmp_path, [], use)


@pytest.mark.parametrize("stays", [False, True], ids=["taken over", "both at work"])
def test_of_two_operators_in_any_phase_a_stop_is_taken_once_and_both_show_the_one_verdict(
    stays: bool, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with AsyncExitStack() as stack, stops_taken(fleet) as taken:
            until_taken_over = await stack.enter_async_context(AsyncExitStack())
            first = await until_taken_over.enter_async_context(fleet.operator())
            await hold_in_each(fleet, first)
            if not stays:
                await until_taken_over.aclose()
            second = await stack.enter_async_context(fleet.operator())
            assert {name for name in IN_EACH if newest(second, name).open} == set(IN_EACH)
            let_go(fleet)
            for name in IN_EACH:
                await one_verdict(fleet, second, name)
                await known(second, name, version=runs(name))
            if not stays:
                first = await stack.enter_async_context(fleet.operator())
            for name in IN_EACH:
                await one_verdict(fleet, first, name)
                await until(lambda: shown(first, name) == shown(second, name), SOON_S)  # noqa: B023
            assert set(taken) == set(PHASES)  # a yes may be said again

    in_fleet(tmp_path, [], use)


def shown(operator: Operator, name: str) -> DeviceRecord:
    return operator.sight(name).case.record


@asynccontextmanager
async def stops_taken(fleet: LightFleet) -> AsyncIterator[Counter[str]]:
    """By device: how often it answered yes, as one hears who only listens."""
    taken: Counter[str] = Counter()

    async def answered(message: Message) -> None:
        answer = codec.decode(Answer, message.payload)
        if answer.outcome is Outcome.OK:
            taken[answer.device_id] += 1

    async with connected(fleet.plane.operator_endpoint()) as listener:
        await listener.subscribe("fleet.answer.>", answered)
        yield taken


async def hold_in_each(fleet: LightFleet, operator: Operator) -> None:
    for name in IN_EACH:
        fleet.add(name, limits=LONG)
        if hold := HELD.get(name, "start_candidate" if name == "reverting" else None):
            fleet.devices[name].executor.holds[hold] = asyncio.Event()
    await known(operator, *IN_EACH)
    for name in ("reverting", *PHASES):
        await order(operator, name, NEW)
    await until(lambda: newest(operator, "reverting").phase is Phase.CUTOVER_READY, SOON_S)
    refused = UpgradeFault(CauseKind.DEVICE_FAULT, "the disk refuses")
    fleet.devices["reverting"].executor.faults["swap_link"] = refused
    await operator.abort(["reverting"])
    for name, phase in IN_EACH.items():
        await until(lambda: newest(operator, name).phase is phase, SOON_S)  # noqa: B023


def let_go(fleet: LightFleet) -> None:
    for name, hold in HELD.items():
        fleet.devices[name].executor.holds[hold].set()
    fleet.devices["reverting"].executor.faults.clear()


def runs(name: str) -> str:
    """In the end."""
    return OLD if name == "reverting" else NEW


async def one_verdict(fleet: LightFleet, operator: Operator, name: str) -> None:
    """It shows it, the history has it once, and the device did it once."""
    verdict = Phase.ROLLED_BACK if name == "reverting" else Phase.SUCCEEDED
    assert await ended(operator, name) is verdict
    assert list(dict.fromkeys([OLD, runs(name)])) == fleet.devices[name].started
    told = [sentence for sentence in await history(fleet, name) if str(verdict) in sentence]
    assert len(told) == 1, told
