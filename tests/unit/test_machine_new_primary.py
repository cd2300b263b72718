"""The version that was upgraded to, as primary: the rows of the protocol's table."""

from dataclasses import replace

import pytest
from tests.unit.upgrade_cases import attempt_in, cause_kind, kind_and_stage

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
    CancelWork,
    CheckTarget,
    CloseAttempt,
    Effect,
    Exit,
    ReadOrder,
    Report,
    SayReady,
    StartClock,
    StopCandidate,
    StopClocks,
    SwapLink,
)
from harmony_fleet.agent.upgrade.events import (
    Event,
    JournalRead,
    JournalUnreadable,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    PrimaryStarted,
    Reported,
    ServiceStopping,
    StepFailed,
    StopReceived,
    TargetDamaged,
    TargetSound,
    TimeRanOut,
)
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.record import Journal, Stage, after_loss, begin, end
from harmony_fleet.agent.upgrade.states import (
    Checking,
    Deadline,
    Idle,
    Leaving,
    OpenState,
    Party,
    Probation,
    Reverting,
    Starting,
    Trial,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired
from harmony_fleet.testing.upgrade_samples import (
    ARTIFACT,
    ENDED_ID,
    GENERATION,
    ID,
    IDLE,
    LOST,
    NEW,
    NOW,
    OLD,
    OLD_SHA256,
    OTHER_ID,
    WHY,
    journal_in,
    marker,
    next_order,
)

TRIAL = Trial(NEW, journal_in(Stage.CUTOVER))
PROBATION = Probation(NEW, journal_in(Stage.COMMITTED, starts=2))
ABORT = OrderRead(marker(desired=Desired.ABORT))
STOP = StopReceived(ID, "reply", NOW)
ENTERING_TRIAL = (
    SayReady(),
    StopClocks(),
    StartClock(Deadline.STOP),
    StartClock(Deadline.OVERALL),
    Report(),
    ReadOrder(),
)
ENTERING_PROBATION = (StopCandidate(), Report(), StartClock(Deadline.PROBATION), ReadOrder())


def start(journal: Journal) -> tuple[OpenState, tuple[Effect, ...]]:
    return step(Starting(), PrimaryStarted(NEW, JournalRead(journal), link=NEW, previous=OLD))


# start


def test_a_start_in_committed_says_ready_stops_the_candidate_and_begins_probation() -> None:
    journal = journal_in(Stage.COMMITTED)
    expected = (SayReady(), *ENTERING_PROBATION)
    assert start(journal) == (Probation(NEW, journal), expected)


def test_a_start_in_reverting_finishes_the_revert_and_exits_75() -> None:
    checking, effects = start(journal_in(Stage.REVERTING))
    assert effects[-1] == CheckTarget(OLD, OLD_SHA256)
    assert SayReady() not in effects
    reverting, effects = step(checking, TargetSound())
    assert effects == (CheckTarget(OLD, OLD_SHA256),)
    assert step(reverting, TargetSound()) == (reverting, (SwapLink(OLD),))
    after, effects = step(reverting, LinkSwapped())
    assert isinstance(after, Leaving)
    assert after.journal.attempt is not None
    assert (after.journal.attempt.stage, after.journal.attempt.cause) == (Stage.ROLLED_BACK, WHY)
    assert effects == (StopCandidate(), CloseAttempt(keep=(OLD,)), Exit(75))


def test_a_start_in_reverting_with_a_damaged_target_is_a_trial_that_says_so() -> None:
    checking, _ = start(journal_in(Stage.REVERTING))
    after, effects = step(checking, TargetDamaged("it is cut short"))
    assert isinstance(after, Trial)
    assert kind_and_stage(after) == (CauseKind.ROLLBACK_TARGET_DAMAGED, Stage.CUTOVER)
    assert "it is cut short" in str(attempt_in(after).cause)
    assert effects == ENTERING_TRIAL


def test_a_start_in_cutover_where_no_guard_ran_is_a_trial() -> None:
    journal = journal_in(Stage.CUTOVER)
    assert start(journal) == (Trial(NEW, journal), ENTERING_TRIAL)


def test_the_new_version_started_after_its_success_idles() -> None:
    after, _ = start(journal_in(Stage.SUCCEEDED))
    assert after == Idle(NEW, journal_in(Stage.SUCCEEDED))


# trial


def test_a_stop_for_this_id_commits_the_trial_and_counts_its_start() -> None:
    after, effects = step(TRIAL, STOP)
    assert isinstance(after, Probation)
    attempt = attempt_in(after)
    assert (attempt.stage, attempt.since, attempt.starts) == (Stage.COMMITTED, NOW, 1)
    assert effects == (AnswerStop("reply", Outcome.OK), StopClocks(), *ENTERING_PROBATION)


def test_a_trial_that_said_why_it_could_not_go_back_forgets_it_with_the_commit() -> None:
    checking, _ = start(journal_in(Stage.REVERTING))
    trial, _ = step(checking, TargetDamaged("it is cut short"))
    after, _ = step(trial, STOP)
    assert cause_kind(after) is None


@pytest.mark.parametrize(
    ("upgrade_id", "outcome"), [(OTHER_ID, Outcome.REFUSED), (ENDED_ID, Outcome.ENDED)]
)
def test_any_other_stop_leaves_the_trial_as_it_is(upgrade_id: str, outcome: Outcome) -> None:
    after, (answer,) = step(TRIAL, StopReceived(upgrade_id, "reply", NOW))
    assert after == TRIAL
    assert isinstance(answer, AnswerStop)
    assert answer.outcome is outcome


ENDS_OF_A_TRIAL = [
    (ABORT, CauseKind.ABORTED, False),
    (OrderRead(next_order()), CauseKind.ABORTED, False),
    (OrderUnusable(OTHER_ID, GENERATION + 1, "new"), CauseKind.ABORTED, False),
    (TimeRanOut(Deadline.STOP), CauseKind.NO_DECISION, False),
    (TimeRanOut(Deadline.OVERALL), CauseKind.NO_DECISION, False),
    (ServiceStopping(system=False), CauseKind.SERVICE_STOPPED, True),
    (ServiceStopping(system=True), CauseKind.SERVICE_STOPPED, True),
]


@pytest.mark.parametrize(("event", "kind", "stopping"), ENDS_OF_A_TRIAL)
def test_an_abort_a_newer_order_a_time_out_or_sigterm_reverts_a_trial(
    event: Event, kind: CauseKind, stopping: bool
) -> None:
    checking, effects = step(TRIAL, event)
    assert isinstance(checking, Checking)
    assert (checking.cause.kind, checking.stopping) == (kind, stopping)
    assert effects == (CancelWork(), StopClocks(), CheckTarget(OLD, OLD_SHA256))
    reverting, _ = step(checking, TargetSound())
    after, effects = step(reverting, LinkSwapped())
    assert isinstance(after, Leaving)
    assert kind_and_stage(after) == (kind, Stage.ROLLED_BACK)
    assert effects[-1] == Exit(0 if stopping else 75)


def test_a_trial_that_cannot_go_back_stays_and_says_so() -> None:
    checking, _ = step(TRIAL, TimeRanOut(Deadline.STOP))
    after, effects = step(checking, TargetDamaged("it is cut short"))
    assert isinstance(after, Trial)
    assert cause_kind(after) is CauseKind.ROLLBACK_TARGET_DAMAGED
    assert effects == ENTERING_TRIAL


def test_a_trial_that_cannot_go_back_still_ends_on_sigterm() -> None:
    checking, _ = step(TRIAL, ServiceStopping(system=False))
    after, effects = step(checking, TargetDamaged("it is cut short"))
    assert after == Leaving(TRIAL.journal, 0)
    assert effects == (Exit(0),)


def test_an_abort_that_cannot_be_obeyed_is_not_read_again_at_once_for_ever() -> None:
    checking, _ = step(TRIAL, ABORT)
    told, effects = step(checking, TargetDamaged("it is cut short"))
    assert ReadOrder() in effects
    checking, _ = step(told, ABORT)
    again, effects = step(checking, TargetDamaged("it is cut short"))
    assert again == told
    assert ReadOrder() not in effects


@pytest.mark.parametrize(
    "event",
    [
        OrderRead(marker()),
        OrderRead(marker(upgrade_id=ENDED_ID, generation=GENERATION + 1)),
        OrderUnusable(OTHER_ID, GENERATION, "not higher"),
        Reported(20),
        TimeRanOut(Deadline.PROBATION),
        TimeRanOut(Deadline.RETRY),
    ],
)
def test_nothing_else_disturbs_a_trial(event: Event) -> None:
    assert step(TRIAL, event) == (TRIAL, ())


# probation


def test_probation_succeeds_when_its_time_is_reached_and_its_status_was_acknowledged() -> None:
    reported, effects = step(PROBATION, Reported(20))
    assert (reported, effects) == (replace(PROBATION, reported=True), ())
    after, effects = step(reported, TimeRanOut(Deadline.PROBATION))
    assert isinstance(after, Idle)
    assert kind_and_stage(after) == (None, Stage.SUCCEEDED)
    assert effects == (CloseAttempt(keep=(NEW, OLD)), Report())  # one statement says it


def test_a_status_that_is_acknowledged_late_ends_probation_late() -> None:
    waiting, effects = step(PROBATION, TimeRanOut(Deadline.PROBATION))
    assert isinstance(waiting, Probation)
    assert effects == (Report(),)
    assert cause_kind(waiting) is CauseKind.PLANE_UNREACHABLE  # the status says what it waits for
    after, _ = step(waiting, Reported(waiting.journal.seq))
    assert isinstance(after, Idle)
    assert kind_and_stage(after) == (None, Stage.SUCCEEDED)


def test_a_new_start_in_probation_forgets_what_an_earlier_one_waited_for() -> None:
    waiting, _ = step(PROBATION, TimeRanOut(Deadline.PROBATION))
    assert isinstance(waiting, Probation)
    event = PrimaryStarted(NEW, JournalRead(waiting.journal), link=NEW, previous=OLD)
    after, _ = step(Starting(), event)
    assert isinstance(after, Probation)
    assert attempt_in(after).cause is None
    assert after.journal.seq == waiting.journal.seq + 1


def test_a_status_that_was_put_before_the_commit_is_no_report_of_the_new_primary() -> None:
    before = Reported(PROBATION.journal.seq - 1)
    assert step(PROBATION, before) == (PROBATION, ())
    reported, _ = step(PROBATION, Reported(PROBATION.journal.seq))
    assert reported == replace(PROBATION, reported=True)
    assert step(reported, before) == (reported, ())


def test_a_success_is_remembered_as_installed_and_lifts_the_quarantine_of_its_digest() -> None:
    journal = replace(PROBATION.journal, quarantined=(ARTIFACT.sha256, "d" * 64))
    done = replace(PROBATION, journal=journal, reported=True)
    after, _ = step(done, TimeRanOut(Deadline.PROBATION))
    assert after.journal.installed is not None
    assert after.journal.installed.sha256 == ARTIFACT.sha256
    assert after.journal.quarantined == ("d" * 64,)


def test_a_probation_whose_journal_was_lost_ends_without_a_verdict() -> None:
    event = PrimaryStarted(NEW, JournalUnreadable("journal-9"), link=NEW, previous=OLD)
    state, _ = step(Starting(), event)
    state, _ = step(state, Reported(0))
    after, _ = step(state, TimeRanOut(Deadline.PROBATION))
    assert kind_and_stage(after) == (CauseKind.JOURNAL_LOST, Stage.UNRESOLVED)
    assert after.journal.ended == ()
    assert after.journal.lost


def test_an_abort_in_probation_is_refused_by_the_status_committed() -> None:
    assert step(PROBATION, ABORT) == (PROBATION, (Report(),))


def test_a_new_order_in_probation_is_deferred_by_name_and_the_phase_stays_committed() -> None:
    after, effects = step(PROBATION, OrderRead(next_order()))
    assert isinstance(after, Probation)
    assert attempt_in(after).deferred == OTHER_ID
    assert attempt_in(after).stage is Stage.COMMITTED
    assert after.journal.seq > PROBATION.journal.seq
    assert after.journal.highest == PROBATION.journal.highest
    assert effects == (Report(),)


def test_an_order_that_cannot_be_read_is_deferred_too_and_judged_after_probation() -> None:
    after, _ = step(PROBATION, OrderUnusable(OTHER_ID, GENERATION + 1, "schema of the future"))
    assert attempt_in(after).deferred == OTHER_ID


def test_an_order_that_is_deferred_already_is_answered_without_a_new_statement() -> None:
    deferred, _ = step(PROBATION, OrderRead(next_order()))
    assert step(deferred, OrderRead(next_order())) == (deferred, (Report(),))


def test_a_deferred_order_is_taken_up_after_probation() -> None:
    deferred, _ = step(PROBATION, OrderRead(next_order(version="1.2.0")))
    reached, _ = step(deferred, Reported(21))
    idle, effects = step(reached, TimeRanOut(Deadline.PROBATION))
    assert ReadOrder() in effects
    assert attempt_in(idle).deferred is None
    taken_up, _ = step(idle, OrderRead(next_order(version="1.2.0")))
    assert attempt_in(taken_up).upgrade_id == OTHER_ID


@pytest.mark.parametrize(
    "event",
    [
        OrderRead(marker()),
        OrderRead(marker(upgrade_id=ENDED_ID, generation=GENERATION + 1)),
        OrderUnusable(ENDED_ID, GENERATION + 1, "ended before"),
        TimeRanOut(Deadline.STOP),
        TimeRanOut(Deadline.RETRY),
    ],
)
def test_nothing_else_disturbs_probation(event: Event) -> None:
    assert step(PROBATION, event) == (PROBATION, ())


def test_a_stop_in_probation_is_acknowledged_again() -> None:
    assert step(PROBATION, STOP) == (PROBATION, (AnswerStop("reply", Outcome.OK),))


def test_sigterm_takes_this_start_off_the_count_and_exits_0() -> None:
    after, effects = step(PROBATION, ServiceStopping(system=False))
    assert isinstance(after, Leaving)
    assert attempt_in(after).starts == 1
    assert attempt_in(after).since == NOW
    assert effects == (StopCandidate(), Exit(0))


def test_sigterm_of_a_machine_that_goes_down_leaves_this_start_counted() -> None:
    after, effects = step(PROBATION, ServiceStopping(system=True))
    assert isinstance(after, Leaving)
    assert attempt_in(after).starts == 2
    assert effects == (StopCandidate(), Exit(0))


def test_a_start_that_nobody_counted_is_not_taken_off_the_count() -> None:
    uncounted = replace(PROBATION, journal=journal_in(Stage.COMMITTED, starts=0))
    after, _ = step(uncounted, ServiceStopping(system=False))
    assert attempt_in(after).starts == 0


def test_what_a_trial_or_probation_that_lost_its_journal_is_told_to_stop_is_refused() -> None:
    after, (answer,) = step(Probation(NEW, LOST), STOP)
    assert after == Probation(NEW, LOST)
    assert isinstance(answer, AnswerStop)
    assert answer.outcome is Outcome.REFUSED


# A new primary that goes back, where a disk refuses


def test_a_swap_back_that_the_disk_refuses_is_tried_again_by_a_process_that_is_ready() -> None:
    reverting = Reverting(NEW, journal_in(Stage.REVERTING), Party.NEW)
    failed = StepFailed(WHY)
    after, effects = step(reverting, failed)
    assert isinstance(after, Reverting)
    assert effects == (SayReady(), Report(), StartClock(Deadline.RETRY))
    assert step(after, TimeRanOut(Deadline.RETRY)) == (after, (CheckTarget(OLD, OLD_SHA256),))


def test_a_target_damaged_once_reverting_stands_in_the_journal_puts_a_new_version_on_trial() -> (
    None
):
    reverting = Reverting(NEW, journal_in(Stage.REVERTING), Party.NEW)
    after, _ = step(reverting, TargetDamaged("it is cut short"))
    assert isinstance(after, Trial)
    assert kind_and_stage(after) == (CauseKind.ROLLBACK_TARGET_DAMAGED, Stage.CUTOVER)


def test_a_rolled_back_upgrade_never_becomes_anything_else() -> None:
    rolled_back = journal_in(Stage.ROLLED_BACK)
    after, _ = step(Idle(OLD, rolled_back), STOP)
    assert after.journal == rolled_back
    again, _ = step(Idle(OLD, rolled_back), OrderRead(marker()))
    assert again.journal == rolled_back
    assert rolled_back.ended[-1].phase is AgentUpgradePhase.ROLLED_BACK


def test_a_fresh_journal_after_a_loss_is_never_mistaken_for_an_order_of_its_own() -> None:
    journal = after_loss("journal-9", link=NEW, previous=OLD)
    ended = end(journal, Stage.UNRESOLVED, WHY)
    assert begin(ended, marker(), NEW).highest == GENERATION
    assert IDLE.ended_complete
    assert not ended.ended_complete
