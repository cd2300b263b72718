"""What waits for its turn: little, in order, and nothing that is decided by it is lost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.coordinator_cases import (
    HEARD,
    SECOND,
    after,
    candidate,
    fed,
    ordered,
    primary,
    ready,
    said,
    stops,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.events import MarkerSeen, SightForgotten, Sighting
from harmony_fleet.operator.waiting import Waiting

SIGHTINGS: list[Sighting] = [
    primary(),
    primary(live=False),
    candidate(),
    candidate(live=False),
    candidate(SECOND),
    ready(3),
    said(2, AgentUpgradePhase.VERIFYING),
    said(4, AgentUpgradePhase.ROLLED_BACK),
    MarkerSeen(None),
    SightForgotten(),
]


def taken(*sightings: Sighting) -> list[Sighting]:
    """All of them at once, and then taken one by one."""
    waiting = Waiting()
    more = sum(waiting.put(one) for one in sightings)
    found = [waiting.take() for _ in range(more)]
    assert not waiting
    return found


def test_of_a_kind_the_newest_waits_and_behind_what_came_before_it() -> None:
    early, late = ready(3), said(4, AgentUpgradePhase.COMMITTED)
    assert taken(early, candidate(), late) == [candidate(), late]


def test_a_replayed_heartbeat_takes_no_live_one_away() -> None:
    live, replayed = candidate(), candidate(live=False)
    assert taken(live, replayed) == [live, replayed]


def test_a_listing_that_lags_brings_no_older_status_back() -> None:
    early, late = replace(ready(3), live=False), said(4, AgentUpgradePhase.COMMITTED)
    assert taken(late, early) == [late]
    anew = said(0, AgentUpgradePhase.STAGING, journal_id="journal-2")
    assert taken(late, anew) == [anew]


def test_a_candidate_and_a_primary_are_two_kinds() -> None:
    assert taken(primary(), candidate(), primary()) == [candidate(), primary()]


def test_what_was_seen_before_a_loss_stays_before_it() -> None:
    old = candidate(live=False)
    assert taken(candidate(), SightForgotten()) == [old, SightForgotten()]
    twice = taken(candidate(), SightForgotten(), candidate(), ready(3), SightForgotten())
    assert twice == [SightForgotten(), old, ready(3)]
    assert taken(candidate(), SightForgotten(), candidate()) == [SightForgotten(), candidate()]


def test_a_live_status_that_says_less_than_the_one_that_waits_ends_what_was_seen_before() -> None:
    ready, less = said(3, AgentUpgradePhase.CUTOVER_READY), said(2, AgentUpgradePhase.VERIFYING)
    assert taken(candidate(), ready, less) == [candidate(live=False), ready, SightForgotten()]
    listed = replace(less, live=False)
    assert taken(candidate(), ready, listed) == [candidate(), ready]


def test_a_loss_that_waits_is_known_until_it_is_taken() -> None:
    waiting = Waiting()
    waiting.put(candidate())
    assert not waiting.loss
    waiting.put(SightForgotten())
    waiting.take()
    assert waiting.loss
    waiting.take()
    assert not waiting.loss


@given(st.lists(st.sampled_from(SIGHTINGS), max_size=60))
def test_however_many_come_few_wait(sightings: list[Sighting]) -> None:
    assert len(taken(*sightings)) <= 7


@given(st.lists(st.sampled_from(SIGHTINGS), max_size=12))
def test_in_every_history_what_waited_commits_nothing_that_the_whole_would_not(
    sightings: list[Sighting],
) -> None:
    case = after(HEARD, ordered())
    heard, effects = fed(case, *taken(*sightings))
    whole, all_effects = fed(case, *sightings)
    if not any(fed(case, *sightings[:number])[0].set_back for number in range(len(sightings))):
        # that it is set back is counted in words, and of those that wait one is taken
        assert bool(stops(effects)) <= bool(stops(all_effects))
    assert heard.record.order is not None
    assert whole.record.order is not None
    assert heard.record.order.phase.final <= whole.record.order.phase.final
