"""Every event in every state, several values of each: what may happen, and what never may."""

from collections.abc import Iterator

import pytest

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
    CancelWork,
    CheckTarget,
    CloseAttempt,
    Exit,
    PrepareCutover,
    Report,
    Stage,
    StartCandidate,
    StartClock,
    SwapLink,
    Verify,
)
from harmony_fleet.agent.upgrade.events import (
    CandidateExited,
    CandidateReady,
    CandidateStartFailed,
    CutoverPrepared,
    Event,
    GuardStarted,
    JournalRead,
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
    TargetDamaged,
    TargetSound,
    TimeRanOut,
    Verified,
    VerifyingFailed,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.record import Attempt, Journal, status_of
from harmony_fleet.agent.upgrade.record import Stage as JournalStage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    Checking,
    CuttingOver,
    Deadline,
    GuardDone,
    Idle,
    Leaving,
    Party,
    Preparing,
    Probation,
    Recommitting,
    Reverting,
    Staging,
    Starting,
    State,
    Trial,
    Verifying,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind
from harmony_fleet.testing.upgrade_samples import Move, events, moves, pairs, states

ALWAYS = {OrderRead, OrderUnusable, StopReceived, Reported, TimeRanOut, ServiceStopping}
"""From outside and from clocks: they can come at any time after the start."""

LEGAL: dict[type[State], set[type[Event]]] = {
    Starting: {PrimaryStarted, GuardStarted},
    Idle: ALWAYS,
    Staging: ALWAYS | {Staged, StagingFailed},
    Verifying: ALWAYS | {Verified, VerifyingFailed},
    Preparing: ALWAYS | {CutoverPrepared, StepFailed},
    CuttingOver: ALWAYS | {LinkSwapped, StepFailed, CandidateReady, CandidateStartFailed},
    Armed: ALWAYS | {PlaneAsked, CandidateExited},
    Trial: ALWAYS,
    Probation: ALWAYS,
    Checking: ALWAYS | {TargetSound, TargetDamaged},
    Reverting: ALWAYS | {TargetSound, TargetDamaged, LinkSwapped, StepFailed},
    Recommitting: ALWAYS | {LinkSwapped, StepFailed},
    Leaving: {type(event) for event in events()},
    GuardDone: set(),
}

MOVES = tuple(moves())


def test_the_samples_hold_every_kind_of_state_and_of_event() -> None:
    assert {type(state) for state in states()} == set(LEGAL)
    assert {type(event) for event in events()} == set(Event.__args__)


def test_each_event_is_legal_in_a_state_or_raises_and_names_both() -> None:
    for state, event in pairs():
        if type(event) in LEGAL[type(state)]:
            step(state, event)
            continue
        with pytest.raises(IllegalEvent) as raised:
            step(state, event)
        assert (raised.value.state, raised.value.event) == (state, event)


def test_the_same_event_in_the_same_state_has_the_same_outcome() -> None:
    assert all(step(move.before, move.event) == (move.after, move.effects) for move in MOVES[::7])


# The journal


def journal_before(move: Move) -> Journal | None:
    """What was on the disk; None where there was nothing that could be read."""
    if not isinstance(move.before, Starting):
        return move.before.journal
    assert isinstance(move.event, PrimaryStarted | GuardStarted)
    found = move.event.found
    return found.journal if isinstance(found, JournalRead) else None


def kept() -> Iterator[tuple[Move, Journal, Journal]]:
    """Moves of a journal that was there, with what it was and what became of it."""
    for move in MOVES:
        before = journal_before(move)
        if before is not None:
            yield move, before, move.after.journal


def attempts() -> Iterator[tuple[Move, Attempt, Attempt]]:
    """Moves that leave the same attempt in the journal."""
    for move, before, after in kept():
        if before.attempt and after.attempt and _same(before.attempt, after.attempt):
            yield move, before.attempt, after.attempt


def _same(one: Attempt, other: Attempt) -> bool:
    return (one.upgrade_id, one.generation) == (other.upgrade_id, other.generation)


def test_a_journal_keeps_its_identity() -> None:
    assert all(before.journal_id == after.journal_id for _, before, after in kept())


def test_neither_seq_nor_the_highest_generation_ever_sinks() -> None:
    for _, before, after in kept():
        assert after.seq >= before.seq
        assert after.highest >= before.highest


def test_one_seq_is_one_statement() -> None:
    for move, before, after in kept():
        if before.seq == after.seq:
            assert status_of(before, "pi-1") == status_of(after, "pi-1"), move


def test_no_verdict_is_ever_lost_changed_or_given_twice() -> None:
    for move, before, after in kept():
        assert after.ended[: len(before.ended)] == before.ended, move
        ids = [verdict.upgrade_id for verdict in after.ended]
        assert len(ids) == len(set(ids)), move


def test_an_attempt_that_ended_never_changes_again() -> None:
    for move, before, after in attempts():
        if not before.stage.open:
            assert after == before, move


def test_whatever_happens_a_loss_of_the_journal_is_admitted_to_the_operator() -> None:
    assert all(not after.ended_complete for _, before, after in kept() if not before.ended_complete)


def test_a_quarantine_is_lifted_by_nothing_in_these_moves_and_begins_with_a_cause_that_counts() -> (
    None
):
    for move, before, after in kept():
        added = set(after.quarantined) - set(before.quarantined)
        assert set(before.quarantined) <= set(after.quarantined), move
        if added:
            assert after.attempt is not None
            assert after.attempt.artifact is not None
            assert after.attempt.cause is not None
            assert added == {after.attempt.artifact.sha256}
            assert after.attempt.cause.kind.counts_against_release
            assert after.attempt.stage in {JournalStage.FAILED, JournalStage.ROLLED_BACK}


def verdicts() -> Iterator[tuple[Move, Attempt]]:
    """Moves that end an upgrade, with its end."""
    for move, before, after in kept():
        if len(after.ended) > len(before.ended):
            assert after.attempt is not None
            yield move, after.attempt


def test_every_failure_by_a_cause_that_counts_quarantines_what_was_tried() -> None:
    for move, ended in verdicts():
        if ended.cause and ended.cause.kind.counts_against_release and ended.artifact:
            assert ended.artifact.sha256 in move.after.journal.quarantined


def test_every_verdict_but_a_plain_success_has_a_cause() -> None:
    for move, ended in verdicts():
        plain = ended.stage is JournalStage.SUCCEEDED and isinstance(move.before, Probation)
        assert (ended.cause is None) == plain, move


def test_each_verdict_is_given_only_where_it_can_be_true() -> None:
    allowed = {
        JournalStage.FAILED: (Idle, Staging, Verifying, Preparing, Starting),
        JournalStage.ROLLED_BACK: (Reverting,),
        JournalStage.SUCCEEDED: (Probation, Idle),
        JournalStage.UNRESOLVED: (Idle, Starting),
    }
    for move, ended in verdicts():
        assert isinstance(move.before, allowed[ended.stage]), move
        if ended.stage is JournalStage.SUCCEEDED and ended.cause:
            assert ended.cause.kind is CauseKind.ALREADY_RUNNING


def test_only_a_stop_for_the_armed_upgrade_commits() -> None:
    committed = 0
    for move, before, after in attempts():
        if after.stage is JournalStage.COMMITTED and before.stage is not JournalStage.COMMITTED:
            committed += 1
            assert isinstance(move.before, Armed | Trial)
            assert isinstance(move.event, StopReceived)
            assert move.event.upgrade_id == after.upgrade_id
    assert committed > 0


def test_only_the_guard_takes_a_commit_back() -> None:
    for move, before, after in attempts():
        if before.stage is JournalStage.COMMITTED and after.stage is JournalStage.REVERTING:
            assert isinstance(move.after, Reverting)
            assert move.after.party is Party.GUARD


def test_an_attempt_only_ever_goes_along_the_phases() -> None:
    s = JournalStage
    onward = {
        s.STAGING: {s.STAGING, s.VERIFYING, s.FAILED, s.UNRESOLVED},
        s.VERIFYING: {s.VERIFYING, s.STAGING, s.CUTOVER, s.FAILED, s.UNRESOLVED},
        s.CUTOVER: {s.CUTOVER, s.REVERTING, s.COMMITTED, s.UNRESOLVED},
        s.REVERTING: {s.REVERTING, s.CUTOVER, s.ROLLED_BACK, s.UNRESOLVED},
        s.COMMITTED: {s.COMMITTED, s.REVERTING, s.SUCCEEDED, s.UNRESOLVED},
    }
    for move, before, after in attempts():
        assert after.stage in onward.get(before.stage, {before.stage}), move


# The link


def swaps() -> Iterator[tuple[Move, SwapLink, Attempt]]:
    for move in MOVES:
        for effect in move.effects:
            if isinstance(effect, SwapLink):
                attempt = move.after.journal.open_attempt
                assert attempt is not None
                yield move, effect, attempt


def test_the_link_goes_to_the_new_version_only_in_a_journaled_cutover_or_commit() -> None:
    for move, swap, attempt in swaps():
        if swap.version == attempt.to_version:
            assert attempt.stage in {JournalStage.CUTOVER, JournalStage.COMMITTED}, move
            assert isinstance(move.after, CuttingOver | Recommitting)


def test_the_link_goes_back_only_in_a_journaled_revert_whose_target_was_just_found_sound() -> None:
    for move, swap, attempt in swaps():
        if swap.version != attempt.to_version:
            assert swap.version == attempt.from_version
            assert attempt.stage is JournalStage.REVERTING
            assert move.before == move.after  # nothing is written between the check and the link
            assert isinstance(move.after, Reverting)
            assert move.event == TargetSound(), move


def test_a_revert_begins_with_a_check_of_its_target_and_with_no_journal_entry() -> None:
    for move, before, after in kept():
        if isinstance(move.after, Checking) and not isinstance(move.before, Checking | Reverting):
            assert isinstance(move.effects[-1], CheckTarget)
            assert after == before


def test_rolled_back_is_journaled_only_after_the_link_was_swapped() -> None:
    for move, before, after in attempts():
        if after.stage is JournalStage.ROLLED_BACK and before.stage.open:
            assert isinstance(move.before, Reverting)
            assert move.event == LinkSwapped()


# Stops, reports, exits


def test_a_stop_is_acknowledged_only_if_it_commits_now_or_has_committed_before() -> None:
    for move in MOVES:
        for answer in move.effects:
            if isinstance(answer, AnswerStop) and answer.outcome is Outcome.OK:
                assert isinstance(move.event, StopReceived)
                attempt = move.after.journal.open_attempt
                assert attempt is not None
                assert attempt.stage is JournalStage.COMMITTED
                assert attempt.upgrade_id == move.event.upgrade_id


def test_every_stop_is_answered_once_and_to_whoever_sent_it() -> None:
    for move in MOVES:
        answers = [effect for effect in move.effects if isinstance(effect, AnswerStop)]
        if isinstance(move.event, StopReceived):
            assert [answer.reply_to for answer in answers] == [move.event.reply_to]
        else:
            assert answers == []


def test_a_stop_that_does_not_commit_changes_nothing() -> None:
    for move in MOVES:
        if isinstance(move.event, StopReceived) and len(move.effects) == 1:
            assert move.after == move.before


def test_cutover_ready_is_reported_only_by_who_is_armed() -> None:
    reported = 0
    for move in MOVES:
        phase = status_of(move.after.journal, "pi-1").phase
        if Report() in move.effects and phase is AgentUpgradePhase.CUTOVER_READY:
            reported += 1
            assert isinstance(move.after, Armed | Trial), move
    assert reported > 0


def test_the_clocks_that_end_an_armed_wait_run_before_it_is_reported() -> None:
    for move in MOVES:
        enters = isinstance(move.after, Armed | Trial) and type(move.before) is not type(move.after)
        if enters:
            clocks = (StartClock(Deadline.STOP), StartClock(Deadline.OVERALL))
            places = [move.effects.index(clock) for clock in clocks]
            assert max(places) < move.effects.index(Report())


def test_every_new_statement_is_said_or_the_next_process_says_it() -> None:
    for move, before, after in kept():
        silent = isinstance(
            move.after, CuttingOver | Reverting | Leaving | GuardDone | Recommitting
        )
        if after.seq > before.seq and not silent:
            assert Report() in move.effects, move


def test_exit_comes_last_and_only_on_the_way_into_leaving() -> None:
    for move in MOVES:
        exits = [effect for effect in move.effects if isinstance(effect, Exit)]
        enters = isinstance(move.after, Leaving) and not isinstance(move.before, Leaving)
        assert bool(exits) == enters, move
        if isinstance(move.after, Leaving) and exits:
            assert move.effects[-1] == Exit(move.after.code)


# The order of effects


def test_a_step_whose_outcome_comes_first_is_alone_and_last() -> None:
    for move in MOVES:
        steps = [isinstance(e, PrepareCutover | SwapLink | CheckTarget) for e in move.effects]
        assert True not in steps[:-1], move


def test_work_begins_only_where_its_events_are_legal() -> None:
    work: dict[type[object], type[State]] = {
        Stage: Staging,
        Verify: Verifying,
        StartCandidate: CuttingOver,
    }
    for move in MOVES:
        for effect in move.effects:
            if type(effect) in work:
                assert type(move.after) is work[type(effect)]


def test_work_that_may_still_run_is_cancelled_when_its_state_is_left() -> None:
    working = (Staging, Verifying, CuttingOver, Armed)
    its_own_end = (Staged, Verified, CandidateReady, StopReceived)
    for move in MOVES:
        leaves = isinstance(move.before, working) and not isinstance(move.after, working)
        if leaves and not isinstance(move.event, its_own_end):
            assert CancelWork() in move.effects, move


def test_attempt_open_is_removed_after_the_end_of_every_attempt_is_journaled() -> None:
    for move, before, after in kept():
        if before.open_attempt and not after.open_attempt:
            assert any(isinstance(effect, CloseAttempt) for effect in move.effects), move


def test_attempt_open_is_left_alone_while_an_attempt_is_open() -> None:
    for move in MOVES:
        if any(isinstance(effect, CloseAttempt) for effect in move.effects):
            assert move.after.journal.open_attempt is None, move


def test_what_the_guard_does_is_on_the_disk_alone() -> None:
    for move in MOVES:
        party = getattr(move.after, "party", None)
        if isinstance(move.event, GuardStarted) or party is Party.GUARD:
            allowed = (CheckTarget, SwapLink, CloseAttempt)
            if isinstance(move.event, ServiceStopping | StopReceived | TimeRanOut):
                continue  # no process of the guard ever gets one
            assert all(isinstance(effect, allowed) for effect in move.effects), move
