"""The version that was there before: its rows of the protocol, and those of both roles."""

from dataclasses import replace

import pytest
from tests.unit.upgrade_cases import attempt_in, cause_kind, kind_and_stage

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
    CancelWork,
    CheckTarget,
    CloseAttempt,
    Exit,
    PrepareCutover,
    ReadOrder,
    Report,
    SayReady,
    Stage,
    StartCandidate,
    StartClock,
    StopCandidate,
    StopClocks,
    SwapLink,
    Verify,
)
from harmony_fleet.agent.upgrade.events import (
    CandidateExited,
    CandidateReady,
    CandidateStartFailed,
    CutoverPrepared,
    Event,
    Found,
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    PlaneAsked,
    PrimaryStarted,
    Reported,
    ServiceStopping,
    Staged,
    StagingFailed,
    StepFailed,
    StopReceived,
    TimeRanOut,
    Verified,
    VerifyingFailed,
)
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.old_primary import TRIES
from harmony_fleet.agent.upgrade.record import Attempt, Journal, after_loss, fresh
from harmony_fleet.agent.upgrade.record import Stage as JournalStage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    Checking,
    CuttingOver,
    Deadline,
    Idle,
    Leaving,
    Party,
    Preparing,
    Staging,
    Starting,
    State,
    Trial,
    Verifying,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired, cause
from harmony_fleet.testing.upgrade_samples import (
    ARTIFACT,
    BAD_ARTIFACT,
    ENDED_ID,
    ENDED_STAGES,
    GENERATION,
    ID,
    IDLE,
    LOST,
    NEW,
    NOW,
    OLD,
    OLD_SHA256,
    OTHER_ID,
    THIRD,
    WHY,
    journal_in,
    marker,
    next_order,
)

STAGING = Staging(OLD, journal_in(JournalStage.STAGING))
VERIFYING = Verifying(OLD, journal_in(JournalStage.VERIFYING))
PREPARING = Preparing(OLD, journal_in(JournalStage.VERIFYING))
CUTTING_OVER = CuttingOver(OLD, journal_in(JournalStage.CUTOVER))
ARMED = Armed(OLD, journal_in(JournalStage.CUTOVER))

BEFORE_THE_CUTOVER = (STAGING, VERIFYING, PREPARING)
IN_THE_CUTOVER = (CUTTING_OVER, ARMED)
ABORT = OrderRead(marker(desired=Desired.ABORT))
NEWER = OrderRead(next_order())
STOP = StopReceived(ID, "reply", NOW)
DISK = cause(CauseKind.DEVICE_FAULT, "the disk refused")


def started(found: Journal | Found, running: str = OLD, previous: str | None = OLD) -> Event:
    read = JournalRead(found) if isinstance(found, Journal) else found
    return PrimaryStarted(running, read, link=OLD, previous=previous)


# start


@pytest.mark.parametrize("journal", [fresh("journal-1"), IDLE, *map(journal_in, ENDED_STAGES)])
def test_a_start_with_nothing_under_way_says_ready_sweeps_reports_and_idles(
    journal: Journal,
) -> None:
    after, effects = step(Starting(), started(journal))
    assert after == Idle(OLD, journal)
    sweep = (StopCandidate(), CloseAttempt(keep=(OLD,)))
    assert effects == (SayReady(), *sweep, Report(), ReadOrder())


@pytest.mark.parametrize("stage", [JournalStage.STAGING, JournalStage.VERIFYING])
def test_a_start_in_staging_or_verifying_counts_the_try_and_stages_again(
    stage: JournalStage,
) -> None:
    after, effects = step(Starting(), started(journal_in(stage, tries=TRIES - 1)))
    assert isinstance(after, Staging)
    assert attempt_in(after).tries == TRIES
    assert attempt_in(after).stage is JournalStage.STAGING
    work = Stage(NEW, ARTIFACT, OLD, OLD_SHA256)
    assert effects == (SayReady(), Report(), work, ReadOrder())


@pytest.mark.parametrize("stage", [JournalStage.STAGING, JournalStage.VERIFYING])
def test_a_start_after_three_tries_fails_the_order(stage: JournalStage) -> None:
    after, effects = step(Starting(), started(journal_in(stage, tries=TRIES)))
    assert isinstance(after, Idle)
    assert kind_and_stage(after) == (CauseKind.TRIES_EXHAUSTED, JournalStage.FAILED)
    assert (effects[0], effects[-2:]) == (SayReady(), (Report(), ReadOrder()))


def test_a_start_in_cutover_finishes_the_revert_as_interrupted() -> None:
    after, effects = step(Starting(), started(journal_in(JournalStage.CUTOVER)))
    assert isinstance(after, Checking)
    assert after.cause.kind is CauseKind.INTERRUPTED
    assert effects == (SayReady(), CancelWork(), StopClocks(), CheckTarget(OLD, OLD_SHA256))


def test_a_start_in_reverting_finishes_the_revert_with_the_cause_that_is_journaled() -> None:
    after, effects = step(Starting(), started(journal_in(JournalStage.REVERTING)))
    assert isinstance(after, Checking)
    assert after.cause == WHY
    assert effects[0] == SayReady()
    assert effects[-1] == CheckTarget(OLD, OLD_SHA256)


def test_a_start_in_committed_swaps_again_and_exits_75() -> None:
    journal = journal_in(JournalStage.COMMITTED)
    swapping, effects = step(Starting(), started(journal))
    assert effects == (SwapLink(NEW),)
    assert step(swapping, LinkSwapped()) == (Leaving(journal, 75), (Exit(75),))


def test_a_swap_again_that_the_disk_refuses_is_tried_again_by_a_process_that_is_ready() -> None:
    swapping, _ = step(Starting(), started(journal_in(JournalStage.COMMITTED)))
    waiting, effects = step(swapping, StepFailed(DISK))
    assert (waiting, effects) == (swapping, (SayReady(), StartClock(Deadline.RETRY)))
    assert step(waiting, TimeRanOut(Deadline.RETRY)) == (swapping, (SwapLink(NEW),))


def test_while_it_swaps_again_a_stop_is_acknowledged_and_sigterm_exits_0() -> None:
    swapping, _ = step(Starting(), started(journal_in(JournalStage.COMMITTED)))
    assert step(swapping, STOP) == (swapping, (AnswerStop("reply", Outcome.OK),))
    after, effects = step(swapping, ServiceStopping(system=False))
    assert isinstance(after, Leaving)
    assert effects == (Exit(0),)


@pytest.mark.parametrize("stage", [stage for stage in JournalStage if stage.open])
def test_any_other_binary_ends_the_attempt_replaced_by_hand_and_touches_no_link(
    stage: JournalStage,
) -> None:
    after, effects = step(Starting(), started(journal_in(stage), running=THIRD))
    assert isinstance(after, Idle)
    expected = (CauseKind.REPLACED_BY_HAND, JournalStage.UNRESOLVED)
    assert kind_and_stage(after) == expected
    assert SwapLink(OLD) not in effects
    assert SwapLink(NEW) not in effects
    assert CloseAttempt(keep=(THIRD,)) in effects


@pytest.mark.parametrize("stage", [JournalStage.CUTOVER, JournalStage.REVERTING])
@pytest.mark.parametrize("says", [OLD, THIRD])
def test_what_a_link_to_the_new_version_starts_before_the_commit_is_new_whatever_it_says(
    stage: JournalStage, says: str
) -> None:
    found = JournalRead(journal_in(stage))
    after, _ = step(Starting(), PrimaryStarted(says, found, link=NEW, previous=OLD))
    if stage is JournalStage.CUTOVER:
        assert isinstance(after, Trial)
    else:
        assert isinstance(after, Checking)
        assert after.party is Party.NEW


@pytest.mark.parametrize("stage", [JournalStage.STAGING, JournalStage.VERIFYING])
def test_the_new_version_started_before_its_cutover_was_put_there_by_hand(
    stage: JournalStage,
) -> None:
    after, _ = step(Starting(), started(journal_in(stage), running=NEW))
    assert cause_kind(after) is CauseKind.REPLACED_BY_HAND


# a journal that cannot be read


def test_a_first_start_on_a_new_device_begins_a_journal_that_is_complete() -> None:
    after, _ = step(Starting(), started(JournalAbsent("journal-9"), previous=None))
    assert after == Idle(OLD, fresh("journal-9"))


@pytest.mark.parametrize("previous", [None, OLD])
def test_an_unreadable_journal_with_the_link_on_previous_or_without_it_begins_anew_and_idles(
    previous: str | None,
) -> None:
    event = started(JournalUnreadable("journal-9"), previous=previous)
    after, _ = step(Starting(), event)
    assert isinstance(after, Idle)
    assert after.journal.attempt is None
    assert not after.journal.ended_complete


def test_an_absent_journal_beside_a_previous_version_is_a_lost_one() -> None:
    after, _ = step(Starting(), started(JournalAbsent("journal-9")))
    assert after == Idle(OLD, after_loss("journal-9", OLD, OLD))


def test_after_a_loss_a_link_to_the_new_version_has_started_none_that_swaps_again_for_ever() -> (
    None
):
    event = PrimaryStarted(OLD, JournalUnreadable("journal-9"), link=NEW, previous=OLD)
    after, effects = step(Starting(), event)
    assert isinstance(after, Idle)
    assert cause_kind(after) is CauseKind.REPLACED_BY_HAND
    assert SwapLink(NEW) not in effects


@pytest.mark.parametrize(
    "order",
    [
        OrderRead(marker()),
        OrderRead(marker(version=OLD)),
        OrderRead(marker(desired=Desired.ABORT)),
        OrderUnusable(ID, GENERATION, "schema of the future"),
    ],
)
def test_a_journal_after_a_loss_ends_the_first_order_it_reads_without_a_verdict(
    order: OrderRead | OrderUnusable,
) -> None:
    idle = Idle(OLD, after_loss("journal-9", OLD, OLD))
    after, effects = step(idle, order)
    expected = (CauseKind.JOURNAL_LOST, JournalStage.UNRESOLVED)
    assert kind_and_stage(after) == expected
    assert after.journal.ended[-1].phase is AgentUpgradePhase.UNRESOLVED
    assert effects == (Report(),)


def test_a_journal_after_a_loss_takes_up_the_second_order_it_reads() -> None:
    once, _ = step(Idle(OLD, after_loss("journal-9", OLD, OLD)), OrderRead(marker()))
    after, _ = step(once, NEWER)
    assert isinstance(after, Staging)


# idle


def test_a_higher_generation_is_taken_up_by_staging_it() -> None:
    after, effects = step(Idle(OLD, IDLE), OrderRead(marker()))
    assert isinstance(after, Staging)
    assert attempt_in(after) == Attempt(
        ID, GENERATION, JournalStage.STAGING, OLD, NEW, ARTIFACT, OLD_SHA256
    )
    assert after.journal.highest == GENERATION
    assert effects == (Report(), Stage(NEW, ARTIFACT, OLD, OLD_SHA256))


def test_a_rollback_target_with_no_recorded_digest_is_to_be_hashed_while_staging() -> None:
    other = Idle(THIRD, IDLE)
    assert step(other, OrderRead(marker()))[1][-1] == Stage(NEW, ARTIFACT, THIRD, None)


REFUSALS = [
    (marker(desired=Desired.ABORT), CauseKind.ABORTED),
    (marker(desired=Desired.UNKNOWN), CauseKind.ORDER_INVALID),
    (marker(artifact=BAD_ARTIFACT), CauseKind.QUARANTINED),
    (marker(artifact=BAD_ARTIFACT, version=OLD), CauseKind.QUARANTINED),
]


@pytest.mark.parametrize(("order", "kind"), REFUSALS)
def test_an_abort_a_quarantined_digest_and_an_order_for_neither_are_ended_failed(
    order: object, kind: CauseKind
) -> None:
    assert isinstance(order, type(marker()))
    after, effects = step(Idle(OLD, IDLE), OrderRead(order))
    assert isinstance(after, Idle)
    assert kind_and_stage(after) == (kind, JournalStage.FAILED)
    assert after.journal.highest == GENERATION
    assert effects == (Report(),)


def test_an_order_that_cannot_be_read_is_ended_failed_as_invalid() -> None:
    event = OrderUnusable(ID, GENERATION, "size_bytes: expected int")
    after, effects = step(Idle(OLD, IDLE), event)
    assert kind_and_stage(after) == (CauseKind.ORDER_INVALID, JournalStage.FAILED)
    assert "size_bytes" in str(after.journal.attempt)
    assert effects == (Report(),)


def test_a_quarantined_digest_is_taken_up_with_retry() -> None:
    order = OrderRead(marker(artifact=BAD_ARTIFACT, retry=True))
    assert isinstance(step(Idle(OLD, IDLE), order)[0], Staging)


def test_a_higher_generation_of_the_version_that_runs_is_ended_succeeded() -> None:
    after, effects = step(Idle(OLD, IDLE), OrderRead(marker(version=OLD)))
    expected = (CauseKind.ALREADY_RUNNING, JournalStage.SUCCEEDED)
    assert kind_and_stage(after) == expected
    assert effects == (Report(),)


NOT_HIGHER = [
    OrderRead(marker(generation=GENERATION - 1)),
    OrderRead(marker(upgrade_id=ENDED_ID, generation=GENERATION - 1, desired=Desired.ABORT)),
    OrderRead(marker(upgrade_id=ENDED_ID, generation=GENERATION + 1)),
    OrderUnusable(OTHER_ID, GENERATION - 1, "of no matter"),
    OrderUnusable(ENDED_ID, GENERATION + 1, "of no matter"),
]


@pytest.mark.parametrize("order", NOT_HIGHER)
def test_what_is_not_higher_or_has_ended_already_is_answered_by_the_status_again(
    order: OrderRead | OrderUnusable,
) -> None:
    assert step(Idle(OLD, IDLE), order) == (Idle(OLD, IDLE), (Report(),))


def test_an_idle_agent_exits_0_on_sigterm() -> None:
    after, effects = step(Idle(OLD, IDLE), ServiceStopping(system=True))
    assert after == Leaving(IDLE, 0)
    assert effects == (CancelWork(), StopClocks(), Exit(0))


# staging and verifying


def test_a_staged_version_is_verified_and_the_targets_digest_is_journaled() -> None:
    after, effects = step(STAGING, Staged("c" * 64))
    assert isinstance(after, Verifying)
    assert attempt_in(after).stage is JournalStage.VERIFYING
    assert attempt_in(after).target_sha256 == "c" * 64
    assert effects == (Report(), Verify(NEW, OLD))


FAILURES = [
    (STAGING, StagingFailed(WHY)),
    (VERIFYING, VerifyingFailed(WHY)),
    (PREPARING, StepFailed(WHY)),
]


@pytest.mark.parametrize(("state", "event"), FAILURES)
def test_whatever_fails_before_the_cutover_ends_failed_with_its_own_cause(
    state: State, event: Event
) -> None:
    after, effects = step(state, event)
    assert isinstance(after, Idle)
    assert after.journal.attempt is not None
    assert after.journal.attempt.stage is JournalStage.FAILED
    assert after.journal.attempt.cause == WHY
    assert effects == (CancelWork(), CloseAttempt(keep=(OLD,)), Report())


def test_what_was_fetched_before_a_download_failed_is_kept_for_the_next_order() -> None:
    failed = cause(CauseKind.DOWNLOAD_FAILED, "no byte for 60 s")
    _, effects = step(STAGING, StagingFailed(failed))
    assert CloseAttempt(keep=(OLD, NEW)) in effects
    full = cause(CauseKind.DISK_FULL, "no space")
    _, effects = step(STAGING, StagingFailed(full))
    assert CloseAttempt(keep=(OLD,)) in effects


def test_a_failure_that_counts_quarantines_its_digest_and_another_does_not() -> None:
    counts = cause(CauseKind.SELF_TEST_TIMEOUT, "it hung")
    after, _ = step(VERIFYING, VerifyingFailed(counts))
    assert after.journal.quarantined == (*IDLE.quarantined, ARTIFACT.sha256)
    mismatch = cause(CauseKind.DIGEST_MISMATCH, "other bytes")
    after, _ = step(STAGING, StagingFailed(mismatch))
    assert after.journal.quarantined == IDLE.quarantined


@pytest.mark.parametrize(
    "kind",
    [
        CauseKind.SELF_TEST_FAILED,
        CauseKind.SELF_TEST_TIMEOUT,
        CauseKind.ROLLBACK_TARGET_FAILED,
    ],
)
def test_a_self_test_that_failed_without_the_plane_is_put_down_to_the_plane(
    kind: CauseKind,
) -> None:
    why = cause(kind, "no contact", "its output")
    after, _ = step(VERIFYING, VerifyingFailed(why, contact=False))
    assert kind_and_stage(after) == (CauseKind.PLANE_UNREACHABLE, JournalStage.FAILED)
    assert attempt_in(after).cause.evidence == "its output"  # type: ignore[union-attr]
    assert after.journal.quarantined == IDLE.quarantined


def test_what_needs_no_plane_keeps_its_own_cause_without_one() -> None:
    fault = cause(CauseKind.DEVICE_FAULT, "the supervisor does not answer")
    after, _ = step(VERIFYING, VerifyingFailed(fault, contact=False))
    assert attempt_in(after).cause == fault


@pytest.mark.parametrize("state", BEFORE_THE_CUTOVER)
@pytest.mark.parametrize("order", [ABORT, NEWER, OrderUnusable(OTHER_ID, GENERATION + 1, "new")])
def test_an_abort_or_a_higher_generation_before_the_cutover_ends_failed_aborted(
    state: State, order: Event
) -> None:
    after, effects = step(state, order)
    assert kind_and_stage(after) == (CauseKind.ABORTED, JournalStage.FAILED)
    assert effects == (CancelWork(), CloseAttempt(keep=(OLD,)), Report(), ReadOrder())


IGNORED_ORDERS = [
    OrderRead(marker()),
    OrderRead(marker(desired=Desired.UNKNOWN)),
    OrderRead(marker(generation=GENERATION - 1, upgrade_id=OTHER_ID, desired=Desired.ABORT)),
    OrderRead(marker(generation=GENERATION + 1, upgrade_id=ENDED_ID)),
    OrderUnusable(ENDED_ID, GENERATION + 1, "ended before"),
    OrderUnusable(OTHER_ID, GENERATION, "not higher"),
]


@pytest.mark.parametrize("state", [*BEFORE_THE_CUTOVER, *IN_THE_CUTOVER])
@pytest.mark.parametrize("order", IGNORED_ORDERS)
def test_no_other_order_disturbs_what_is_under_way(state: State, order: Event) -> None:
    assert step(state, order) == (state, ())


@pytest.mark.parametrize("state", BEFORE_THE_CUTOVER)
def test_sigterm_before_the_cutover_exits_0_with_the_journal_as_it_is(
    state: Staging | Verifying | Preparing,
) -> None:
    after, effects = step(state, ServiceStopping(system=False))
    assert after == Leaving(state.journal, 0)
    assert effects == (CancelWork(), StopClocks(), Exit(0))


# cutover


def test_a_verified_version_is_cut_over_step_by_step_and_reported_only_when_armed() -> None:
    preparing, effects = step(VERIFYING, Verified())
    assert isinstance(preparing, Preparing)
    assert effects == (PrepareCutover(OLD),)
    cutting_over, effects = step(preparing, CutoverPrepared())
    assert attempt_in(cutting_over).stage is JournalStage.CUTOVER
    assert effects == (SwapLink(NEW),)
    starting, effects = step(cutting_over, LinkSwapped())
    assert effects == (StartCandidate(NEW, ID),)
    armed, effects = step(starting, CandidateReady())
    assert armed == Armed(OLD, cutting_over.journal)
    assert effects == (StartClock(Deadline.STOP), StartClock(Deadline.OVERALL), Report())


def test_preparing_touches_neither_the_link_nor_the_journal() -> None:
    preparing, _ = step(VERIFYING, Verified())
    assert preparing.journal == VERIFYING.journal


def test_a_candidate_that_is_not_ready_in_time_is_reverted() -> None:
    why = cause(CauseKind.CANDIDATE_START_FAILED, "not ready in 30 s")
    after, effects = step(CUTTING_OVER, CandidateStartFailed(why))
    assert isinstance(after, Checking)
    assert after.cause == why
    assert effects == (CancelWork(), StopClocks(), CheckTarget(OLD, OLD_SHA256))


def test_a_swap_that_the_disk_refuses_is_reverted_with_the_disks_own_fault() -> None:
    after, _ = step(CUTTING_OVER, StepFailed(DISK))
    assert isinstance(after, Checking)
    assert after.cause == DISK


# armed


def test_a_stop_for_this_id_commits_is_acknowledged_and_exits_75() -> None:
    after, effects = step(ARMED, STOP)
    assert isinstance(after, Leaving)
    assert attempt_in(after).stage is JournalStage.COMMITTED
    assert attempt_in(after).since == NOW
    assert effects == (StopClocks(), AnswerStop("reply", Outcome.OK), Exit(75))


def test_a_stop_is_acknowledged_again_while_the_process_leaves() -> None:
    leaving, _ = step(ARMED, STOP)
    again = StopReceived(ID, "reply-2", NOW)
    assert step(leaving, again) == (leaving, (AnswerStop("reply-2", Outcome.OK),))


@pytest.mark.parametrize("state", [*BEFORE_THE_CUTOVER, CUTTING_OVER])
def test_a_stop_before_the_arming_is_refused_with_the_reason(state: State) -> None:
    after, (answer,) = step(state, STOP)
    assert after == state
    assert isinstance(answer, AnswerStop)
    assert answer.outcome is Outcome.REFUSED
    assert "not ready" in answer.reason


def test_a_stop_for_another_id_is_refused_and_for_an_ended_one_told_the_verdict() -> None:
    _, (other,) = step(ARMED, StopReceived(OTHER_ID, "reply", NOW))
    assert isinstance(other, AnswerStop)
    assert other.outcome is Outcome.REFUSED
    assert OTHER_ID in other.reason
    _, (ended,) = step(ARMED, StopReceived(ENDED_ID, "reply", NOW))
    assert ended == AnswerStop("reply", Outcome.ENDED, ended=IDLE.ended[0])


def test_a_candidate_that_is_gone_is_reverted() -> None:
    after, effects = step(ARMED, CandidateExited(WHY))
    assert isinstance(after, Checking)
    assert after.cause == WHY
    assert effects == (CancelWork(), StopClocks(), CheckTarget(OLD, OLD_SHA256))


def test_a_candidate_that_goes_down_with_the_whole_machine_did_not_die() -> None:
    assert step(ARMED, CandidateExited(WHY, system=True)) == (ARMED, ())


@pytest.mark.parametrize("state", IN_THE_CUTOVER)
@pytest.mark.parametrize("order", [ABORT, NEWER, OrderUnusable(OTHER_ID, GENERATION + 1, "new")])
def test_an_abort_or_a_higher_generation_in_the_cutover_is_reverted_aborted(
    state: State, order: Event
) -> None:
    after, effects = step(state, order)
    assert isinstance(after, Checking)
    assert after.cause.kind is CauseKind.ABORTED
    assert effects == (CancelWork(), StopClocks(), CheckTarget(OLD, OLD_SHA256))


def test_no_stop_in_time_for_a_candidate_never_heard_is_reverted_as_silent() -> None:
    unheard, effects = step(ARMED, PlaneAsked(False))
    assert (unheard, effects) == (replace(ARMED, heard=False), ())
    after, _ = step(unheard, TimeRanOut(Deadline.STOP, "its last lines"))
    assert isinstance(after, Checking)
    assert after.cause.kind is CauseKind.CANDIDATE_SILENT
    assert after.cause.evidence == "its last lines"


def test_no_stop_in_time_for_a_candidate_that_was_heard_is_reverted_undecided() -> None:
    heard, effects = step(replace(ARMED, heard=False), PlaneAsked(True))
    assert (heard, effects) == (replace(ARMED, heard=True), ())
    after, _ = step(heard, TimeRanOut(Deadline.STOP))
    assert isinstance(after, Checking)
    assert after.cause.kind is CauseKind.NO_DECISION


def test_no_stop_in_time_where_the_plane_cannot_be_asked_says_nothing_of_the_candidate() -> None:
    unsure, _ = step(replace(ARMED, heard=False), PlaneAsked(None))
    for state in (ARMED, unsure):
        after, _ = step(state, TimeRanOut(Deadline.STOP))
        assert isinstance(after, Checking)
        assert after.cause.kind is CauseKind.NO_DECISION


@pytest.mark.parametrize("answer", [False, None])
def test_a_candidate_that_was_heard_once_stays_heard_when_its_key_expires(
    answer: bool | None,
) -> None:
    heard = replace(ARMED, heard=True)
    assert step(heard, PlaneAsked(answer)) == (heard, ())


@pytest.mark.parametrize("heard", [False, True, None])
def test_the_overall_deadline_is_reverted_undecided_whoever_was_heard(heard: bool | None) -> None:
    after, _ = step(replace(ARMED, heard=heard), TimeRanOut(Deadline.OVERALL))
    assert isinstance(after, Checking)
    assert after.cause.kind is CauseKind.NO_DECISION


@pytest.mark.parametrize("state", [Idle(OLD, IDLE), *BEFORE_THE_CUTOVER, CUTTING_OVER])
@pytest.mark.parametrize("deadline", Deadline)
def test_a_clock_that_nobody_waits_for_changes_nothing(state: State, deadline: Deadline) -> None:
    assert step(state, TimeRanOut(deadline)) == (state, ())


@pytest.mark.parametrize("deadline", [Deadline.PROBATION, Deadline.RETRY])
def test_a_clock_that_is_not_for_it_does_not_end_an_armed_wait(deadline: Deadline) -> None:
    assert step(ARMED, TimeRanOut(deadline)) == (ARMED, ())


@pytest.mark.parametrize("state", [Idle(OLD, IDLE), *BEFORE_THE_CUTOVER, *IN_THE_CUTOVER])
def test_an_acknowledged_status_changes_nothing_for_the_old_version(state: State) -> None:
    assert step(state, Reported(20)) == (state, ())


@pytest.mark.parametrize("state", IN_THE_CUTOVER)
def test_sigterm_in_the_cutover_is_reverted_and_exits_0_in_the_end(state: State) -> None:
    after, _ = step(state, ServiceStopping(system=False))
    assert isinstance(after, Checking)
    assert after.cause.kind is CauseKind.SERVICE_STOPPED
    assert after.stopping


def test_an_upgrade_whose_id_was_lost_is_never_staged_nor_cut_over() -> None:
    with pytest.raises(ValueError, match="without an id"):
        step(replace(CUTTING_OVER, journal=LOST), LinkSwapped())
    no_artifact = journal_in(JournalStage.STAGING, artifact=None)
    with pytest.raises(ValueError, match="without an artifact"):
        step(Starting(), started(no_artifact))
