"""A device that is paused takes no new order; what is under way goes on, and may be aborted."""

from dataclasses import replace

import pytest
from tests.unit.coordinator_cases import (
    FIRST,
    HEARD,
    SECOND,
    after,
    candidate,
    fed,
    markers,
    ordered,
    phase_of,
    ready,
    said,
    stops,
    told,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Desired
from harmony_fleet.labels import Label
from harmony_fleet.operator.coordinator import AlreadyRuns, OrderRefused, step
from harmony_fleet.operator.events import AbortOrdered, MarkerSeen, PauseOrdered

PAUSED = after(HEARD, PauseOrdered(True))


def test_a_pause_and_its_end_stand_in_the_history_once_each() -> None:
    case, effects = fed(HEARD, PauseOrdered(True), PauseOrdered(True))
    assert case.record == replace(HEARD.record, paused=True)
    assert told(effects) == ["paused"]
    case, effects = fed(case, PauseOrdered(False), PauseOrdered(False))
    assert case == HEARD
    assert told(effects) == ["resumed"]


def test_while_paused_an_order_is_refused_and_says_how_to_end_the_pause() -> None:
    with pytest.raises(OrderRefused, match=r"pi-1 is paused: .*`fleet device resume pi-1`"):
        step(PAUSED, ordered())
    assert phase_of(after(PAUSED, PauseOrdered(False), ordered())) is AgentUpgradePhase.PENDING


def test_while_paused_no_order_replaces_another() -> None:
    case = after(HEARD, ordered(), PauseOrdered(True))
    with pytest.raises(OrderRefused, match="is paused"):
        step(case, ordered(SECOND, "3.0.0", replace=True))


def test_what_runs_already_is_needless_whether_paused_or_not() -> None:
    with pytest.raises(AlreadyRuns):
        step(PAUSED, ordered(version="1.0.0"))


def test_an_order_that_is_under_way_goes_on_to_its_stop_while_paused() -> None:
    case, effects = fed(HEARD, ordered(), PauseOrdered(True), ready(), candidate())
    assert [stop.upgrade_id for stop in stops(effects)] == [FIRST]
    succeeded = said(4, AgentUpgradePhase.SUCCEEDED)
    assert phase_of(after(case, succeeded)) is AgentUpgradePhase.SUCCEEDED


def test_a_marker_that_was_lost_is_written_again_while_paused() -> None:
    case = after(HEARD, ordered(), PauseOrdered(True))
    assert len(markers(fed(case, MarkerSeen(None))[1])) == 1


def test_an_abort_is_no_new_order() -> None:
    case = after(HEARD, ordered(), PauseOrdered(True), AbortOrdered())
    assert case.record.order
    assert case.record.order.desired is Desired.ABORT


def test_an_order_takes_no_pause_away_and_a_pause_no_label() -> None:
    labelled = replace(HEARD, record=replace(HEARD.record, labels=(Label("ring", "canary"),)))
    paused = after(labelled, ordered(), PauseOrdered(True), said(3, AgentUpgradePhase.FAILED))
    assert paused.record.paused
    assert paused.record.labels == (Label("ring", "canary"),)
