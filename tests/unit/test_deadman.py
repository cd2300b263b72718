"""What the dead-man timer decides, when nobody is alive to say that probation failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.deadman import Bounds, Controls, due, judge
from harmony_fleet.agent.upgrade.events import (
    ExpiryMark,
)
from harmony_fleet.agent.upgrade.record import Journal, Stage
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.testing.upgrade_samples import IDLE, LOST, OTHER_ID, journal_in

BOUNDS = Bounds(probation_s=600.0, spacing_s=90.0, outage_s=86_400.0)
SINCE_S = 1000.0
COMMITTED = journal_in(Stage.COMMITTED, since=BootTime("boot-1", SINCE_S))


def at(seconds: float, boot_id: str = "boot-1") -> BootTime:
    """So long after the commit, or after the start of another boot."""
    return BootTime(boot_id, seconds + (SINCE_S if boot_id == "boot-1" else 0.0))


# due


@pytest.mark.parametrize("journal", [IDLE, *(journal_in(s) for s in Stage if s != "committed")])
def test_nothing_is_due_where_nothing_is_committed(journal: Journal) -> None:
    assert not due(journal, at(10_000), BOUNDS)


@pytest.mark.parametrize(("seconds", "expected"), [(599.0, False), (600.0, False), (600.5, True)])
def test_it_is_due_when_probations_time_has_passed_since_the_last_counted_start(
    seconds: float, expected: bool
) -> None:
    assert due(COMMITTED, at(seconds), BOUNDS) is expected


@pytest.mark.parametrize(("seconds", "expected"), [(599.0, False), (601.0, True)])
def test_in_a_new_boot_time_counts_from_its_beginning(seconds: float, expected: bool) -> None:
    assert due(COMMITTED, at(seconds, "boot-2"), BOUNDS) is expected


def test_where_the_start_was_never_counted_time_counts_from_the_boot() -> None:
    assert due(LOST, at(601, "boot-2"), BOUNDS)
    assert not due(LOST, at(599, "boot-2"), BOUNDS)


# judge


def control(
    seconds: float,
    contact: bool | None,
    known: Controls | None = None,
    journal: Journal = COMMITTED,
) -> tuple[Controls, ExpiryMark | None]:
    return judge(journal, at(seconds), BOUNDS, contact, known)


def kind_of(mark: ExpiryMark | None) -> CauseKind | None:
    return mark.cause.kind if mark else None


def test_the_first_control_with_contact_decides_nothing() -> None:
    controls, mark = control(700, contact=True)
    assert mark is None
    assert controls.first_contact_s == SINCE_S + 700


def test_two_controls_with_contact_far_enough_apart_are_no_contact_of_the_new_version() -> None:
    once, _ = control(700, contact=True)
    _, mark = control(790, contact=True, known=once)
    assert kind_of(mark) is CauseKind.NO_CONTACT
    assert mark is not None
    assert mark.upgrade_id == COMMITTED.attempt.upgrade_id if COMMITTED.attempt else False


def test_two_controls_closer_than_the_longest_backoff_decide_nothing_and_the_first_stays() -> None:
    once, _ = control(700, contact=True)
    twice, mark = control(789, contact=True, known=once)
    assert mark is None
    assert twice == once


@pytest.mark.parametrize("contact", [False, None])
def test_a_control_without_contact_begins_the_count_again(contact: bool | None) -> None:
    once, _ = control(700, contact=True)
    lost, mark = control(760, contact, known=once)
    assert mark is None
    _, mark = control(820, contact=True, known=lost)
    assert mark is None


def test_an_outage_is_waited_for_up_to_its_bound_and_then_blamed_on_the_plane() -> None:
    controls, mark = control(86_400, contact=False)
    assert mark is None
    _, mark = control(86_401, contact=False, known=controls)
    assert kind_of(mark) is CauseKind.PLANE_UNREACHABLE
    assert not CauseKind.PLANE_UNREACHABLE.counts_against_release


def test_a_control_that_could_never_run_is_waited_for_as_long_and_then_probation_expired() -> None:
    assert control(86_400, contact=None)[1] is None
    assert kind_of(control(86_401, contact=None)[1]) is CauseKind.PROBATION_EXPIRED


def test_what_was_found_out_about_another_upgrade_or_in_another_boot_does_not_count() -> None:
    for stale in (Controls(OTHER_ID, "boot-1", SINCE_S), Controls(None, "boot-1", SINCE_S)):
        assert control(700, contact=True, known=stale)[1] is None
    once, _ = control(700, contact=True)
    _, mark = judge(COMMITTED, at(9000, "boot-2"), BOUNDS, True, once)
    assert mark is None


def test_what_was_found_out_before_the_last_counted_start_does_not_count() -> None:
    """That start has had no time yet to reconnect after an outage that ends just now."""
    before, _ = control(700, contact=True)
    restarted = journal_in(Stage.COMMITTED, since=at(710), starts=2)
    _, mark = control(1311, contact=True, known=before, journal=restarted)
    assert mark is None


def test_a_probation_whose_id_was_lost_is_judged_as_well() -> None:
    once, _ = control(700, contact=True, journal=LOST)
    _, mark = control(800, contact=True, known=once, journal=LOST)
    assert mark is not None
    assert mark.upgrade_id is None


def test_there_is_nothing_to_judge_without_an_attempt() -> None:
    with pytest.raises(ValueError, match="no probation"):
        control(700, contact=True, journal=IDLE)


@given(st.lists(st.tuples(st.floats(1, 300), st.sampled_from([True, False, None])), max_size=12))
def test_nobody_is_marked_before_two_contacts_in_a_row_or_the_bound(
    wakings: list[tuple[float, bool | None]],
) -> None:
    now_s, known, since_first = 600.0, None, None
    for pause_s, contact in wakings:
        now_s += pause_s
        known, mark = control(now_s, contact, known)
        if not contact:
            since_first = None
        elif since_first is None:
            since_first = now_s
        far_apart = since_first is not None and now_s - since_first >= BOUNDS.spacing_s - 1e-6
        assert mark is None or far_apart
