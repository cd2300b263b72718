from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator_cases import (
    AN_HOUR_AGO,
    ARTIFACT,
    ID,
    NOW,
    OLDER_ID,
    Seen,
    beat,
    case,
    never_heard,
    order,
)

from harmony_fleet.contracts.heartbeat import Progress, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired, cause
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.identity_watch import Identity
from harmony_fleet.operator.records import DeviceRecord, Order
from harmony_fleet.operator.views import Sight
from harmony_fleet.operator.why import why

Phase = AgentUpgradePhase


def said(sight: Sight) -> str:
    return why(sight, NOW)


def test_a_device_that_was_never_heard() -> None:
    assert said(never_heard()) == (
        "pi-1 has never been heard: no heartbeat has come under this name. "
        "No upgrade has been ordered."
    )


def test_a_device_that_was_heard_before_this_operator_started() -> None:
    text = said(Seen(Case(DeviceRecord("pi-1", "1.0.0")), None))
    assert "not been heard since this operator started; it ran 1.0.0 before" in text


def test_an_idle_device() -> None:
    assert said(Seen(case())) == (
        "pi-1 runs 1.0.0: its last heartbeat came 2.0 s ago. No upgrade has been ordered."
    )


def test_a_paused_device_is_told_with_what_ends_the_pause_and_what_goes_on() -> None:
    paused = "It is paused: nothing new is ordered of it until `fleet device resume pi-1`."
    idle = case()
    text = said(Seen(replace(idle, record=replace(idle.record, paused=True))))
    assert text.endswith(f"{paused} No upgrade has been ordered.")
    busy = case(order(Phase.STAGING))
    text = said(Seen(replace(busy, record=replace(busy.record, paused=True))))
    assert f"{paused} It is downloading 2.0.0" in text


def test_an_order_for_a_silent_device() -> None:
    assert said(Seen(case(order(Phase.PENDING)), 400.0)) == (
        "pi-1 is silent: its last heartbeat came 6 min ago, one is due every 30 s. As far as is "
        "known it runs 1.0.0. 2.0.0 is ordered, and the device has not spoken of the order yet "
        "(Pending for 60 s). It waits for the device to be heard again."
    )


def test_a_device_whose_journal_was_set_back_is_told_how_to_mend_it() -> None:
    text = said(Seen(case(order(Phase.PENDING), said_less=2)))
    assert "nothing of it is believed: stop its agent, remove its journal.json, and start" in text
    assert text.endswith("It waits for its journal to be renewed.")


def test_a_download_under_way() -> None:
    halfway = beat(upgrade_id=ID, progress=Progress(1_000_000, 2_000_000))
    text = said(Seen(case(order(Phase.STAGING), heartbeat=halfway)))
    assert "It is downloading 2.0.0, 50 % of 2.0 MB there (Staging for 60 s)." in text
    assert "waits for the download to be complete" in text


def test_a_download_of_which_nothing_is_known_yet() -> None:
    for progress in (None, Progress(0, 0)):
        silent = beat(upgrade_id=ID, progress=progress)
        text = said(Seen(case(order(Phase.STAGING), heartbeat=silent)))
        assert "It is downloading 2.0.0 (Staging for 60 s)." in text


def test_a_second_attempt_says_so() -> None:
    text = said(Seen(case(replace(order(Phase.VERIFYING), attempt=2))))
    assert "being tested on the device (attempt 2)" in text
    assert "waits for the self-tests" in text


def test_a_cutover_without_a_live_heartbeat_of_the_new_version() -> None:
    text = said(Seen(case(order(Phase.CUTOVER_READY))))
    assert "no live heartbeat of 2.0.0 in this upgrade has been seen here" in text
    assert "without one no stop is sent" in text


def test_a_cutover_with_a_live_heartbeat() -> None:
    seen = case(order(Phase.CUTOVER_READY), seen_upgrade=ID)
    assert "was seen here; the stop is next" in said(Seen(seen))
    assert "the stop has been sent" in said(Seen(replace(seen, stop_in_flight=True)))


def test_a_stop_that_is_not_answered() -> None:
    seen = case(order(Phase.CUTOVER_READY), seen_upgrade=ID, unanswered=3, stop_in_flight=True)
    assert "the stop went 3 times without a yes, which settles nothing" in said(Seen(seen))


def test_probation() -> None:
    text = said(Seen(case(order(Phase.COMMITTED))))
    assert "2.0.0 is on probation as the permanent agent" in text
    assert "waits for the end of the probation of 2.0.0" in text


def test_an_upgrade_that_waits_gives_the_devices_reason() -> None:
    waiting = cause(CauseKind.PLANE_UNREACHABLE, "the old version has no contact either")
    text = said(Seen(case(order(Phase.COMMITTED, cause=waiting))))
    assert "plane_unreachable: the old version has no contact either." in text


def test_a_way_back_that_has_to_wait() -> None:
    waiting = cause(CauseKind.CANDIDATE_DIED, "cannot go back yet: the disk refused")
    text = said(Seen(case(order(Phase.REVERTING, cause=waiting))))
    assert "The device is on its way back from 2.0.0" in text
    assert "the disk refused" in text
    assert "waits for the device to finish going back" in text


def test_an_order_that_waits_for_an_older_ones_probation() -> None:
    older = order(Phase.COMMITTED, version="1.5.0", upgrade_id=OLDER_ID)
    text = said(Seen(case(order(Phase.PENDING), (older,))))
    assert "1.5.0 is still on probation there, and it takes one at a time" in text


def test_success() -> None:
    text = said(Seen(case(order(Phase.SUCCEEDED))))
    assert text.endswith("Its last upgrade, from 1.0.0 to 2.0.0, succeeded.")


def test_a_failure_that_changed_nothing() -> None:
    failed = cause(CauseKind.DIGEST_MISMATCH, "the file's hash is not the announced one")
    text = said(Seen(case(order(Phase.FAILED, cause=failed))))
    assert "failed before anything had been changed" in text
    assert "Cause: digest_mismatch: the file's hash is not the announced one." in text
    assert "--retry" not in text


def test_a_rollback_with_its_evidence() -> None:
    looped = cause(CauseKind.CRASH_LOOP, "it crashed 5 times", "one\n\ntwo\nthree\nlast words")
    text = said(Seen(case(order(Phase.ROLLED_BACK, cause=looped))))
    assert "was undone: the device went back to 1.0.0." in text
    assert "Evidence: “one / two / … / last words”." in text
    assert "not tried here again unless --retry is said" in text


def test_an_upgrade_without_a_verdict() -> None:
    lost = cause(CauseKind.JOURNAL_LOST, "the journal could not be read")
    text = said(Seen(case(order(Phase.UNRESOLVED, cause=lost))))
    assert "ended without a verdict" in text
    assert "journal_lost" in text


def test_an_order_that_was_replaced_before_it_began() -> None:
    text = said(Seen(case(order(Phase.NEVER_STARTED))))
    assert "2.0.0 was replaced by a newer one before the device began it." in text


def test_an_order_that_waits_for_an_older_one_to_be_undone() -> None:
    older = order(Phase.CUTOVER_READY, version="1.5.0", upgrade_id=OLDER_ID)
    text = said(Seen(case(order(Phase.PENDING), (older,))))
    assert "still about to end the older attempt of 1.5.0" in text


def test_a_rollback_to_a_version_that_nobody_named() -> None:
    text = said(Seen(case(replace(order(Phase.ROLLED_BACK), from_version=None))))
    assert "Its last upgrade, to 2.0.0, was undone." in text


def test_a_cause_without_a_sentence_is_still_a_sentence() -> None:
    text = said(Seen(case(order(Phase.FAILED, cause=cause(CauseKind.DISK_FULL, "")))))
    assert text.endswith("Cause: disk_full.")


def test_an_abort_that_the_device_has_not_taken_up() -> None:
    text = said(Seen(case(order(Phase.PENDING, desired=Desired.ABORT))))
    assert "An abort was ordered, so no stop goes out any more" in text
    assert "waits for the device to end the attempt" in text


def test_two_processes_under_one_name() -> None:
    text = said(Seen(case(order(Phase.PENDING), identity=Identity(duplicate=True))))
    assert "neither gets an order or a stop" in text


def test_a_phase_that_lasts_too_long() -> None:
    text = said(Seen(case(order(Phase.CUTOVER_READY, since=AN_HOUR_AGO))))
    assert "(CutoverReady for 60 min)" in text
    assert "It is stalled, waiting for a live heartbeat of 2.0.0" in text


def test_a_phase_that_this_operator_does_not_know() -> None:
    text = said(Seen(case(order(Phase.UNKNOWN))))
    assert "a phase of its upgrade from 1.0.0 to 2.0.0 that is not known here" in text


@pytest.mark.parametrize(
    ("age", "words"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (119, "119 s"), (7300, "2 h"), (9e5, "10 d")],
)
def test_spans_are_told_in_the_unit_that_fits(age: float, words: str) -> None:
    assert f"came {words}" in said(Seen(case(), age))


TEXTS = st.text(max_size=60).filter(lambda text: "None" not in text)
VERSIONS = st.sampled_from(["1.0.0", "2.0.0"])
IDS = st.sampled_from([ID, OLDER_ID])
TIMES = st.sampled_from(["", AN_HOUR_AGO, NOW, "2030-01-01T00:00:00Z", "yesterday"])
CAUSES = st.builds(cause, st.sampled_from(CauseKind), TEXTS, TEXTS)
ORDERS = st.builds(
    Order,
    IDS,
    st.integers(1, 9),
    VERSIONS,
    st.just(ARTIFACT),
    TIMES,
    st.sampled_from(Desired),
    st.booleans(),
    st.none() | VERSIONS,
    st.sampled_from(Phase),
    TIMES,
    st.integers(0, 3),
    st.none() | CAUSES,
)
BEATS = st.builds(
    beat,
    agent_version=VERSIONS,
    role=st.sampled_from(Role),
    upgrade_id=st.none() | IDS,
    interval_ms=st.integers(1, 10**6),
    progress=st.none() | st.builds(Progress, st.integers(0, 10), st.integers(0, 10)),
)
CASES = st.builds(
    Case,
    st.builds(
        DeviceRecord,
        st.just("pi-1"),
        st.none() | VERSIONS,
        st.none() | ORDERS,
        st.lists(ORDERS, max_size=2).map(tuple),
    ),
    st.none() | IDS,
    st.booleans(),
    st.integers(0, 5),
    st.none() | BEATS,
    st.none() | BEATS,
    st.builds(Identity, duplicate=st.booleans()),
)


@given(CASES, st.none() | st.floats(0, 10**8), TIMES)
def test_whatever_is_seen_is_told_in_whole_sentences(
    seen: Case, age: float | None, now: str
) -> None:
    text = why(Seen(seen, age), now)
    assert text.startswith("pi-1 ")
    assert text.endswith((".", "!", "?", "…"))
    assert "None" not in text
    assert text == " ".join(text.split()), "one paragraph, whatever the device's words hold"
