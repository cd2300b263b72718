"""The one way back: checked, journaled, swapped, journaled, whoever takes it."""

from dataclasses import replace

import pytest
from tests.unit.upgrade_cases import attempt_in, kind_and_stage

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
    CheckTarget,
    CloseAttempt,
    Exit,
    ReadOrder,
    Report,
    SayReady,
    StartClock,
    StopCandidate,
    SwapLink,
)
from harmony_fleet.agent.upgrade.events import (
    Event,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    Reported,
    ServiceStopping,
    StepFailed,
    StopReceived,
    TargetDamaged,
    TargetSound,
    TimeRanOut,
)
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.record import Stage, status_of
from harmony_fleet.agent.upgrade.revert import attempt_of, resume
from harmony_fleet.agent.upgrade.states import (
    Checking,
    Deadline,
    Idle,
    Leaving,
    Party,
    Reverting,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired, cause
from harmony_fleet.testing.upgrade_samples import (
    ARTIFACT,
    GENERATION,
    ID,
    IDLE,
    NOW,
    OLD,
    OLD_SHA256,
    OTHER_ID,
    WHY,
    journal_in,
    marker,
    next_order,
)

CHECKING = Checking(OLD, journal_in(Stage.CUTOVER), WHY, Party.OLD)
REVERTING = Reverting(OLD, journal_in(Stage.REVERTING), Party.OLD)
DAMAGED = TargetDamaged("it is cut short")
DISK = cause(CauseKind.DEVICE_FAULT, "the disk refused")


def test_a_sound_target_is_journaled_as_reverting_with_the_cause_before_the_link_is_touched() -> (
    None
):
    after, effects = step(CHECKING, TargetSound())
    assert isinstance(after, Reverting)
    assert (attempt_in(after).stage, attempt_in(after).cause) == (Stage.REVERTING, WHY)
    assert effects == (CheckTarget(OLD, OLD_SHA256),)


def test_the_link_follows_a_check_with_nothing_to_be_written_in_between() -> None:
    assert step(REVERTING, TargetSound()) == (REVERTING, (SwapLink(OLD),))


def test_a_target_damaged_once_reverting_stands_in_the_journal_is_waited_for_as_before_it() -> None:
    after, effects = step(REVERTING, DAMAGED)
    assert isinstance(after, Checking)
    assert effects == (SayReady(), Report(), StartClock(Deadline.RETRY))
    assert (attempt_in(after).stage, attempt_in(after).cause) == (Stage.REVERTING, WHY)
    assert "it is cut short" in str(status_of(after.journal, "pi-1").cause)


def test_once_the_link_is_back_rolled_back_is_journaled_and_then_all_is_swept_and_said() -> None:
    after, effects = step(REVERTING, LinkSwapped())
    assert isinstance(after, Idle)
    assert kind_and_stage(after) == (WHY.kind, Stage.ROLLED_BACK)
    assert effects == (StopCandidate(), CloseAttempt(keep=(OLD,)), Report(), ReadOrder())


def test_a_primary_that_was_told_to_stop_exits_0_after_the_revert() -> None:
    after, effects = step(replace(REVERTING, stopping=True), LinkSwapped())
    assert isinstance(after, Leaving)
    assert kind_and_stage(after) == (WHY.kind, Stage.ROLLED_BACK)
    assert effects == (StopCandidate(), CloseAttempt(keep=(OLD,)), Exit(0))


@pytest.mark.parametrize("kind", CauseKind)
def test_a_revert_quarantines_the_digest_exactly_for_the_causes_that_count(kind: CauseKind) -> None:
    journal = journal_in(Stage.REVERTING, cause=cause(kind, "so it was"))
    after, _ = step(replace(REVERTING, journal=journal), LinkSwapped())
    quarantined = ARTIFACT.sha256 in after.journal.quarantined
    assert quarantined == kind.counts_against_release
    assert after.journal.ended[-1].cause is kind


def test_the_causes_that_count_are_those_of_the_design() -> None:
    assert {kind.value for kind in CauseKind if kind.counts_against_release} == {
        "self_test_failed",
        "self_test_timeout",
        "candidate_start_failed",
        "candidate_died",
        "candidate_silent",
        "crash_loop",
        "probation_expired",
        "no_contact",
    }


def test_an_old_version_whose_own_file_is_beyond_repair_stays_ready_and_tries_again() -> None:
    after, effects = step(CHECKING, DAMAGED)
    assert isinstance(after, Checking)
    assert effects == (SayReady(), Report(), StartClock(Deadline.RETRY))
    assert step(after, TimeRanOut(Deadline.RETRY)) == (after, (CheckTarget(OLD, OLD_SHA256),))
    assert step(after, DAMAGED)[0] == after  # said once
    reverting, _ = step(after, TargetSound())
    assert attempt_in(reverting).cause == WHY


def test_an_old_version_that_waits_for_its_file_says_so_and_why_it_goes_back() -> None:
    after, _ = step(CHECKING, DAMAGED)
    status = status_of(after.journal, "pi-1")
    assert status.phase is AgentUpgradePhase.REVERTING
    assert status.cause is not None
    assert status.cause.kind is WHY.kind
    assert "it is cut short" in status.cause.sentence
    assert WHY.sentence in status.cause.sentence


def test_an_old_version_beyond_repair_that_was_told_to_stop_exits_with_the_journal_as_it_is() -> (
    None
):
    after, effects = step(replace(CHECKING, stopping=True), DAMAGED)
    assert after == Leaving(CHECKING.journal, 0)
    assert effects == (Exit(0),)


def test_a_swap_back_that_the_disk_refuses_is_tried_again_by_a_process_that_is_ready() -> None:
    after, effects = step(REVERTING, StepFailed(DISK))
    assert isinstance(after, Reverting)
    assert effects == (SayReady(), Report(), StartClock(Deadline.RETRY))
    status = status_of(after.journal, "pi-1")
    assert status.phase is AgentUpgradePhase.REVERTING
    assert "the disk refused" in str(status.cause)  # what it waits for
    assert step(after, StepFailed(DISK))[0] == after  # said once
    assert step(after, TimeRanOut(Deadline.RETRY)) == (after, (CheckTarget(OLD, OLD_SHA256),))
    ended, _ = step(after, LinkSwapped())
    assert attempt_in(ended).cause == attempt_in(REVERTING).cause
    assert attempt_in(ended).waits == ""


def test_what_is_waited_for_is_no_part_of_the_verdict_however_often_it_was_restarted() -> None:
    waiting, _ = step(CHECKING, DAMAGED)
    for _ in range(3):
        again, _ = resume(OLD, waiting.journal, Party.OLD)
        waiting, _ = step(again, DAMAGED)
    assert waiting.journal == step(CHECKING, DAMAGED)[0].journal
    reverting, _ = step(waiting, TargetSound())
    ended, _ = step(reverting, LinkSwapped())
    assert attempt_in(ended).cause == WHY


@pytest.mark.parametrize("state", [CHECKING, REVERTING])
def test_a_stop_comes_too_late_for_a_revert_and_is_refused(state: Checking | Reverting) -> None:
    after, (answer,) = step(state, StopReceived(ID, "reply", NOW))
    assert after == state
    assert isinstance(answer, AnswerStop)
    assert answer.outcome is Outcome.REFUSED


@pytest.mark.parametrize("state", [CHECKING, REVERTING])
def test_sigterm_while_a_revert_waits_exits_0_and_the_next_start_finishes_it(
    state: Checking | Reverting,
) -> None:
    after, effects = step(state, ServiceStopping(system=False))
    assert after == Leaving(state.journal, 0)
    assert effects == (Exit(0),)


@pytest.mark.parametrize("state", [CHECKING, REVERTING])
@pytest.mark.parametrize(
    "event",
    [
        OrderRead(marker(desired=Desired.ABORT)),
        OrderRead(next_order()),
        OrderUnusable(OTHER_ID, GENERATION + 1, "new"),
        Reported(20),
        TimeRanOut(Deadline.STOP),
        TimeRanOut(Deadline.OVERALL),
    ],
)
def test_nothing_else_disturbs_a_revert(state: Checking | Reverting, event: Event) -> None:
    assert step(state, event) == (state, ())


def test_an_ended_attempt_is_no_attempt_under_way() -> None:
    with pytest.raises(ValueError, match="no attempt"):
        attempt_of(IDLE)
