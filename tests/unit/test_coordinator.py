"""The Operator's table of the design, row by row, and the rules of the coordinator."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.coordinator_cases import (
    ARTIFACT,
    FIRST,
    FRESH,
    HEARD,
    LATER,
    NOW,
    SECOND,
    THIRD,
    after,
    answered,
    candidate,
    ended,
    fed,
    markers,
    ordered,
    phase_of,
    primary,
    ready,
    said,
    stops,
    told,
)

from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.identity import MAX_COUNT
from harmony_fleet.contracts.upgrade import (
    ENDED_KEPT,
    AgentUpgradePhase,
    CauseKind,
    Desired,
    Ended,
    Marker,
    cause,
)
from harmony_fleet.operator.bucket import BucketWrite, bucket_write
from harmony_fleet.operator.coordinator import (
    PAST_KEPT,
    Case,
    OrderRefused,
    SendStop,
    Tell,
    WriteMarker,
    may_stop,
    step,
)
from harmony_fleet.operator.events import (
    AbortOrdered,
    Event,
    MarkerSeen,
    SightForgotten,
    StatusSeen,
    StopUnanswered,
)
from harmony_fleet.operator.identity_watch import CALM_INTERVALS
from harmony_fleet.operator.records import DeviceEvent, Side

P = AgentUpgradePhase
ORDERED = after(HEARD, ordered())
SEEN = after(ORDERED, candidate())
ASKED = after(SEEN, ready())
"""A stop is on its way."""
COMMITTED = after(ASKED, answered(Outcome.OK))
TURNS = [primary(), primary(instance_id="instance-9")] * 2 + [primary()]
DUPLICATE = after(HEARD, *TURNS)
CALM = [primary(beat=number) for number in range(2, 3 + CALM_INTERVALS)]


def refusal(case: Case, event: Event) -> str:
    with pytest.raises(OrderRefused) as raised:
        step(case, event)
    return str(raised.value)


# Order: new id and generation: store, then marker


def test_an_order_gets_the_next_generation_and_its_marker_is_written() -> None:
    case, effects = fed(HEARD, ordered(retry=True))
    marker = Marker("pi-1", FIRST, 1, "2.0.0", ARTIFACT, Desired.RUN, retry=True)
    assert markers(effects) == [WriteMarker(marker)]
    assert told(effects) == ["ordered"]
    order = case.record.order
    assert order is not None
    assert (order.phase, order.from_version, order.ordered_at) == (P.PENDING, "1.0.0", NOW)
    assert case.record.highest == 1


def test_an_order_goes_above_what_the_device_has_named_although_the_store_knows_less() -> None:
    case = after(HEARD, said(0, None, None, generation=41))
    assert markers(fed(case, ordered())[1])[0].marker.generation == 42


def test_a_device_that_was_never_heard_can_be_ordered_to() -> None:
    assert phase_of(after(FRESH, ordered())) is P.PENDING


def test_an_order_while_another_is_under_way_is_refused_and_says_how_to_end_it() -> None:
    sentence = refusal(ORDERED, ordered(SECOND, "3.0.0"))
    assert "2.0.0 (Pending)" in sentence
    assert "fleet abort pi-1" in sentence


def test_an_order_for_what_the_device_runs_already_is_refused() -> None:
    assert "already runs 1.0.0" in refusal(HEARD, ordered(version="1.0.0"))


def test_an_order_that_replaces_another_keeps_the_older_one_as_past() -> None:
    case, effects = fed(ORDERED, ordered(SECOND, "3.0.0", replace=True))
    assert markers(effects)[0].marker.generation == 2
    assert [order.upgrade_id for order in case.record.past] == [FIRST]
    assert case.record.past[0].open


def test_an_order_may_lead_back_to_the_version_that_runs_while_another_is_under_way() -> None:
    case = after(ORDERED, ordered(SECOND, "1.0.0", replace=True))
    assert case.record.order is not None
    assert case.record.order.version == "1.0.0"


def test_after_an_end_the_next_order_needs_no_replace() -> None:
    case = after(ORDERED, said(1, P.FAILED), ordered(SECOND, "3.0.0"))
    assert [order.phase for order in case.record.past] == [P.FAILED]


def test_the_past_orders_are_bounded_and_the_newest_stay() -> None:
    case = HEARD
    for number in range(PAST_KEPT + 5):
        case = after(case, ordered(f"{number:032x}", f"2.0.{number}", replace=True))
        ends = said(number, P.FAILED, f"{number:032x}", generation=number + 1)
        case = after(case, ends)
    assert [order.generation for order in case.record.past] == list(range(5, PAST_KEPT + 5))


def test_an_open_order_stays_as_long_as_a_device_could_tell_its_verdict() -> None:
    case = HEARD
    for number in range(ENDED_KEPT + 5):
        case = after(case, ordered(f"{number:032x}", f"2.0.{number}", replace=True))
    assert [order.generation for order in case.record.past] == list(range(5, ENDED_KEPT + 5))


def test_what_was_seen_for_one_order_does_not_count_for_the_next() -> None:
    case = after(ASKED, ordered(SECOND, "2.0.0", replace=True))
    assert (case.seen_upgrade, case.stop_in_flight, case.unanswered) == (None, False, 0)
    _, effects = fed(case, ready(4, SECOND, generation=2))
    assert stops(effects) == []


def test_a_device_that_claims_the_highest_generation_there_is_gets_a_refusal_not_an_error() -> None:
    case = after(HEARD, said(0, None, None, generation=MAX_COUNT))
    assert "journal is damaged" in refusal(case, ordered())


def test_a_generation_that_a_lost_journal_claimed_is_forgotten_with_it() -> None:
    case = after(HEARD, said(0, None, None, generation=MAX_COUNT))
    case = after(case, said(0, None, None, generation=3, journal_id="journal-2"))
    assert case.record.highest == 3


def test_the_generations_that_were_ordered_outlive_the_devices_journal() -> None:
    given = after(HEARD, said(0, None, None, generation=4))
    given = after(given, ordered())
    assert given.record.highest == 5
    given = after(given, said(0, None, None, generation=0, journal_id="journal-2"))
    assert given.record.highest == 5


# A journal that was set back


def test_a_device_whose_journal_was_set_back_gets_no_order_and_is_told_so_once() -> None:
    case = after(HEARD, ordered(), said(9, P.STAGING))
    case, effects = fed(case, said(3, P.VERIFYING))
    assert (case.set_back, effects) == (False, [])  # it may have been overtaken on its way
    case, effects = fed(case, said(4, P.CUTOVER_READY), said(5, P.REVERTING))
    assert [told.happening.kind for told in effects if isinstance(told, Tell)] == [
        "journal_set_back"
    ]
    assert case.record.order is not None
    assert (case.set_back, case.record.order.phase) == (True, P.STAGING)
    assert "remove its journal.json" in refusal(case, ordered(SECOND, "2.0.0", replace=True))


@pytest.mark.parametrize("seq", [9, 10])
def test_a_device_that_says_as_much_as_before_is_believed_again(seq: int) -> None:
    back = after(HEARD, said(9, None, None), said(3, None, None), said(4, None, None))
    assert back.set_back
    assert not after(back, said(seq, None, None)).set_back


def test_a_device_with_a_new_journal_is_believed_again() -> None:
    back = after(HEARD, said(9, None, None), said(3, None, None), said(4, None, None))
    renewed = after(back, said(0, None, None, generation=0, journal_id="journal-2"))
    assert not renewed.set_back
    assert after(renewed, ordered()).record.order is not None


def test_no_stop_is_sent_to_a_device_whose_journal_was_set_back() -> None:
    """It is about to carry out the same upgrade once more, and no candidate of it was seen."""
    case = after(HEARD, ordered(), candidate(), ready(9), StopUnanswered(FIRST))
    case = after(case, said(3, P.STAGING), said(4, P.VERIFYING), StopUnanswered(FIRST))
    _, effects = fed(case, primary(), said(5, P.CUTOVER_READY), StopUnanswered(FIRST))
    assert stops(effects) == []


def test_no_stop_is_sent_to_a_device_that_was_set_back_by_one_word_only() -> None:
    case = after(HEARD, ordered(), candidate(), ready(9), StopUnanswered(FIRST))
    _, effects = fed(case, said(8, P.VERIFYING), ready(9), primary(), StopUnanswered(FIRST))
    assert stops(effects) == []
    _, effects = fed(case, said(8, P.VERIFYING), StopUnanswered(FIRST), ready(9), candidate())
    assert len(stops(effects)) == 1  # the candidate of this life


def test_an_operator_that_hears_late_what_another_has_stored_takes_nothing_for_set_back() -> None:
    case = after(HEARD, said(2, None, None))
    ahead = replace(case, record=replace(case.record, seq=7))  # by the other, in the store
    words = [said(seq, None, None) for seq in (3, 4, 5, 6, 7)]
    late, effects = fed(ahead, *words)
    assert (late.set_back, late.said_less, late.record.seq) == (False, 0, 7)
    assert effects == []


def test_what_the_store_held_when_the_operator_started_was_said_before() -> None:
    known = replace(HEARD, heard=("journal-1", 9))
    assert after(known, said(3, None, None), said(4, None, None)).set_back


def test_the_history_tells_of_each_journal_once_that_it_was_set_back() -> None:
    """However often two copies of one image speak in turn."""
    turns = [said(seq, None, None) for seq in (9, 3, 4, 9, 3, 4, 9, 3, 4)]
    _, effects = fed(HEARD, *turns)
    told = [one for one in effects if isinstance(one, Tell)]
    assert len(told) == 1


def test_what_a_listing_finds_says_nothing_of_the_devices_journal() -> None:
    """A message plane that came back older still holds what a device said long ago."""
    old = replace(said(3, None, None), live=False)
    assert not after(HEARD, said(9, None, None), old, old, old).set_back


# Live heartbeat: target version, this id: remember, in memory only


def test_a_live_heartbeat_of_the_target_version_with_this_id_is_remembered_and_not_stored() -> None:
    case, effects = fed(ORDERED, candidate())
    assert case.seen_upgrade == FIRST
    assert case.record == ORDERED.record
    assert told(effects) == ["candidate_seen"]


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (candidate(live=False), "a replayed value"),
        (candidate(SECOND), "another upgrade"),
        (candidate(None), "no upgrade"),
        (candidate(agent_version="1.0.0"), "the old version"),
        (candidate(agent_version="2.0.1"), "another version"),
        (primary(upgrade_id=FIRST), "the old primary, which names the upgrade too"),
    ],
)
def test_a_heartbeat_does_not_count_if_it_is_of(seen: Event, why: str) -> None:
    case, effects = fed(ORDERED, seen, ready())
    assert case.seen_upgrade is None
    assert stops(effects) == []


def test_a_primary_on_trial_that_names_the_upgrade_counts_as_a_candidate_does() -> None:
    _, effects = fed(ORDERED, ready(), primary(agent_version="2.0.0", upgrade_id=FIRST))
    assert stops(effects) == [SendStop(FIRST, 0)]


def test_the_first_sight_is_told_once() -> None:
    _, effects = fed(ORDERED, candidate(), candidate(beat=2), candidate(beat=3))
    assert told(effects) == ["candidate_seen"]


def test_a_heartbeat_of_an_upgrade_that_has_ended_is_not_remembered() -> None:
    assert after(ORDERED, said(1, P.FAILED), candidate()).seen_upgrade is None


# Remembered, status CutoverReady, not aborted: send the stop; repeat with backoff until answered


@pytest.mark.parametrize("events", [(candidate(), ready()), (ready(), candidate())])
def test_the_stop_is_sent_as_soon_as_sight_and_status_are_there_in_either_order(
    events: tuple[Event, Event],
) -> None:
    case, effects = fed(ORDERED, *events)
    assert stops(effects) == [SendStop(FIRST, 0)]
    assert case.stop_in_flight


@pytest.mark.parametrize("phase", [phase for phase in P if phase not in {P.CUTOVER_READY}], ids=str)
def test_no_stop_is_sent_in_another_phase_than_cutover_ready(phase: P) -> None:
    _, effects = fed(SEEN, said(3, phase), candidate(beat=2))
    assert stops(effects) == []


def test_no_stop_is_sent_for_the_word_of_the_device_alone() -> None:
    _, effects = fed(ORDERED, ready(), ready(4), ready(5))
    assert stops(effects) == []


def test_no_second_stop_is_sent_while_one_is_on_its_way() -> None:
    _, effects = fed(ASKED, candidate(beat=2), ready(4), ready(5))
    assert stops(effects) == []


def test_no_answer_means_unknown_and_the_stop_is_sent_again_a_little_later_each_time() -> None:
    case, effects = fed(ASKED, *[StopUnanswered(FIRST)] * 3)
    assert stops(effects) == [SendStop(FIRST, n) for n in (1, 2, 3)]
    assert case.record == ASKED.record


def test_a_refused_stop_is_sent_again_and_told_once() -> None:
    refused = answered(Outcome.REFUSED, reason="not ready")
    case, effects = fed(ASKED, refused, refused)
    assert stops(effects) == [SendStop(FIRST, 1), SendStop(FIRST, 2)]
    assert told(effects) == ["stop_refused"]
    assert phase_of(case) is P.CUTOVER_READY


@pytest.mark.parametrize("outcome", [Outcome.ENDED, Outcome.UNKNOWN])
def test_an_answer_that_is_no_yes_changes_nothing_and_the_status_will_tell(
    outcome: Outcome,
) -> None:
    case, effects = fed(ASKED, answered(outcome))
    assert case.record == ASKED.record
    assert stops(effects) == [SendStop(FIRST, 1)]


def test_an_answer_to_the_stop_of_a_replaced_order_does_not_touch_the_newer_one() -> None:
    replaced = after(ASKED, ordered(SECOND, "3.0.0", replace=True))
    sent = after(replaced, candidate(SECOND, agent_version="3.0.0"), ready(9, SECOND, generation=2))
    assert sent.stop_in_flight
    for late in (StopUnanswered(FIRST), answered(Outcome.OK), answered(Outcome.REFUSED)):
        assert step(sent, late) == (sent, ())


def test_after_a_loss_of_the_plane_a_new_live_heartbeat_is_needed() -> None:
    case, effects = fed(SEEN, SightForgotten(), ready(), candidate(live=False))
    assert stops(effects) == []
    assert case.seen_upgrade is None
    assert stops(fed(case, candidate(beat=9))[1]) == [SendStop(FIRST, 0)]


def test_after_a_loss_an_unanswered_stop_is_repeated_only_on_a_new_sight() -> None:
    case, effects = fed(ASKED, SightForgotten(), StopUnanswered(FIRST))
    assert stops(effects) == []
    assert stops(fed(case, candidate(beat=9))[1]) == [SendStop(FIRST, 1)]


def test_a_restarted_operator_needs_its_own_sight_although_the_store_says_cutover_ready() -> None:
    restarted = Case(ASKED.record)
    _, effects = fed(restarted, ready(), candidate(live=False), MarkerSeen(None))
    assert stops(effects) == []
    assert stops(fed(restarted, candidate())[1]) == [SendStop(FIRST, 0)]


def test_what_may_be_sent_is_asked_again_at_the_instant_of_sending() -> None:
    assert may_stop(ASKED, FIRST)
    assert not may_stop(ASKED, SECOND)
    assert not may_stop(HEARD, FIRST)
    newer = after(ASKED, ordered(SECOND, replace=True), ready(9, SECOND, generation=2))
    assert not may_stop(replace(newer, seen_upgrade=FIRST), FIRST)
    for event in (SightForgotten(), AbortOrdered(), answered(Outcome.OK), said(4, P.ROLLED_BACK)):
        assert not may_stop(after(ASKED, event), FIRST)


@pytest.mark.parametrize("events", [(candidate(), ready()), (ready(), candidate())])
def test_the_first_stop_is_told_with_what_led_to_it_and_no_later_one_is(
    events: tuple[Event, Event],
) -> None:
    first, last = events
    case, effects = step(after(ORDERED, first), last)
    beside = "phase" if isinstance(last, StatusSeen) else "candidate_seen"
    assert told(list(effects)) == [beside, "stop_sent"]
    again: list[Event] = [
        StopUnanswered(FIRST),
        SightForgotten(),
        candidate(beat=9),
        StopUnanswered(FIRST),
    ]
    case, effects_again = fed(case, *again)
    assert len(stops(effects_again)) == 2
    assert "stop_sent" not in told(effects_again)


def test_the_first_stop_of_the_next_upgrade_is_told_again() -> None:
    case = after(ASKED, ordered(SECOND, "3.0.0", replace=True))
    _, effects = fed(case, candidate(SECOND, agent_version="3.0.0"), ready(9, SECOND, generation=2))
    assert told(effects).count("stop_sent") == 1


# Acknowledged, or Committed: show "in probation"


@pytest.mark.parametrize(
    ("event", "words"),
    [(answered(Outcome.OK), ["stop_answered", "phase"]), (said(4, P.COMMITTED), ["phase"])],
)
def test_acknowledged_or_reported_as_committed_the_upgrade_is_in_probation(
    event: Event, words: list[str]
) -> None:
    case, effects = fed(ASKED, event)
    order = case.record.order
    assert order is not None
    assert (order.phase, order.since, order.open) == (P.COMMITTED, LATER, True)
    assert told(effects) == words
    assert stops(effects) == []
    assert case.record.current_version == "1.0.0"


def test_what_was_committed_already_is_told_once_and_keeps_its_time() -> None:
    first = said(4, P.COMMITTED)
    case = after(ASKED, replace(first, now=NOW))
    again, effects = fed(case, answered(Outcome.OK))
    assert told(effects) == ["stop_answered"]
    assert again.record == case.record


def test_a_device_that_comes_back_from_commit_to_trial_gets_its_stop_on_a_new_sight() -> None:
    _, effects = fed(
        COMMITTED, ready(7), primary(agent_version="2.0.0", upgrade_id=FIRST, instance_id="i3")
    )
    assert stops(effects) == [SendStop(FIRST, 0)]


# A verdict in the status or in its `ended` list: record; final


VERDICTS = [P.SUCCEEDED, P.FAILED, P.ROLLED_BACK, P.UNRESOLVED]


@pytest.mark.parametrize("phase", VERDICTS, ids=str)
def test_a_verdict_in_the_status_is_recorded_with_its_cause(phase: P) -> None:
    why = cause(CauseKind.CRASH_LOOP, "it crashed", "line 1")
    case, effects = fed(ASKED, said(5, phase, cause=why, attempt=2, from_version="0.9.0"))
    order = case.record.order
    assert order is not None
    assert (order.phase, order.cause, order.attempt) == (phase, why, 2)
    assert (order.from_version, order.since) == ("0.9.0", LATER)
    assert told(effects) == ["phase"]


@pytest.mark.parametrize("phase", VERDICTS, ids=str)
def test_a_verdict_in_the_ended_list_is_recorded_while_a_newer_order_is_reported(phase: P) -> None:
    case = after(ORDERED, ordered(SECOND, "3.0.0", replace=True))
    verdict = ended(FIRST, 1, phase, cause=CauseKind.ABORTED)
    case = after(case, said(5, P.STAGING, SECOND, generation=2, ended=(verdict,)))
    assert [order.phase for order in case.record.past] == [phase]
    past = case.record.past[0].cause
    assert past is not None
    assert past.kind is CauseKind.ABORTED
    assert phase_of(case) is P.STAGING


@pytest.mark.parametrize("phase", VERDICTS, ids=str)
@pytest.mark.parametrize("later", [*VERDICTS, P.CUTOVER_READY, P.COMMITTED, P.UNKNOWN], ids=str)
def test_a_verdict_is_final_whatever_the_device_says_later(phase: P, later: P) -> None:
    case = after(ASKED, said(5, phase))
    again, effects = fed(case, said(6, later), answered(Outcome.OK), candidate(beat=4))
    assert again.record.order == case.record.order
    assert stops(effects) == []


def test_a_late_yes_to_a_stop_does_not_undo_what_the_device_has_said_since() -> None:
    case = after(ASKED, said(5, P.REVERTING))
    assert phase_of(after(case, answered(Outcome.OK))) is P.REVERTING


def test_what_a_device_waited_for_is_not_the_cause_of_its_verdict() -> None:
    waiting = cause(CauseKind.PLANE_UNREACHABLE, "no status was acknowledged yet")
    case = after(ASKED, said(5, P.COMMITTED, cause=waiting))
    verdict = ended(FIRST, 1, P.SUCCEEDED)
    case = after(case, said(6, None, None, ended=(verdict,)))
    assert case.record.order is not None
    assert (case.record.order.phase, case.record.order.cause) == (P.SUCCEEDED, None)


def test_a_verdict_is_believed_before_an_open_phase_of_the_same_status() -> None:
    verdict = ended(FIRST, 1, P.ROLLED_BACK, cause=CauseKind.ABORTED)
    case = after(ASKED, said(5, P.COMMITTED, ended=(verdict,)))
    assert phase_of(case) is P.ROLLED_BACK


def test_a_status_about_no_upgrade_changes_no_order() -> None:
    case = after(ORDERED, said(1, None, None, generation=0))
    assert case.record.order == ORDERED.record.order
    assert case.record.seq == 1


def test_a_status_about_a_foreign_upgrade_changes_no_order() -> None:
    assert after(ORDERED, ready(3, THIRD)).record.order == ORDERED.record.order


@pytest.mark.parametrize("seq", [0, 2, 3])
def test_a_status_that_is_older_or_the_same_is_ignored(seq: int) -> None:
    case = after(ORDERED, said(3, P.VERIFYING))
    after_it, effects = step(case, said(seq, P.ROLLED_BACK))
    assert (after_it.record, effects) == (case.record, ())


def test_the_status_of_another_journal_is_taken_in_although_its_seq_is_lower() -> None:
    case = after(ORDERED, said(30, P.VERIFYING))
    case = after(case, said(1, P.UNRESOLVED, journal_id="journal-2"))
    assert phase_of(case) is P.UNRESOLVED
    assert (case.record.journal_id, case.record.seq) == ("journal-2", 1)


def test_a_phase_that_is_not_known_here_is_shown_as_such_and_ends_nothing() -> None:
    case = after(ORDERED, said(3, P.UNKNOWN))
    assert phase_of(case) is P.UNKNOWN
    assert phase_of(after(case, said(4, P.SUCCEEDED))) is P.SUCCEEDED


# current_version comes from a primary's heartbeat alone


def test_the_current_version_is_what_a_primary_said_that_it_runs() -> None:
    case, effects = fed(HEARD, primary(agent_version="1.1.0"))
    assert case.record.current_version == "1.1.0"
    assert told(effects) == ["version"]


@pytest.mark.parametrize(
    "event",
    [
        candidate(),
        candidate(role=Role.UNKNOWN),
        said(9, P.SUCCEEDED),
        answered(Outcome.OK),
        primary(live=False, agent_version="2.0.0"),
    ],
)
def test_the_current_version_does_not_change_by(event: Event) -> None:
    assert after(ASKED, event).record.current_version == "1.0.0"


def test_a_replayed_heartbeat_says_what_ran_where_nothing_was_known() -> None:
    assert after(FRESH, primary(live=False)).record.current_version == "1.0.0"
    assert after(FRESH, candidate(live=False)).record.current_version is None


# Abort: store, then marker; no more stops; the device's word decides the race


def test_an_abort_is_an_order_of_the_same_generation_written_to_the_marker() -> None:
    case, effects = fed(ORDERED, AbortOrdered())
    (write,) = markers(effects)
    assert (write.marker.upgrade_id, write.marker.generation) == (FIRST, 1)
    assert write.marker.desired is Desired.ABORT
    assert told(effects) == ["abort_ordered"]
    assert phase_of(case) is P.PENDING


@pytest.mark.parametrize("events", [(candidate(), ready()), (ready(), candidate())])
def test_after_an_abort_no_stop_goes_out(events: tuple[Event, Event]) -> None:
    _, effects = fed(ORDERED, AbortOrdered(), *events)
    assert stops(effects) == []


def test_after_an_abort_an_unanswered_stop_is_not_repeated() -> None:
    _, effects = fed(ASKED, AbortOrdered(), StopUnanswered(FIRST), candidate(beat=2))
    assert stops(effects) == []


def test_if_the_stop_was_faster_than_the_abort_the_device_says_committed() -> None:
    case = after(ASKED, AbortOrdered(), answered(Outcome.OK))
    assert phase_of(case) is P.COMMITTED
    assert phase_of(after(case, said(9, P.SUCCEEDED))) is P.SUCCEEDED


def test_if_the_abort_was_faster_the_device_says_rolled_back() -> None:
    aborted = cause(CauseKind.ABORTED, "aborted by the operator")
    case = after(ASKED, AbortOrdered(), said(9, P.ROLLED_BACK, cause=aborted))
    assert phase_of(case) is P.ROLLED_BACK


def test_an_abort_that_is_ordered_twice_writes_the_marker_again_and_tells_nothing() -> None:
    aborted = after(ORDERED, AbortOrdered())
    case, effects = fed(aborted, AbortOrdered())
    assert case == aborted
    assert told(effects) == []
    assert len(markers(effects)) == 1


def test_a_generation_of_the_bucket_that_the_store_has_forgotten_is_not_given_again() -> None:
    order = ORDERED.record.order
    assert order is not None
    wanted = order.marker("pi-1")
    case, effects = step(ORDERED, MarkerSeen(replace(wanted, generation=9)))
    assert case.record == replace(ORDERED.record, highest=9)
    assert effects == (WriteMarker(wanted),)


@pytest.mark.parametrize("case", [HEARD, after(ORDERED, said(1, P.FAILED))], ids=["none", "ended"])
def test_where_nothing_is_under_way_an_abort_is_refused(case: Case) -> None:
    assert "nothing to abort" in refusal(case, AbortOrdered())


def test_in_probation_an_abort_is_refused_and_says_what_will_happen() -> None:
    assert "in probation and rolls back by itself" in refusal(COMMITTED, AbortOrdered())


def test_an_abort_is_possible_although_two_devices_answer_to_the_name() -> None:
    case = after(HEARD, ordered(), *TURNS)
    assert case.identity.duplicate
    assert len(markers(fed(case, AbortOrdered())[1])) == 1


# The bucket differs from the store: write again


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"upgrade_id": SECOND},
        {"version": "3.0.0"},
        {"desired": Desired.ABORT},
        {"retry": True},
        {"artifact": replace(ARTIFACT, sha256="b" * 64)},
    ],
    ids=str,
)
def test_where_the_bucket_differs_from_the_store_the_marker_is_written_again(
    change: dict[str, Any] | None,
) -> None:
    order = ORDERED.record.order
    assert order is not None
    wanted = order.marker("pi-1")
    found = None if change is None else replace(wanted, **change)
    assert step(ORDERED, MarkerSeen(found)) == (ORDERED, (WriteMarker(wanted),))
    assert step(ORDERED, MarkerSeen(wanted)) == (ORDERED, ())


@pytest.mark.parametrize("case", [HEARD, after(ORDERED, said(1, P.FAILED))], ids=["none", "ended"])
def test_where_nothing_is_under_way_the_bucket_is_left_alone(case: Case) -> None:
    assert step(case, MarkerSeen(None)) == (case, ())


def wanted_marker(case: Case) -> Marker:
    assert case.record.order is not None
    return case.record.order.marker("pi-1")


WANTED = wanted_marker(ORDERED)


@pytest.mark.parametrize(
    ("found", "write"),
    [
        (None, BucketWrite.WRITE),
        (WANTED, BucketWrite.NOTHING),
        (replace(WANTED, desired=Desired.ABORT), BucketWrite.WRITE),
        (replace(WANTED, upgrade_id=SECOND), BucketWrite.WRITE),
        (replace(WANTED, generation=2), BucketWrite.LEAVE),
        (replace(WANTED, upgrade_id=SECOND, generation=9), BucketWrite.LEAVE),
    ],
    ids=str,
)
def test_a_marker_that_is_still_wanted_is_written_over_all_but_itself_and_a_newer_order(
    found: Marker | None, write: BucketWrite
) -> None:
    assert bucket_write(ORDERED, WANTED, found) is write


@pytest.mark.parametrize("found", [None, WANTED, replace(WANTED, generation=9)], ids=str)
@pytest.mark.parametrize(
    "now",
    [
        HEARD,
        after(ORDERED, AbortOrdered()),
        after(ORDERED, said(1, P.FAILED)),
        after(ORDERED, ordered(SECOND, "3.0.0", replace=True)),
    ],
    ids=["none", "aborted", "ended", "replaced"],
)
def test_a_marker_that_the_store_wants_no_more_is_never_written(
    now: Case, found: Marker | None
) -> None:
    assert bucket_write(now, WANTED, found) is BucketWrite.NOTHING


# An older order is missing from the device's ended list while a newer one is reported


REPLACED = after(ORDERED, ordered(SECOND, "3.0.0", replace=True))


def past_phase(*events: Event, case: Case = REPLACED) -> P:
    return after(case, *events).record.past[0].phase


def test_an_order_that_the_device_skipped_has_never_started() -> None:
    assert past_phase(said(1, P.STAGING, SECOND, generation=2)) is P.NEVER_STARTED
    _, effects = step(REPLACED, said(1, P.STAGING, SECOND, generation=2))
    assert told(list(effects))[0] == "never_started"
    assert DeviceEvent(1, "pi-1", NOW, "never_started", "").side is Side.OPERATOR


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (said(1, P.STAGING, FIRST, generation=2), "it is the one under way"),
        (said(1, P.COMMITTED, THIRD, generation=2, deferred=FIRST), "it is deferred"),
        (said(1, None, None, generation=1), "the device has seen no newer one"),
        (said(1, P.STAGING, SECOND, generation=2, ended_complete=False), "the journal was lost"),
    ],
)
def test_nothing_is_inferred_of_an_order_where(status: Event, why: str) -> None:
    assert past_phase(status) is not P.NEVER_STARTED


KNOWN = after(HEARD, said(1, None, None, generation=0), ordered())
KNOWN_REPLACED = after(KNOWN, ordered(SECOND, "3.0.0", replace=True))
"""Both were ordered while journal-1 was known."""


@pytest.mark.parametrize(("journal", "inferred"), [("journal-1", True), ("journal-2", False)])
def test_of_an_order_nothing_is_inferred_by_another_journal_than_was_known_when_it_was_given(
    journal: str, inferred: bool
) -> None:
    status = said(9, P.STAGING, SECOND, generation=2, journal_id=journal)
    assert (past_phase(status, case=KNOWN_REPLACED) is P.NEVER_STARTED) == inferred


def test_what_the_known_journal_has_skipped_never_started_whatever_journal_comes_between() -> None:
    skipped = said(9, P.STAGING, SECOND, generation=2)
    lost = said(0, None, None, generation=2, journal_id="journal-2")
    assert past_phase(skipped, lost, case=KNOWN_REPLACED) is P.NEVER_STARTED
    assert past_phase(lost, skipped, case=KNOWN_REPLACED) is P.NEVER_STARTED


def full_list(first_generation: int) -> tuple[Ended, ...]:
    return tuple(
        ended(f"{n:032x}", n, P.SUCCEEDED)
        for n in range(first_generation, first_generation + ENDED_KEPT)
    )


@pytest.mark.parametrize(
    ("oldest", "inferred"), [(3, True), (4, True), (5, False), (6, False), (50, False)]
)
def test_of_an_order_older_than_the_full_ended_list_nothing_is_inferred(
    oldest: int, inferred: bool
) -> None:
    case = after(HEARD, said(0, None, None, generation=4), ordered())
    case = after(case, ordered(SECOND, "3.0.0", replace=True))
    assert case.record.past[0].generation == 5
    status = said(1, P.STAGING, SECOND, generation=99, ended=full_list(oldest))
    assert (past_phase(status, case=case) is P.NEVER_STARTED) == inferred


def test_an_order_that_is_newer_than_what_the_device_reports_may_still_start() -> None:
    status = said(1, P.STAGING, FIRST, generation=1)
    assert phase_of(after(REPLACED, status)) is P.PENDING


# Two boot_ids, or two primary instance_ids, alternate: DuplicateIdentity, no orders


@pytest.mark.parametrize("other", [primary(instance_id="other"), primary(boot_id="other")])
def test_two_primaries_that_take_turns_are_noticed_and_told_once(other: Event) -> None:
    case, effects = fed(HEARD, *[primary(), other] * 4)
    assert case.identity.duplicate
    assert told(effects).count("duplicate_identity") == 1


def test_a_device_that_only_restarts_is_no_duplicate() -> None:
    case = HEARD
    for number in range(40):
        case = after(case, primary(instance_id=f"i{number}", boot_id=f"b{number // 4}"))
    assert not case.identity.duplicate


@pytest.mark.parametrize(
    "other", [primary(live=False, instance_id="x"), candidate(instance_id="x")]
)
def test_replayed_heartbeats_and_candidates_make_no_duplicate(other: Event) -> None:
    events = [primary(), other] * 4
    assert not after(HEARD, *events).identity.duplicate


@pytest.mark.parametrize("desired", [Desired.RUN, Desired.ABORT])
def test_what_was_ordered_before_is_not_told_again_to_a_duplicate_but_its_end_is(
    desired: Desired,
) -> None:
    case = ORDERED if desired is Desired.RUN else after(ORDERED, AbortOrdered())
    wanted = wanted_marker(case)
    twins = replace(case, identity=replace(case.identity, duplicate=True))
    for one, told_again in ((case, True), (twins, desired is Desired.ABORT)):
        _, effects = step(one, MarkerSeen(None))
        assert effects == ((WriteMarker(wanted),) if told_again else ())
        write = BucketWrite.WRITE if told_again else BucketWrite.NOTHING
        assert bucket_write(one, wanted, None) is write


def test_no_order_goes_to_a_duplicate() -> None:
    assert "two devices answer to 'pi-1'" in refusal(DUPLICATE, ordered())
    assert "two devices" in refusal(DUPLICATE, ordered(replace=True))


def test_no_stop_goes_to_a_duplicate() -> None:
    case = after(HEARD, ordered(), *TURNS)
    case, effects = fed(case, candidate(), ready(), StopUnanswered(FIRST))
    assert case.identity.duplicate
    assert stops(effects) == []


def test_one_primary_alone_for_long_enough_ends_the_suspicion() -> None:
    almost = after(DUPLICATE, *CALM[: CALM_INTERVALS - 1])
    assert almost.identity.duplicate
    assert "two devices" in refusal(almost, ordered())
    calm = after(DUPLICATE, *CALM)
    assert not calm.identity.duplicate
    assert phase_of(after(calm, ordered())) is P.PENDING


def test_a_suspicion_that_has_ended_comes_back_with_two_that_take_turns() -> None:
    case, effects = fed(
        after(DUPLICATE, *CALM), *[primary(instance_id="instance-9"), primary()] * 2
    )
    assert case.identity.duplicate
    assert told(effects) == ["duplicate_identity"]
