"""When two processes under one device id are suspected, and when no longer."""

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.operator.identity_watch import CALM_INTERVALS, Identity, observe

SLOW_MS: Final = 30_000


def beat(who: str, number: int = 1, interval_ms: int = 1000, **changed: Any) -> Heartbeat:
    plain = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, who, "boot-1", number, interval_ms)
    return replace(plain, **changed)


UNHEARD: Final = Identity()


def after(*beats: Heartbeat, identity: Identity = UNHEARD) -> Identity:
    for one in beats:
        identity = observe(identity, one)
    return identity


def turns(who: str) -> Identity:
    """Each letter is one more heartbeat of the process of that name."""
    counted = (beat(name, who[: at + 1].count(name)) for at, name in enumerate(who))
    return after(*counted)


@pytest.mark.parametrize("who", ["", "a", "ab", "abcdefghij", "aba", "abab", "aabbab", "abbaab"])
def test_restarts_and_one_late_heartbeat_of_a_replaced_process_raise_no_suspicion(
    who: str,
) -> None:
    assert not turns(who).duplicate


@pytest.mark.parametrize("who", ["ababa", "abbaabba", "abcabca", "axbxcx", "babcb"])
def test_a_process_that_was_replaced_and_comes_back_twice_is_one_of_two(who: str) -> None:
    assert turns(who).duplicate


def test_another_boot_with_the_same_instance_is_another_process() -> None:
    one, other = beat("a"), beat("a", boot_id="boot-2")
    assert after(*[one, other] * 3).duplicate


def test_a_late_heartbeat_of_long_ago_is_not_added_to_one_of_today() -> None:
    identity = turns("aba")
    for upgrade in range(3):
        quiet = [beat("b", number) for number in range(100 * upgrade + 1, 100 * upgrade + 20)]
        identity = after(*quiet, beat("c"), quiet[-1], identity=identity)
        assert not identity.duplicate


def test_many_quick_heartbeats_of_one_do_not_end_it_while_the_other_may_be_slow() -> None:
    twins = after(*[beat("slow", 1, SLOW_MS), beat("quick")] * 3)
    assert twins.duplicate
    enough = CALM_INTERVALS * SLOW_MS // 1000
    quick = [beat("quick", number) for number in range(2, 2 + enough)]
    assert after(*quick[:-1], identity=twins).duplicate
    assert not after(*quick, identity=twins).duplicate


def test_a_slow_twin_that_is_heard_in_time_keeps_the_suspicion_up() -> None:
    identity = after(*[beat("slow", 1, SLOW_MS), beat("quick")] * 3)
    for minute in range(1, 10):
        quick = [beat("quick", 80 * minute + number) for number in range(80)]
        identity = after(beat("slow", minute + 1, SLOW_MS), *quick, identity=identity)
        assert identity.duplicate


def test_a_heartbeat_that_comes_twice_or_late_makes_nobody_alone_for_longer() -> None:
    twins = turns("ababa")
    again = [beat("a", 4), *[beat("a", 4), beat("a", 3), beat("a", 1)] * 20]
    assert after(*again, identity=twins).duplicate


def test_a_change_of_pace_counts_by_the_shorter_interval() -> None:
    """It is announced at once, before the longer interval has passed."""
    twins = turns("ababa")
    hurried = [beat("a", 3 + n, SLOW_MS if n % 2 else 1000) for n in range(8)]
    assert after(*hurried, identity=twins).duplicate


BEATS: Final = st.builds(
    beat, st.sampled_from("abc"), st.integers(1, 50), st.sampled_from([1, 1000, SLOW_MS])
)


@given(st.lists(BEATS, max_size=40))
def test_in_every_history_a_suspicion_ends_only_after_three_of_the_longest_interval_of_one_alone(
    beats: list[Heartbeat],
) -> None:
    identity, alone = UNHEARD, list[Heartbeat]()
    for one in beats:
        before, identity = identity, observe(identity, one)
        alone = [*alone, one] if alone and alone[-1].instance_id == one.instance_id else [one]
        if before.duplicate and not identity.duplicate:
            longest_ms = max(instance.longest_ms for instance in before.recent)
            assert sum(b.interval_ms for b in alone) >= CALM_INTERVALS * longest_ms


@given(st.lists(BEATS, max_size=40))
def test_in_every_history_a_suspicion_needs_one_that_came_back_twice(
    beats: list[Heartbeat],
) -> None:
    identity = after(*beats)
    who = [one.instance_id for one in beats]
    runs = [name for at, name in enumerate(who) if at == 0 or who[at - 1] != name]
    if identity.duplicate:
        assert max(runs.count(name) for name in set(runs)) >= 3
