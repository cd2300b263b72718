"""What the storm does is a pure function of its seed; what it says of a verdict is pure, too."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soak.faults import Kind
from storm.plan import GOOD_LASTS_S, Attempt, Hit, Target, power_cuts, storm
from storm.verdicts import Ended, judge
from tests.machines.bad_versions import BAD

seeds = st.integers(0, 10**6)
numbers = st.integers(1, 10**4)
CRASHES = next(bad for bad in BAD if bad.overlay == "crashes_as_primary")


def ended(attempt: Attempt, phase: str, cause: str | None, hit: str | None) -> Ended:
    return Ended(attempt, "pi-1", "1.0.0", "2.0.0", hit, "Verifying", phase, cause, 1.0)


def attempt(bad: bool = False, target: Target | None = None) -> Attempt:
    hit = None if target is None else Hit(target, 1.0, 0.5)
    return Attempt(1, CRASHES if bad else None, hit)


@given(seeds, numbers)
def test_the_same_seed_and_number_give_the_same_attempt(seed: int, number: int) -> None:
    assert storm(seed, number) == storm(seed, number)
    assert power_cuts(seed, number) == power_cuts(seed, number)


@given(seeds, numbers)
def test_good_and_bad_come_in_turn_and_each_is_hit_about_within_its_time(
    seed: int, number: int
) -> None:
    found = storm(seed, number)
    assert (found.bad is None) == (number % 2 == 1)
    assert found.hit is not None
    assert 0 <= found.hit.pick < 1
    if found.bad is None:
        assert 0 <= found.hit.after_s <= 1.1 * GOOD_LASTS_S


def test_every_kind_of_bad_version_and_of_target_comes_about() -> None:
    found = [storm(7, number) for number in range(1, 501)]
    assert {one.bad for one in found} == {None, *BAD}
    assert {one.hit.target for one in found if one.hit} == set(Target)


def test_power_cuts_begin_with_what_nothing_hits() -> None:
    first, wrong_hash, crashes, *cut = [power_cuts(3, number) for number in range(1, 24)]
    assert (first.bad, wrong_hash.bad, crashes.bad) == (None, BAD[0], CRASHES)
    assert [one.hit for one in (first, wrong_hash, crashes)] == [None] * 3
    assert {one.hit.target for one in cut if one.hit} == {Target.POWER}
    assert len(cut) == 20 == sum(one.hit is not None for one in cut)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (ended(attempt(bad=True, target=Target.POWER), "Succeeded", None, "power"), "is bad"),
        (ended(attempt(target=Target.NATS), "RolledBack", "candidate_silent", "NATS"), "blamed"),
        (ended(attempt(target=Target.POWER), "RolledBack", "crash_loop", "power"), "blamed"),
        (
            ended(attempt(target=Target.PROCESS), "Failed", "self_test_failed", "fleet-agent"),
            "blamed",
        ),
        (ended(attempt(), "RolledBack", "interrupted", None), "nothing was hit"),
        (ended(attempt(bad=True), "RolledBack", "candidate_died", None), "nothing was hit"),
        (ended(attempt(target=Target.POWER), "Unresolved", "journal_lost", "power"), "no journal"),
    ],
)
def test_a_wrong_verdict_is_a_fault(told: Ended, wrong: str) -> None:
    (fault,) = judge(told)
    assert fault.kind is Kind.VERDICT
    assert wrong in fault.text


@pytest.mark.parametrize(
    "told",
    [
        ended(attempt(), "Succeeded", None, None),
        ended(
            attempt(target=Target.PROCESS), "RolledBack", "candidate_died", "fleet-agent-candidate"
        ),
        ended(attempt(target=Target.PROCESS), "RolledBack", "interrupted", "fleet-agent"),
        ended(attempt(target=Target.NATS), "RolledBack", "no_decision", "NATS"),
        ended(attempt(bad=True), "RolledBack", "crash_loop", None),
    ],
)
def test_a_right_verdict_is_none(told: Ended) -> None:
    assert judge(told) == []


def test_the_version_that_must_run_follows_the_verdict() -> None:
    done = ended(attempt(), "Succeeded", None, None)
    assert (done.runs, replace(done, phase="RolledBack").runs) == ("2.0.0", "1.0.0")
