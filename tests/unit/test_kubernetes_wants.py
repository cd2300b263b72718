"""What a Device's spec makes the operator do: once for each time that it is asked, and no more."""

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubernetes_cases import ASKED, RECORDS, newest
from tests.unit.operator_cases import ID, NOW, OLDER_ID

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Desired
from harmony_fleet.operator.coordinator import Case, OrderRefused, step
from harmony_fleet.operator.events import AbortOrdered, Ordered
from harmony_fleet.operator.kubernetes.wants import (
    Acted,
    Asked,
    GiveAbort,
    GiveOrder,
    Settled,
    Wait,
    acted_on,
    decide,
)
from harmony_fleet.operator.records import DeviceRecord, Order

Phase = AgentUpgradePhase
OPEN = [phase for phase in Phase if not phase.final]
ENDS = [phase for phase in Phase if phase.final]
BEFORE_THE_COMMIT = [phase for phase in OPEN if phase is not Phase.COMMITTED]
RUNS_ONE: Final = DeviceRecord("pi-1", "1.0.0", journal_id="journal-1")


def with_order(phase: Phase, version: str = "2.0.0", **changed: Any) -> DeviceRecord:
    return replace(RUNS_ONE, order=newest(phase, version, **changed))


def ordered(record: DeviceRecord, order: GiveOrder, upgrade_id: str = "f" * 32) -> DeviceRecord:
    """By the coordinator itself."""
    artifact = newest(Phase.PENDING).artifact
    event = Ordered(upgrade_id, order.version, artifact, NOW, order.retry, replace=True)
    return step(Case(record), event)[0].record


def aborted(record: DeviceRecord) -> DeviceRecord:
    return step(Case(record), AbortOrdered())[0].record


def known(record: DeviceRecord) -> str | None:
    return record.order.upgrade_id if record.order else None


def at(record: DeviceRecord, phase: Phase, current: str | None) -> DeviceRecord:
    """What its device has said since."""
    assert record.order is not None
    return replace(record, current_version=current, order=replace(record.order, phase=phase))


def test_nothing_is_ordered_of_a_device_that_was_never_heard() -> None:
    """Its journal may have seen orders of generations that nobody here knows."""
    unheard = replace(RUNS_ONE, journal_id=None)
    assert decide(Asked("2.0.0"), unheard) == Wait()


def test_who_asks_for_no_version_gets_no_order() -> None:
    assert decide(Asked(), RUNS_ONE) == Settled()
    assert decide(Asked(retry="today"), with_order(Phase.FAILED)) == Settled()


def test_a_version_that_does_not_run_is_ordered_and_one_that_runs_is_not() -> None:
    assert decide(Asked("2.0.0"), RUNS_ONE) == GiveOrder("2.0.0", retry=False)
    assert decide(Asked("1.0.0"), RUNS_ONE) == Settled()
    assert decide(Asked("1.0.0"), replace(RUNS_ONE, current_version=None)) == GiveOrder(
        "1.0.0", retry=False
    )


@pytest.mark.parametrize("phase", OPEN)
def test_an_order_for_what_is_asked_for_is_left_to_end(phase: Phase) -> None:
    assert decide(Asked("2.0.0"), with_order(phase)) == Wait()
    assert decide(Asked("2.0.0", "anew"), with_order(phase)) == Wait()


@pytest.mark.parametrize("phase", BEFORE_THE_COMMIT)
def test_an_order_gives_way_to_another_version_and_by_an_abort_to_the_one_that_runs(
    phase: Phase,
) -> None:
    assert decide(Asked("3.0.0"), with_order(phase)) == GiveOrder("3.0.0", retry=False)
    assert decide(Asked("1.0.0"), with_order(phase)) == GiveAbort()
    asked_already = with_order(phase, desired=Desired.ABORT)
    assert decide(Asked("1.0.0"), asked_already) == Wait()


@pytest.mark.parametrize("version", ["1.0.0", "3.0.0"])
def test_what_is_committed_ends_first(version: str) -> None:
    assert decide(Asked(version), with_order(Phase.COMMITTED)) == Wait()


@pytest.mark.parametrize("phase", [phase for phase in ENDS if phase is not Phase.SUCCEEDED])
def test_what_has_failed_is_ordered_again_by_a_new_retry_or_after_another_version(
    phase: Phase,
) -> None:
    failed, acted = with_order(phase), Acted("2.0.0", "monday")
    assert decide(Asked("2.0.0", "monday", acted), failed) == Settled()
    assert decide(Asked("2.0.0", "tuesday", acted), failed) == GiveOrder("2.0.0", retry=True)
    assert decide(Asked("2.0.0", "", acted), failed) == GiveOrder("2.0.0", retry=False)
    back = Asked("2.0.0", "monday", Acted("1.0.0", "monday"))
    assert decide(back, failed) == GiveOrder("2.0.0", retry=False)


@pytest.mark.parametrize("order", [None, newest(Phase.SUCCEEDED), newest(Phase.FAILED, "3.0.0")])
def test_what_somebody_replaced_by_hand_is_not_ordered_again(order: Order | None) -> None:
    drifted = replace(RUNS_ONE, order=order)
    assert decide(Asked("2.0.0", acted=Acted("2.0.0")), drifted) == Settled()
    anew = Asked("2.0.0", "anew", Acted("2.0.0"))
    assert decide(anew, drifted) == GiveOrder("2.0.0", retry=True)


def test_while_paused_an_abort_is_given_all_the_same() -> None:
    paused = replace(with_order(Phase.STAGING), paused=True)
    assert decide(Asked("1.0.0"), paused) == GiveAbort()
    assert decide(Asked("3.0.0"), paused) == Wait()
    assert decide(Asked("2.0.0"), replace(RUNS_ONE, paused=True)) == Wait()


def test_an_abort_is_acted_on_so_that_the_same_version_may_be_asked_for_again() -> None:
    asked = acted_on(Asked("2.0.0"), with_order(Phase.STAGING), None)
    assert asked.acted == Acted("2.0.0")
    back = replace(asked, version="1.0.0")
    record = aborted(with_order(Phase.STAGING))
    back = acted_on(back, record, ID)
    assert back.acted == Acted("1.0.0")
    anew = replace(back, version="2.0.0")
    assert decide(anew, record) == Wait()
    assert decide(anew, at(record, Phase.FAILED, "1.0.0")) == GiveOrder("2.0.0", retry=False)


def test_an_abort_that_came_too_late_is_made_good_by_an_order_back() -> None:
    record = aborted(with_order(Phase.CUTOVER_READY))
    asked = acted_on(Asked("1.0.0"), record, ID)
    assert decide(asked, at(record, Phase.COMMITTED, "2.0.0")) == Wait()
    done = at(record, Phase.SUCCEEDED, "2.0.0")
    assert decide(asked, done) == GiveOrder("1.0.0", retry=False)
    again = acted_on(asked, ordered(done, GiveOrder("1.0.0", retry=False)), ID)
    assert decide(again, at(ordered(done, GiveOrder("1.0.0", False)), Phase.FAILED, "2.0.0")) == (
        Settled()
    )


def test_who_aborts_by_other_means_is_not_overruled() -> None:
    asked = acted_on(Asked("2.0.0"), with_order(Phase.STAGING), None)
    record = aborted(with_order(Phase.STAGING))
    assert decide(acted_on(asked, record, ID), at(record, Phase.FAILED, "1.0.0")) == Settled()


def test_who_asks_for_nothing_and_then_for_the_same_asks_anew() -> None:
    failed = with_order(Phase.FAILED)
    nothing = acted_on(Asked("", acted=Acted("2.0.0")), failed, ID)
    assert nothing.acted == Acted()
    again = replace(nothing, version="2.0.0")
    assert decide(again, failed) == GiveOrder("2.0.0", retry=False)
    assert acted_on(Asked(), RUNS_ONE, None).acted is None


def test_an_older_order_for_what_is_asked_for_was_not_given_for_it() -> None:
    asked = Asked("2.0.0", "anew", Acted("2.0.0"))
    assert acted_on(asked, with_order(Phase.FAILED), ID) == asked
    assert acted_on(asked, with_order(Phase.FAILED), OLDER_ID).acted == asked.now


# Whatever is asked for of whatever record


@given(ASKED, RECORDS)
def test_nothing_is_ordered_while_paused_nor_what_runs_nor_what_is_under_way(
    asked: Asked, record: DeviceRecord
) -> None:
    decision, order = decide(asked, record), record.order
    if isinstance(decision, GiveOrder):
        assert not record.paused
        assert decision.version == asked.version
        assert decision.version
        assert not record.runs(asked.version)
        assert not (order and order.open and order.version == asked.version)
        assert not (order and order.phase is Phase.COMMITTED)
    if isinstance(decision, GiveAbort):
        assert order
        assert order.open
        assert order.version != asked.version
        assert record.runs(asked.version)


@given(ASKED, RECORDS)
def test_what_has_failed_is_never_ordered_again_unless_version_or_retry_changed(
    asked: Asked, record: DeviceRecord
) -> None:
    order = record.order
    if order and not order.open and order.version == asked.version and asked.acted == asked.now:
        assert decide(asked, record) == Settled()


@given(ASKED, RECORDS)
def test_a_retry_is_one_only_where_its_value_is_new(asked: Asked, record: DeviceRecord) -> None:
    decision = decide(asked, record)
    if isinstance(decision, GiveOrder):
        was = asked.acted.retry if asked.acted else ""
        assert decision.retry == (asked.retry not in {"", was})


@given(ASKED, RECORDS, st.sampled_from(Phase), st.sampled_from(["0.9.0", "1.0.0", "2.0.0"]))
def test_an_order_that_was_given_is_not_asked_for_again_whatever_comes_of_it(
    asked: Asked, record: DeviceRecord, phase: Phase, current: str
) -> None:
    decision = decide(asked, record)
    if isinstance(decision, GiveOrder):
        try:
            given_now = ordered(record, decision)
        except OrderRefused:  # the highest generation there is
            return
        asked = acted_on(asked, given_now, known(record))
        assert asked.acted == asked.now
        assert not isinstance(decide(asked, given_now), GiveOrder | GiveAbort)
        later = at(given_now, phase, current)
        asked = acted_on(asked, later, known(later))
        assert not isinstance(decide(asked, later), GiveOrder | GiveAbort)


@given(ASKED, RECORDS, st.sampled_from(Phase))
def test_an_abort_that_was_given_is_not_asked_for_again(
    asked: Asked, record: DeviceRecord, phase: Phase
) -> None:
    if isinstance(decide(asked, record), GiveAbort):
        given_now = aborted(record)
        asked = acted_on(asked, given_now, known(record))
        assert not isinstance(decide(asked, given_now), GiveOrder | GiveAbort)
        later = at(given_now, phase, record.current_version)
        assert not isinstance(decide(asked, later), GiveOrder | GiveAbort)


@given(ASKED, RECORDS, st.none() | st.just(ID))
def test_acting_changes_nothing_of_what_is_asked_for(
    asked: Asked, record: DeviceRecord, before: str | None
) -> None:
    after = acted_on(asked, record, before)
    assert after.now == asked.now
    assert after.acted in (asked.acted, asked.now)
    assert acted_on(after, record, known(record)) in (after, replace(after, acted=after.now))


@pytest.mark.parametrize(
    "order", [None, newest(Phase.FAILED, "9.9.9"), newest(Phase.PENDING, "9.9.9")]
)
def test_a_heartbeat_that_is_older_than_a_verdict_is_not_taken_for_what_runs(
    order: Order | None,
) -> None:
    """2.0.0 has come; the heartbeat of 1.0.0 was before it; and by now 1.0.0 is asked for."""
    verdict = newest(Phase.SUCCEEDED)
    record = replace(RUNS_ONE, order=verdict)
    if order is not None:
        record = replace(record, order=replace(order, upgrade_id="f" * 32), past=(verdict,))
    assert not record.runs("1.0.0")
    asked = Asked("1.0.0", acted=Acted("2.0.0"))
    decision = decide(asked, record)
    assert decision == GiveOrder("1.0.0", retry=False)
    assert ordered(record, GiveOrder("1.0.0", retry=False)).order != record.order
    assert acted_on(asked, record, known(record)) == asked, "nothing of it was done yet"


def test_a_version_that_was_rolled_back_does_not_run_by_an_older_heartbeat() -> None:
    record = replace(with_order(Phase.ROLLED_BACK), current_version="2.0.0")
    assert not record.runs("2.0.0")
    assert record.order is not None
    later = replace(record, past=(record.order,), order=newest(Phase.SUCCEEDED))
    assert later.runs("2.0.0"), "it was tried again"
