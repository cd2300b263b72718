"""Simulated worlds: the same again from a seed, judged, and made smaller where one is wrong."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from harmony_fleet.agent.upgrade import guard_rules
from harmony_fleet.agent.upgrade.events import StopReceived
from harmony_fleet.agent.upgrade.states import Armed, State
from harmony_fleet.operator import coordinator
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.simulation.__main__ import main
from harmony_fleet.simulation.programs import FIRST, Behaviour, Program
from harmony_fleet.simulation.scenario import STALE, Ask, Fault, FaultKind, Scenario, scenario_of
from harmony_fleet.simulation.shrink import shrink
from harmony_fleet.simulation.totals import run_many, run_seeds
from harmony_fleet.simulation.world import Outcome, run

DEVICE = "dev-1"
SEEDS = 60


def scenario(behaviour: Behaviour = Behaviour.GOOD, *faults: Fault) -> Scenario:
    """One order on one device."""
    programs = (Program(FIRST), Program("1.1.0", behaviour))
    asks = (Ask(3.0, DEVICE, "1.1.0"),)
    return Scenario(1, (DEVICE,), frozenset(), programs, asks, faults)


def ends(outcome: Outcome) -> set[tuple[str, str]]:
    return set(outcome.ends)


def test_some_seeds_show_no_violation() -> None:
    totals = run_seeds(1, SEEDS)
    assert totals.violations == []
    assert totals.upgrades > SEEDS
    assert totals.faults.total() > SEEDS


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [
        (Behaviour.GOOD, ("Succeeded", "")),
        (Behaviour.FAILS_SELF_TEST, ("Failed", "self_test_failed")),
        (Behaviour.HANGS_IN_SELF_TEST, ("Failed", "self_test_timeout")),
        (Behaviour.WRONG_BYTES, ("Failed", "digest_mismatch")),
        (Behaviour.CANDIDATE_NEVER_READY, ("RolledBack", "candidate_start_failed")),
        (Behaviour.CANDIDATE_DIES_AT_ONCE, ("RolledBack", "candidate_start_failed")),
        (Behaviour.CANDIDATE_SILENT, ("RolledBack", "candidate_silent")),
        (Behaviour.LIES, ("RolledBack", "candidate_silent")),
        (Behaviour.CRASHES_AT_ONCE, ("RolledBack", "crash_loop")),
        (Behaviour.CRASHES_LATER, ("RolledBack", "crash_loop")),
        (Behaviour.HANGS, ("RolledBack", "crash_loop")),
        (Behaviour.NO_CONTACT, ("RolledBack", "no_contact")),
        (Behaviour.REBOOTS, ("RolledBack", "crash_loop")),
    ],
)
def test_each_kind_of_version_ends_as_the_design_says(
    behaviour: Behaviour, end: tuple[str, str]
) -> None:
    outcome = run(scenario(behaviour))
    assert outcome.violations == []
    assert ends(outcome) == {end}


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize("at_s", [3.2, 4.0, 4.6])
def test_any_one_fault_in_a_good_upgrade_ends_without_a_violation(
    kind: FaultKind, at_s: float
) -> None:
    of_operators = {FaultKind.OPERATOR_KILLED, FaultKind.OPERATOR_KILLED_AT_STEP}
    of_all = {
        FaultKind.PLANE_KILLED,
        FaultKind.PLANE_EMPTIED,
        FaultKind.SECOND_OPERATOR,
        FaultKind.STORE_BROKEN,
    }
    target = "operator-1" if kind in of_operators else "" if kind in of_all else DEVICE
    role = "refused" if kind is FaultKind.DOWNLOADS else "any"
    outcome = run(scenario(Behaviour.GOOD, Fault(at_s, kind, target, 3.0, 7, role)))
    assert outcome.violations == []
    assert sum(outcome.ends.values()) == 1
    nothing_was_said_yet = kind in STALE and at_s < 4.0
    assert outcome.faults[kind] or nothing_was_said_yet


def replayed(seed: int, hash_seed: str) -> bytes:
    argv = [sys.executable, "-m", "harmony_fleet.simulation", "--seed", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(argv, env=environment, check=True, capture_output=True).stdout


def test_a_seed_tells_the_same_story_in_another_process_whatever_the_order_of_hashes() -> None:
    stories = {replayed(14, hash_seed) for hash_seed in ("0", "1", "4711")}
    assert len(stories) == 1
    assert len(stories.pop().splitlines()) > 50


def test_a_seed_tells_the_same_story_after_other_seeds() -> None:
    first = run(scenario_of(5), story=True)
    run(scenario_of(6))
    again = run(scenario_of(5), story=True)
    assert first.story == again.story
    assert first.changes == again.changes


def test_many_processes_come_to_the_same_as_one() -> None:
    alone, together = run_many(1, 30, 1), run_many(1, 30, 2)
    assert (alone.upgrades, alone.ends) == (together.upgrades, together.ends)
    assert alone.faults == together.faults


# Mistakes


@pytest.fixture
def stop_without_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator takes the device's word that its candidate is heard."""
    asked = coordinator.may_stop

    def may_stop(case: Case, upgrade_id: str) -> bool:
        return asked(replace(case, seen_upgrade=upgrade_id), upgrade_id)

    monkeypatch.setattr(coordinator, "may_stop", may_stop)
    monkeypatch.setattr("harmony_fleet.operator.loop.may_stop", may_stop)


@pytest.mark.usefixtures("stop_without_observation")
def test_a_stop_without_an_observation_is_caught_and_its_story_made_smaller() -> None:
    whole = next(
        found
        for found in map(scenario_of, range(1, 200))
        if len(found.asks) > 3 and any(one.invariant == 2 for one in run(found).violations)
    )
    small = shrink(whole, lambda tried: any(one.invariant == 2 for one in run(tried).violations))
    assert len(small.asks) < len(whole.asks)
    assert small.faults == ()
    assert {ask.device for ask in small.asks} == set(small.devices)
    assert any(one.invariant == 2 for one in run(small).violations)


def test_a_guard_that_never_goes_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_rules, "_why_back", lambda _event, _attempt: None)
    outcome = run(scenario(Behaviour.CRASHES_LATER))
    assert {one.invariant for one in outcome.violations} >= {1, 6}


def test_a_stop_that_is_not_for_the_armed_upgrade_and_is_obeyed_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the stop of the upgrade before, which comes once more."""

    def acts_on(state: State, _stop: StopReceived) -> bool:
        return isinstance(state, Armed)

    monkeypatch.setattr("harmony_fleet.agent.upgrade.old_primary.acts_on", acts_on)
    programs = (Program(FIRST), Program("1.1.0"), Program("1.2.0"))
    asks = (Ask(3.0, DEVICE, "1.1.0"), Ask(15.0, DEVICE, "1.2.0"))
    faults = (
        Fault(15.5, FaultKind.STALE_COMMANDS, DEVICE, for_s=3.0),
        Fault(15.8, FaultKind.OPERATOR_KILLED, "operator-1"),
    )
    outcome = run(Scenario(1, (DEVICE,), frozenset(), programs, asks, faults))
    assert {one.invariant for one in outcome.violations} == {2}


# The command


def test_the_command_counts_what_happened_and_leaves_with_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "10", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "violations: 0" in said
    assert "upgrades of 10 seeds" in said
    assert "Succeeded" in said


@pytest.mark.usefixtures("stop_without_observation")
def test_the_command_tells_a_seeds_violation_and_leaves_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = next(seed for seed in range(1, 100) if run(scenario_of(seed)).violations)
    assert main(["--seed", str(seed), "--shrink"]) == 1
    assert "VIOLATION of invariant 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [["--seeds", "0"], ["--seed", "-3"], ["--seeds", "many"], ["--seed", "1", "--seeds", "2"]],
)
def test_what_cannot_be_asked_is_said_and_leaves_with_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
