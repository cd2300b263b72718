"""The soak's schedule is a pure function of its seed, and what it says of verdicts is pure."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import cast

import pytest
from demo.processes import DeviceProcesses
from soak.device import QUIET, Device
from soak.faults import Kind
from soak.hits import AFTERMATH_S, CONTROL_PLANE, Hit
from soak.ledger import Ledger
from soak.plan import CYCLE, SPARED, Abort, Blow, How, Order, Part, Strike, rounds
from soak.plane import ControlPlane, Taken, Upgrade
from soak.releases import BAD, BY_VERSION, FIRST, GOOD, Release
from soak.run import Settings
from soak.watching import LOST_S, lost

from harmony_fleet.cli.errors import Refused
from harmony_fleet.embedded.supervisor.settings import MachineRoot

DEVICES = ("soak-1", "soak-2", "soak-3")
SEED = 7


def blows(seed: int, first: int) -> list[Blow]:
    return [
        blow
        for one in islice(rounds(seed, DEVICES), first)
        for step in one.steps
        if isinstance(step.action, Strike)
        for blow in step.action.blows
    ]


def test_the_same_seed_gives_the_same_rounds_and_another_seed_others() -> None:
    first = list(islice(rounds(SEED, DEVICES), 5))
    assert first == list(islice(rounds(SEED, DEVICES), 5))
    assert first != list(islice(rounds(SEED + 1, DEVICES), 5))


def test_a_round_depends_on_its_number_only() -> None:
    third = next(islice(rounds(SEED, DEVICES), 2, None))
    assert third == list(islice(rounds(SEED, DEVICES), 5))[2]


def test_every_part_is_killed_and_frozen_alone_and_two_at_once() -> None:
    dealt = {(blow.part, blow.how) for blow in blows(SEED, 2 * CYCLE)}
    assert dealt == {(part, how) for part in Part for how in How}
    actions = [step.action for one in islice(rounds(SEED, DEVICES), CYCLE) for step in one.steps]
    assert {len(one.blows) for one in actions if isinstance(one, Strike)} == {1, 2}


def test_the_quiet_device_is_neither_ordered_to_nor_hit() -> None:
    run = Settings(Path("/nowhere"), SEED, 1.0, 3)
    steps = [step for one in islice(rounds(SEED, run.struck), 20) for step in one.steps]
    assert tuple(run.struck) == DEVICES
    assert QUIET not in str(steps)


def test_every_release_is_ordered_and_some_orders_are_aborted_or_replace_another() -> None:
    actions = [step.action for one in islice(rounds(SEED, DEVICES), 20) for step in one.steps]
    orders = [one for one in actions if isinstance(one, Order)]
    assert {one.version for one in orders} == set(BY_VERSION)
    assert {one.replace for one in orders} == {one.retry for one in orders} == {True, False}
    assert any(isinstance(one, Abort) for one in actions)


def test_before_a_candidate_is_hit_its_device_has_an_order_that_replaces_any_other() -> None:
    found = 0
    for one in islice(rounds(SEED, DEVICES), 20):
        actions = [step.action for step in one.steps]
        for number, action in enumerate(actions):
            blows = action.blows if isinstance(action, Strike) else ()
            for device in (blow.device for blow in blows if blow.part is Part.CANDIDATE):
                orders = [
                    two for two in actions[max(0, number - 2) : number] if isinstance(two, Order)
                ]
                assert any(order.device == device and order.replace for order in orders)
                found += 1
    assert found > 10


def test_the_control_plane_is_spared_in_a_part_of_each_cycle() -> None:
    cycle = list(islice(rounds(SEED, DEVICES), CYCLE))
    spared = [one for one in cycle if one.spared]
    assert len(spared) == SPARED
    steps = [step.action for one in spared for step in one.steps]
    struck = [blow for one in steps if isinstance(one, Strike) for blow in one.blows]
    assert struck
    assert all(blow.device in DEVICES for blow in struck)


ORDERED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENDED_AT = ORDERED_AT + timedelta(seconds=20)


def ended(version: str, phase: str, cause: str | None = None, generation: int = 1) -> Upgrade:
    return Upgrade(
        "soak-1",
        f"u{generation}",
        generation,
        version,
        phase,
        True,
        cause,
        waits_for=None,
        ordered_at=ORDERED_AT,
        since=ENDED_AT,
    )


def hit(*names: str, began_s: float = 1.0, ended_s: float | None = 2.0) -> list[Hit]:
    """Each, so long after the order."""
    began = ORDERED_AT + timedelta(seconds=began_s)
    back = None if ended_s is None else ORDERED_AT + timedelta(seconds=ended_s)
    return [Hit(name, began, back) for name in names]


@pytest.mark.parametrize("bad", BAD, ids=lambda one: one.what)
def test_a_bad_release_must_not_succeed_and_ends_with_its_own_cause(bad: Release) -> None:
    both = hit("soak-1", CONTROL_PLANE)
    assert Ledger().judge([ended(bad.version, "Succeeded")], both) != []
    assert Ledger().judge([ended(bad.version, "RolledBack", "interrupted")], both) == []
    assert Ledger().judge([ended(bad.version, "RolledBack", "interrupted")], []) != []
    assert Ledger().judge([ended(bad.version, "RolledBack", bad.causes[0])], []) == []


def test_a_good_release_succeeds_where_neither_its_device_nor_the_control_plane_was_hit() -> None:
    interrupted = [ended(GOOD[1].version, "RolledBack", "interrupted")]
    assert Ledger().judge(interrupted, hit("soak-2")) != []
    assert Ledger().judge(interrupted, hit("soak-1")) == []
    assert Ledger().judge(interrupted, hit(CONTROL_PLANE)) == []


@pytest.mark.parametrize(
    ("began_s", "ended_s", "excused"),
    [
        (-60.0, -AFTERMATH_S - 1, False),
        (-60.0, -AFTERMATH_S + 1, True),
        (-60.0, None, True),
        (5.0, 6.0, True),
        (19.0, None, True),
        (21.0, 22.0, False),
    ],
)
def test_a_blow_excuses_only_what_was_under_way_from_then_until_a_while_after_it(
    began_s: float, ended_s: float | None, *, excused: bool
) -> None:
    hits = hit("soak-1", began_s=began_s, ended_s=ended_s)
    for cause in ("interrupted", "candidate_died"):
        one = ended(GOOD[1].version, "RolledBack", cause)
        assert (Ledger().judge([one], hits) == []) is excused


@pytest.mark.parametrize(
    "how", [("Failed", "aborted"), ("RolledBack", "aborted"), ("NeverStarted", None)]
)
def test_only_what_the_soak_itself_aborted_or_replaced_may_end_so(
    how: tuple[str, str | None],
) -> None:
    one = ended(GOOD[1].version, *how)
    assert Ledger().judge([one], []) != []
    aborting, replacing, unsure = Ledger(), Ledger(), Ledger()
    for ledger in (replacing, unsure):
        ledger.open[one.upgrade_id] = one
    aborting.aborted("soak-1", Taken(one.upgrade_id))
    replacing.ordered("soak-1", Taken("another"))
    unsure.aborted("soak-1", Taken(None, "unreachable", answered=False))
    for ledger in (aborting, replacing, unsure):
        assert ledger.judge([one], []) == []
    refused = Ledger({}, {one.upgrade_id: one})
    refused.ordered("soak-1", Taken(None, "order_refused"))
    assert refused.judge([one], []) != []


def test_no_upgrade_ends_unresolved() -> None:
    both = hit("soak-1", CONTROL_PLANE)
    assert Ledger().judge([ended(GOOD[1].version, "Unresolved", "journal_lost")], both) != []


class Forgetful:
    """An operator that answers of an upgrade at the second time only, or never."""

    def __init__(self, *upgrades: Upgrade) -> None:
        self.upgrades, self.asked = {one.upgrade_id: one for one in upgrades}, 0

    def ordered_since(self, device: str, number: int) -> tuple[list[str], int]:
        return ([] if number else list(self.upgrades)), 1

    def upgrade(self, device: str, upgrade_id: str) -> Upgrade:
        self.asked += 1
        if self.asked == 1 or upgrade_id not in self.upgrades:
            raise Refused("there is no such upgrade")
        return self.upgrades[upgrade_id]


def test_an_upgrade_of_which_the_operator_cannot_tell_at_once_is_asked_for_again() -> None:
    bad = ended(BAD[0].version, "Succeeded")
    ledger, plane = Ledger(), cast(ControlPlane, Forgetful(bad))
    with pytest.raises(Refused):
        ledger.read(plane, ["soak-1"])
    assert ledger.read(plane, ["soak-1"]) == [bad]


def test_an_order_that_was_taken_and_is_unknown_afterwards_never_comes_right() -> None:
    ledger, plane = Ledger(), cast(ControlPlane, Forgetful())
    ledger.ordered("soak-1", Taken("forgotten"))
    for _ in range(3):
        with pytest.raises(Refused):
            ledger.read(plane, ["soak-1"])


def test_a_device_without_an_agent_for_too_long_is_lost_unless_it_has_no_power() -> None:
    now_s = time.monotonic()
    seen = DeviceProcesses(Path("/nowhere"), 0, without_since_s=now_s - LOST_S - 1)
    device = Device("soak-1", MachineRoot(Path("/nowhere")), seen)
    assert [fault.kind for fault in lost(device)] == [Kind.LOST]
    device.powered = False
    assert lost(device) == []
    seen.without_since_s, device.powered = now_s - LOST_S + 5, True
    assert lost(device) == []


def test_a_good_release_is_blamed_only_where_its_device_was_hit() -> None:
    blamed = [ended(GOOD[1].version, "RolledBack", "candidate_died")]
    assert Ledger().judge(blamed, hit("soak-2", CONTROL_PLANE)) != []
    assert Ledger().judge(blamed, hit("soak-1")) == []


def test_a_good_release_is_quarantined_only_where_it_was_blamed() -> None:
    good = GOOD[1].version
    refused = [ended(good, "Failed", "quarantined", 2)]
    ledger = Ledger()
    assert ledger.judge(refused, hit("soak-1")) != []
    assert ledger.wrongly_quarantined("soak-1", [good]) != []
    ledger.blamed.add(("soak-1", good))
    assert ledger.judge(refused, []) == []
    assert ledger.wrongly_quarantined("soak-1", [good, BAD[0].version]) == []


def test_what_should_run_is_what_succeeded_last_by_its_generation() -> None:
    ledger = Ledger()
    assert ledger.should_run("soak-1") == FIRST.version
    for one in (ended("1.2.0", "Succeeded", None, 5), ended("1.1.0", "Succeeded", None, 3)):
        ledger.ended[one.upgrade_id] = one
    ledger.ended["u6"] = ended("1.3.0", "RolledBack", "interrupted", 6)
    assert ledger.should_run("soak-1") == "1.2.0"
