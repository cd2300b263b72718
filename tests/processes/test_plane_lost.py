"""The message plane goes away for longer than every deadline, in each phase, and comes back."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest
from tests.processes.light_fleet import (
    HELD,
    LIMITS,
    NEW,
    NEWER,
    OLD,
    PHASES,
    SOON_S,
    LightFleet,
    ended,
    history,
    in_fleet,
    known,
    newest,
    order,
    until_ordered_there,
)
from tests.processes.nats_fixture import running_nats, until

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.embedded.nats import EmbeddedNats
from harmony_fleet.operator.loop import Operator

SHORT = replace(LIMITS, stop_limit_s=2.0, overall_limit_s=60.0, probation_s=1.0)
AWAY_S = 3.0
"""Longer than the wait for a stop and than a probation."""

Return = Callable[[LightFleet, Path], Awaitable[None]]


async def with_its_data(fleet: LightFleet, copy: Path) -> None:
    await fleet.nats_again()


async def empty(fleet: LightFleet, copy: Path) -> None:
    shutil.rmtree(fleet.jetstream)
    await fleet.nats_again()


async def without_its_last_seconds(fleet: LightFleet, copy: Path) -> None:
    shutil.rmtree(fleet.jetstream)
    shutil.copytree(copy, fleet.jetstream)
    await fleet.nats_again()


async def after_another(fleet: LightFleet, copy: Path) -> None:
    """For a while a server answers at its address that lets none of them in."""
    port = urlsplit(fleet.server.url).port or 0
    with TemporaryDirectory() as folder:
        async with running_nats(Path(folder), port):
            await asyncio.sleep(1.0)
    await fleet.nats_again()


RETURNS: list[Return] = [with_its_data, empty, without_its_last_seconds, after_another]


async def in_phase(operator: Operator, name: str) -> None:
    await reach(operator, name, PHASES[name])


async def reach(operator: Operator, name: str, phase: Phase) -> None:
    await until(lambda: newest(operator, name).phase is phase, SOON_S)


@pytest.mark.parametrize("back", RETURNS, ids=lambda back: back.__name__)
def test_no_order_and_no_verdict_is_lost_with_the_plane_in_any_phase(
    back: Return, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            for name in ("pending", *PHASES):
                fleet.add(name, limits=SHORT)
                if hold := HELD.get(name):
                    fleet.devices[name].executor.holds[hold] = asyncio.Event()
            await known(operator, "pending", *PHASES)
            copy = shutil.copytree(fleet.jetstream, tmp_path / "copy")
            for name in PHASES:  # in this order: what is committed stays so for a moment only
                await order(operator, name, NEW)
                await in_phase(operator, name)
            await fleet.lose_nats()
            await order(operator, "pending", NEW)
            await asyncio.sleep(AWAY_S / 2)  # the outage is what is played, nothing is waited for
            for name, hold in HELD.items():
                fleet.devices[name].executor.holds[hold].set()
            await asyncio.sleep(AWAY_S / 2)
            await back(fleet, copy)
            for name in ("pending", *PHASES):
                assert await ended(operator, name) is Phase.SUCCEEDED, newest(operator, name)
                assert fleet.devices[name].started == [OLD, NEW]
            await all_go_on(fleet, operator, "pending", *PHASES)

    in_fleet(tmp_path, [], use)


async def all_go_on(fleet: LightFleet, operator: Operator, *names: str) -> None:
    await known(operator, *names, version=NEW)
    for name in names:
        await order(operator, name, NEWER)
    for name in names:
        assert await ended(operator, name) is Phase.SUCCEEDED
        told = await history(fleet, name)
        assert told.count(f"{NEW}: Succeeded") == 1
        assert told.count(f"{NEWER}: Succeeded") == 1


def test_an_outage_longer_than_the_overall_deadline_goes_back_and_blames_nobody(
    tmp_path: Path,
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            fleet.add("pi-1", limits=replace(SHORT, overall_limit_s=1.5))
            device = fleet.devices["pi-1"]
            device.executor.holds["start_candidate"] = asyncio.Event()
            await known(operator, "pi-1")
            await order(operator, "pi-1", NEW)
            await until(lambda: newest(operator, "pi-1").phase is Phase.CUTOVER_READY, SOON_S)
            await fleet.lose_nats()
            await until(
                lambda: device.journal.last is not None and not device.executor.attempt_open
            )
            device.executor.holds.clear()
            await fleet.nats_again()
            assert await ended(operator, "pi-1") is Phase.ROLLED_BACK
            told = newest(operator, "pi-1").cause
            assert told is not None
            assert told.kind is CauseKind.NO_DECISION
            await order(operator, "pi-1", NEW)
            assert await ended(operator, "pi-1") is Phase.SUCCEEDED

    in_fleet(tmp_path, [], use)


def test_a_new_plane_in_the_place_of_the_old_one_is_given_all_orders_again(tmp_path: Path) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            await ordered_in_each_phase(fleet, operator)
            await another_plane(fleet)
            await until_ordered_there(fleet, operator, "staging", "armed", "away")
            fleet.devices["away"].power_on()
            for name in ("staging", "armed"):
                fleet.devices[name].executor.holds[HELD[name]].set()
            for name in REPLACED:
                assert await ended(operator, name) is Phase.SUCCEEDED
                assert fleet.devices[name].started.count(NEW) == 1
            await all_go_on(fleet, operator, *REPLACED)

    in_fleet(tmp_path, [], use)


REPLACED = ("away", "staging", "armed", "committed")


async def ordered_in_each_phase(fleet: LightFleet, operator: Operator) -> None:
    for name in REPLACED:
        fleet.add(name, limits=replace(SHORT, stop_limit_s=10.0))
        if hold := HELD.get(name):
            fleet.devices[name].executor.holds[hold] = asyncio.Event()
    await known(operator, *REPLACED)
    await fleet.devices["away"].power_cut()
    for name in REPLACED:
        await order(operator, name, NEW)
        if name in PHASES:
            await in_phase(operator, name)


async def another_plane(fleet: LightFleet) -> None:
    """At once, and for good: it lets all of them in, and has stored nothing of theirs."""
    port = urlsplit(fleet.server.url).port or 0
    folder = fleet.folder / "another"
    shutil.copytree(fleet.folder / "nats/accounts", folder / "accounts")
    await fleet.lose_nats()
    fleet.server = await EmbeddedNats.start(folder, port)


FAILING = {
    "downloading": ("stage", CauseKind.DOWNLOAD_FAILED, Phase.FAILED),
    "testing": ("self_test", CauseKind.SELF_TEST_TIMEOUT, Phase.FAILED),
    "tested": ("self_test", CauseKind.SELF_TEST_FAILED, Phase.FAILED),
    "readying": ("start_candidate", CauseKind.CANDIDATE_START_FAILED, Phase.ROLLED_BACK),
}
"""By device: what runs into its limit while the plane is away, and how the upgrade ends."""
EXCUSED = ("testing", "tested")
"""A self-test needs the plane. READY does not."""


def test_what_runs_into_its_limit_while_the_plane_is_away_is_blamed_on_whom_it_concerns(
    tmp_path: Path,
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            holds = await held_before_failing(fleet, operator)
            await fleet.lose_nats()
            for name in ("downloading", "testing", "readying"):
                holds[name].set()
                await until(lambda: has_ended(fleet, name), SOON_S)  # noqa: B023
            await fleet.nats_again()
            await heard_from_now_on(operator, "tested")
            holds["tested"].set()  # the plane is there again, and was not all the time
            for name, (_, kind, phase) in FAILING.items():
                told = CauseKind.PLANE_UNREACHABLE if name in EXCUSED else kind
                await refuse_another_end(operator, name, phase, told)
            await refuse_another_second_try(fleet, operator)

    in_fleet(tmp_path, [], use)


async def held_before_failing(fleet: LightFleet, operator: Operator) -> dict[str, asyncio.Event]:
    holds = {}
    for name, (step, kind, _) in FAILING.items():
        fleet.add(name)
        executor = fleet.devices[name].executor
        hold = "stage" if step == "stage" else "self_test"
        holds[name] = executor.holds[hold] = asyncio.Event()
        executor.faults[step] = UpgradeFault(kind, "its time is over")
    await known(operator, *FAILING)
    for name, (step, _, _) in FAILING.items():
        await order(operator, name, NEW)
        await reach(operator, name, Phase.STAGING if step == "stage" else Phase.VERIFYING)
    return holds


async def heard_from_now_on(operator: Operator, name: str) -> None:
    began_s = time.monotonic()

    def heard() -> bool:
        age_s = operator.sight(name).heard_age_s
        return age_s is not None and age_s < time.monotonic() - began_s

    await until(heard, SOON_S)


def has_ended(fleet: LightFleet, name: str) -> bool:
    last = fleet.devices[name].journal.last
    return last is not None and last.open_attempt is None


async def refuse_another_end(
    operator: Operator, name: str, phase: Phase, kind: CauseKind | None
) -> None:
    assert await ended(operator, name) is phase
    told = newest(operator, name).cause
    assert (told and told.kind) == kind


async def refuse_another_second_try(fleet: LightFleet, operator: Operator) -> None:
    """What is not the release's fault may be ordered again as it is."""
    for name in FAILING:
        fleet.devices[name].executor.faults.clear()
        await order(operator, name, NEW)
    for name in FAILING:
        if name == "readying":
            await refuse_another_end(operator, name, Phase.FAILED, CauseKind.QUARANTINED)
        else:
            await refuse_another_end(operator, name, Phase.SUCCEEDED, None)
