"""The previous version's code, before each start of the primary: its rows of the protocol."""

import pytest
from tests.unit.upgrade_cases import attempt_in, kind_and_stage

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.effects import (
    CheckTarget,
    CloseAttempt,
    SwapLink,
)
from harmony_fleet.agent.upgrade.events import (
    ExpiryMark,
    Found,
    GuardStarted,
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
    LinkSwapped,
    StepFailed,
    TargetDamaged,
    TargetSound,
)
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.record import Journal, Stage, after_loss
from harmony_fleet.agent.upgrade.states import (
    Checking,
    GuardDone,
    Party,
    Recommitting,
    Reverting,
    Starting,
)
from harmony_fleet.contracts.upgrade import CauseKind, cause
from harmony_fleet.testing.upgrade_samples import (
    ENDED_STAGES,
    ID,
    IDLE,
    LOST,
    NEW,
    NOW,
    OLD,
    OLD_SHA256,
    OTHER_ID,
    STARTS_ALLOWED,
    THIRD,
    WHY,
    journal_in,
)

DISK = cause(CauseKind.DEVICE_FAULT, "the disk refused")
LATER = BootTime("boot-2", 7.0)
NO_CONTACT = cause(CauseKind.NO_CONTACT, "the control had contact twice")


def started(
    found: Journal | Found,
    link: str | None = NEW,
    previous: str | None = OLD,
    mark: ExpiryMark | None = None,
    running: str = OLD,
    link_gone: bool = False,
) -> GuardStarted:
    read = JournalRead(found) if isinstance(found, Journal) else found
    return GuardStarted(
        running, read, link, previous, LATER, STARTS_ALLOWED, mark, "its last lines", link_gone
    )


@pytest.mark.parametrize(
    "journal",
    [
        IDLE,
        *(journal_in(stage) for stage in ENDED_STAGES),
        journal_in(Stage.STAGING),
        journal_in(Stage.VERIFYING),
    ],
)
def test_with_no_attempt_or_an_ended_one_or_one_before_its_cutover_it_does_nothing(
    journal: Journal,
) -> None:
    assert step(Starting(), started(journal)) == (GuardDone(journal), ())


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage.open])
def test_without_a_previous_version_it_does_nothing(stage: Stage) -> None:
    journal = journal_in(stage)
    assert step(Starting(), started(journal, previous=None)) == (GuardDone(journal), ())


@pytest.mark.parametrize("running", [NEW, THIRD])
@pytest.mark.parametrize("stage", [stage for stage in Stage if stage.open])
def test_a_guard_that_is_not_the_old_version_does_nothing(stage: Stage, running: str) -> None:
    journal = journal_in(stage)
    assert step(Starting(), started(journal, running=running)) == (GuardDone(journal), ())


def test_in_cutover_it_reverts_as_interrupted() -> None:
    checking, effects = step(Starting(), started(journal_in(Stage.CUTOVER)))
    assert effects == (CheckTarget(OLD, OLD_SHA256),)
    reverting, effects = step(checking, TargetSound())
    assert attempt_in(reverting).stage is Stage.REVERTING
    assert effects == (CheckTarget(OLD, OLD_SHA256),)
    assert step(reverting, TargetSound()) == (reverting, (SwapLink(OLD),))
    after, effects = step(reverting, LinkSwapped())
    assert isinstance(after, GuardDone)
    assert kind_and_stage(after) == (CauseKind.INTERRUPTED, Stage.ROLLED_BACK)
    assert effects == (CloseAttempt(keep=(OLD,)),)


def test_an_interrupted_upgrade_never_counts_against_the_release() -> None:
    checking, _ = step(Starting(), started(journal_in(Stage.CUTOVER)))
    reverting, _ = step(checking, TargetSound())
    after, _ = step(reverting, LinkSwapped())
    assert after.journal.quarantined == IDLE.quarantined


def test_in_reverting_it_finishes_the_revert_with_the_cause_that_is_journaled() -> None:
    checking, _ = step(Starting(), started(journal_in(Stage.REVERTING)))
    assert isinstance(checking, Checking)
    assert (checking.cause, checking.party) == (WHY, Party.GUARD)


@pytest.mark.parametrize(("link", "gone"), [(OLD, False), (None, True)])
def test_in_committed_with_the_link_on_the_old_version_or_gone_it_swaps_again(
    link: str | None, gone: bool
) -> None:
    event = started(journal_in(Stage.COMMITTED), link=link, link_gone=gone)
    recommitting, effects = step(Starting(), event)
    assert isinstance(recommitting, Recommitting)
    assert attempt_in(recommitting).starts == 1
    assert effects == (SwapLink(NEW),)
    assert step(recommitting, LinkSwapped()) == (GuardDone(recommitting.journal), ())


def test_in_committed_what_somebody_put_in_the_links_place_is_left_there() -> None:
    after, effects = step(Starting(), started(journal_in(Stage.COMMITTED), link=None))
    assert isinstance(after, GuardDone)
    assert effects == ()


def test_a_swap_again_that_the_disk_refuses_is_left_to_the_primary() -> None:
    recommitting, _ = step(Starting(), started(journal_in(Stage.COMMITTED), link=OLD))
    assert step(recommitting, StepFailed(DISK)) == (GuardDone(recommitting.journal), ())


def test_in_committed_within_bounds_it_counts_the_start_with_the_boot_clock() -> None:
    journal = journal_in(Stage.COMMITTED, starts=STARTS_ALLOWED - 1)
    after, effects = step(Starting(), started(journal))
    assert isinstance(after, GuardDone)
    assert (attempt_in(after).starts, attempt_in(after).since) == (STARTS_ALLOWED, LATER)
    assert effects == ()


def test_a_counted_start_is_no_new_statement() -> None:
    journal = journal_in(Stage.COMMITTED)
    assert step(Starting(), started(journal))[0].journal.seq == journal.seq


def test_in_committed_after_too_many_starts_it_rolls_back_as_a_crash_loop_with_evidence() -> None:
    journal = journal_in(Stage.COMMITTED, starts=STARTS_ALLOWED)
    checking, effects = step(Starting(), started(journal))
    assert isinstance(checking, Checking)
    assert checking.cause.kind is CauseKind.CRASH_LOOP
    assert checking.cause.evidence == "its last lines"
    assert checking.journal == journal
    assert effects == (CheckTarget(OLD, OLD_SHA256),)


@pytest.mark.parametrize("starts", [0, STARTS_ALLOWED])
def test_in_committed_a_mark_for_this_id_rolls_back_with_the_marks_cause(starts: int) -> None:
    mark = ExpiryMark(ID, NO_CONTACT)
    event = started(journal_in(Stage.COMMITTED, starts=starts), mark=mark)
    checking, _ = step(Starting(), event)
    assert isinstance(checking, Checking)
    assert (checking.cause.kind, checking.cause.sentence) == (NO_CONTACT.kind, NO_CONTACT.sentence)
    assert checking.cause.evidence == event.evidence != ""


@pytest.mark.parametrize("upgrade_id", [OTHER_ID, None])
def test_a_mark_for_another_id_is_not_obeyed(upgrade_id: str | None) -> None:
    event = started(journal_in(Stage.COMMITTED), mark=ExpiryMark(upgrade_id, NO_CONTACT))
    after, _ = step(Starting(), event)
    assert isinstance(after, GuardDone)
    assert attempt_in(after).starts == 1


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.VERIFYING, *ENDED_STAGES])
def test_a_mark_rolls_back_nothing_that_is_not_committed(stage: Stage) -> None:
    journal = journal_in(stage)
    event = started(journal, mark=ExpiryMark(ID, NO_CONTACT))
    assert step(Starting(), event) == (GuardDone(journal), ())


def test_a_guard_whose_target_is_damaged_changes_nothing_and_lets_the_start_go_on() -> None:
    journal = journal_in(Stage.COMMITTED, starts=STARTS_ALLOWED)
    checking, _ = step(Starting(), started(journal))
    assert step(checking, TargetDamaged("it is cut short")) == (GuardDone(journal), ())


def test_a_swap_back_that_the_disk_refuses_is_left_to_the_primary_in_reverting() -> None:
    reverting = Reverting(OLD, journal_in(Stage.REVERTING), Party.GUARD)
    assert step(reverting, StepFailed(DISK)) == (GuardDone(reverting.journal), ())


# A journal that cannot be read


def test_after_a_loss_it_counts_the_start_of_an_upgrade_that_it_takes_as_committed() -> None:
    after, _ = step(Starting(), started(JournalUnreadable("journal-9")))
    assert isinstance(after, GuardDone)
    assert kind_and_stage(after) == (None, Stage.COMMITTED)
    assert (attempt_in(after).upgrade_id, attempt_in(after).starts) == (None, 1)


def test_after_a_loss_a_crash_loop_is_rolled_back_without_a_verdict() -> None:
    lost = after_loss("journal-9", link=NEW, previous=OLD)
    assert lost.attempt is not None
    state, effects = step(
        Starting(),
        GuardStarted(OLD, JournalRead(lost), NEW, OLD, NOW, starts_allowed=0),
    )
    assert effects == (CheckTarget(OLD, None),)
    for event in (TargetSound(), LinkSwapped()):
        state, effects = step(state, event)
    assert kind_and_stage(state) == (CauseKind.CRASH_LOOP, Stage.ROLLED_BACK)
    assert state.journal.ended == ()
    assert state.journal.quarantined == ()


def test_a_mark_without_an_id_is_for_the_upgrade_whose_id_was_lost() -> None:
    checking, _ = step(Starting(), started(LOST, mark=ExpiryMark(None, NO_CONTACT)))
    assert isinstance(checking, Checking)


@pytest.mark.parametrize("found", [JournalAbsent("journal-9"), JournalUnreadable("journal-9")])
def test_after_a_loss_with_the_link_on_the_old_version_nothing_is_under_way(found: Found) -> None:
    after, effects = step(Starting(), started(found, link=OLD))
    assert (after, effects) == (GuardDone(after_loss("journal-9", OLD, OLD)), ())


@pytest.mark.parametrize("stage", [Stage.CUTOVER, Stage.REVERTING])
def test_a_link_that_is_missing_is_put_back_as_any_other(stage: Stage) -> None:
    state, effects = step(Starting(), started(journal_in(stage), link=None))
    assert isinstance(state, Checking)
    assert effects == (CheckTarget(OLD, OLD_SHA256),)


def test_a_committed_version_that_removed_its_own_link_is_counted_and_rolled_back() -> None:
    journal = journal_in(Stage.COMMITTED)
    state, effects = step(Starting(), started(journal, link=None))
    for _ in range(STARTS_ALLOWED):
        if isinstance(state, GuardDone):
            assert state.journal != journal
            journal = state.journal
            state, effects = step(Starting(), started(journal, link=None))
    assert isinstance(state, Checking)
    assert state.cause.kind is CauseKind.CRASH_LOOP
    assert effects == (CheckTarget(OLD, OLD_SHA256),)


@pytest.mark.parametrize("stage", [Stage.CUTOVER, Stage.REVERTING, Stage.COMMITTED])
def test_a_link_that_a_person_pointed_at_a_third_version_is_left_alone(stage: Stage) -> None:
    journal = journal_in(stage)
    assert step(Starting(), started(journal, link=THIRD)) == (GuardDone(journal), ())
