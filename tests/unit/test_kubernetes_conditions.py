"""What is said of a Device in its conditions: every reason, and what never holds at once."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubernetes_cases import ASKED, RECORDS, newest

from harmony_fleet.contracts.upgrade import MAX_SENTENCE, AgentUpgradePhase, Cause, CauseKind
from harmony_fleet.operator.kubernetes.conditions import (
    Obstacle,
    Presence,
    Seen,
    State,
    conditions,
)
from harmony_fleet.operator.kubernetes.wants import Acted, Asked, GiveOrder, decide
from harmony_fleet.operator.records import DeviceRecord, Order

Phase = AgentUpgradePhase
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""As metav1 demands it."""
RUNS_ONE = DeviceRecord("pi-1", "1.0.0", journal_id="journal-1")
ACTED = Asked("2.0.0", acted=Acted("2.0.0"))
WITHDRAWN = Obstacle("ReleaseWithdrawn", "release 2.0.0 was withdrawn: it eats memory")
SEEN = st.builds(
    Seen,
    ASKED,
    RECORDS,
    st.sampled_from(Presence),
    st.none() | st.just(WITHDRAWN),
)


def told(seen: Seen) -> dict[str, State]:
    return {state.type: state for state in conditions(seen)}


def shown(asked: Asked, record: DeviceRecord, obstacle: Obstacle | None = None) -> str:
    """The three of progress as R, S and C where they hold, then why it is, or is not, Ready."""
    states = told(Seen(asked, record, Presence.FRESH, obstacle))
    letters = {"Ready": "R", "Stalled": "S", "Reconciling": "C"}
    held = "".join(letter for kind, letter in letters.items() if states[kind].status)
    return f"{held} {states['Ready'].reason}: {states['Ready'].message}"


def with_order(order: Order, current: str | None = "1.0.0") -> DeviceRecord:
    return replace(RUNS_ONE, current_version=current, order=order)


def test_what_runs_as_asked_or_is_asked_for_nothing_is_ready() -> None:
    assert shown(Asked("1.0.0"), RUNS_ONE) == "R Running: runs 1.0.0"
    assert shown(Asked(), RUNS_ONE) == "R Running: runs 1.0.0"
    assert shown(Asked(), with_order(newest(Phase.FAILED))) == "R Running: runs 1.0.0"
    assert shown(ACTED, with_order(newest(Phase.SUCCEEDED), "2.0.0")) == "R Running: runs 2.0.0"


def test_what_was_never_heard_is_not_ready_and_nobody_is_at_it() -> None:
    nobody = DeviceRecord("pi-1")
    assert shown(Asked(), nobody) == " Unheard: no heartbeat has come from it yet"


def test_what_will_be_ordered_is_reconciled() -> None:
    about = "C Ordering: 2.0.0 is about to be ordered"
    assert shown(Asked("2.0.0"), RUNS_ONE) == about
    heard = DeviceRecord("pi-1", journal_id="journal-1")
    assert shown(Asked("2.0.0"), heard) == about
    anew = replace(ACTED, retry="anew")
    assert shown(anew, with_order(newest(Phase.FAILED))) == about


def test_what_is_asked_of_a_device_never_heard_waits_for_its_first_word() -> None:
    about = "C Unheard: not heard yet: 2.0.0 is ordered once it is"
    assert shown(Asked("2.0.0"), DeviceRecord("pi-1")) == about


@pytest.mark.parametrize("phase", [phase for phase in Phase if not phase.final])
def test_an_order_under_way_is_reconciled_and_says_its_phase(phase: Phase) -> None:
    assert shown(ACTED, with_order(newest(phase))) == f"C {phase}: 1.0.0 to 2.0.0: {phase}"
    unheard = with_order(newest(phase), current=None)
    assert shown(ACTED, unheard) == f"C {phase}: an unknown version to 2.0.0: {phase}"
    running = with_order(newest(phase), current="2.0.0")
    assert shown(ACTED, running).startswith("C "), "not Ready before the device says that it ended"


@pytest.mark.parametrize(
    "phase", [phase for phase in Phase if phase.final and phase is not Phase.SUCCEEDED]
)
def test_what_has_failed_is_stalled_and_says_why(phase: Phase) -> None:
    failed = newest(phase, cause=Cause(CauseKind.CRASH_LOOP, "it crashed six times"))
    assert shown(ACTED, with_order(failed)) == (
        f"S {phase}: 2.0.0: {phase}, crash_loop: it crashed six times; 1.0.0 runs"
    )
    assert shown(ACTED, with_order(newest(phase))) == (
        f"S {phase}: 2.0.0: {phase}, no cause was told; 1.0.0 runs"
    )


@pytest.mark.parametrize(
    "order", [None, newest(Phase.SUCCEEDED), newest(Phase.ROLLED_BACK, "3.0.0")]
)
def test_what_was_replaced_by_hand_is_stalled_until_somebody_asks_anew(order: Order | None) -> None:
    assert shown(ACTED, replace(RUNS_ONE, order=order)) == (
        "S Drifted: 2.0.0 was reached, and now 1.0.0 runs: somebody replaced it; a new value of "
        "spec.retry orders it again"
    )


def test_what_is_paused_waits_for_whoever_paused_it() -> None:
    paused = replace(RUNS_ONE, paused=True)
    assert shown(Asked("2.0.0"), paused) == " Paused: paused: 2.0.0 is not ordered; 1.0.0 runs"
    unheard = DeviceRecord("pi-1", paused=True)
    assert shown(Asked("2.0.0"), unheard) == (
        " Paused: paused: 2.0.0 is not ordered; an unknown version runs"
    )
    assert shown(Asked("1.0.0"), paused) == "R Running: runs 1.0.0"
    under_way = replace(with_order(newest(Phase.STAGING)), paused=True)
    assert shown(ACTED, under_way) == "C Staging: 1.0.0 to 2.0.0: Staging"


def test_an_obstacle_is_stalled_and_reconciled_as_well_only_where_an_order_is_under_way() -> None:
    words = f"{WITHDRAWN.reason}: {WITHDRAWN.sentence}"
    assert shown(Asked("2.0.0"), RUNS_ONE, WITHDRAWN) == f"S {words}"
    assert shown(ACTED, with_order(newest(Phase.STAGING)), WITHDRAWN) == f"SC {words}"
    assert shown(ACTED, with_order(newest(Phase.FAILED)), WITHDRAWN) == f"S {words}"


def test_what_does_not_hold_says_so_in_one_word() -> None:
    states = told(Seen(Asked("1.0.0"), RUNS_ONE, Presence.FRESH))
    assert states["Reconciling"] == State("Reconciling", False, "Idle", "")
    assert states["Stalled"] == State("Stalled", False, "NotStalled", "")


@pytest.mark.parametrize(
    ("presence", "online", "reason"),
    [
        (Presence.FRESH, True, "HeartbeatsFresh"),
        (Presence.LOST, False, "HeartbeatsLost"),
        (Presence.UNHEARD, False, "HeartbeatsUnheard"),
    ],
)
def test_online_is_whether_heartbeats_come(presence: Presence, online: bool, reason: str) -> None:
    state = told(Seen(Asked(), RUNS_ONE, presence))["Online"]
    assert (state.status, state.reason) == (online, reason)
    assert "heartbeat" in state.message


# Whatever is seen


@given(SEEN)
def test_ready_is_only_what_runs_as_asked_with_nothing_under_way_and_nothing_in_its_way(
    seen: Seen,
) -> None:
    record, asked = seen.record, seen.asked
    is_ready = told(seen)["Ready"].status
    assert is_ready == (
        record.current_version is not None
        and (not asked.version or record.runs(asked.version))
        and not (record.order and record.order.open)
        and seen.obstacle is None
    )


@given(SEEN)
def test_ready_never_holds_beside_stalled_or_reconciling(seen: Seen) -> None:
    states = told(seen)
    if states["Ready"].status:
        assert not states["Stalled"].status
        assert not states["Reconciling"].status
    if states["Stalled"].status and states["Reconciling"].status:
        assert seen.obstacle
        assert seen.record.order
        assert seen.record.order.open


@given(SEEN)
def test_where_none_of_them_holds_somebody_else_is_waited_for(seen: Seen) -> None:
    ready, reconciling, stalled, _online = conditions(seen)
    if not (ready.status or reconciling.status or stalled.status):
        assert ready.reason in {"Unheard", "Paused"}
        assert not isinstance(decide(seen.asked, seen.record), GiveOrder)


@given(SEEN)
def test_what_is_about_to_be_ordered_is_what_the_operator_orders(seen: Seen) -> None:
    decision, record = decide(seen.asked, seen.record), seen.record
    about = told(seen)["Reconciling"].reason == "Ordering"
    at_rest = not (record.order and record.order.open) and seen.obstacle is None
    assert about == (at_rest and isinstance(decision, GiveOrder))


@given(SEEN)
def test_the_api_server_takes_each_of_them(seen: Seen) -> None:
    states = conditions(seen)
    assert [state.type for state in states] == ["Ready", "Reconciling", "Stalled", "Online"]
    for state in states:
        assert REASON.fullmatch(state.reason)
        assert len(state.reason) <= 128
        assert len(state.message) <= MAX_SENTENCE + 400
        assert state.message or not state.status
