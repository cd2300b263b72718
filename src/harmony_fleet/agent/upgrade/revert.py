"""The one way back, whoever takes it and whatever the cause.

Rules
1. The target's digest is checked before anything is journaled: with a damaged target there is
   nothing to go back to, and the new version must stay. Only an old primary, which is armed no
   more and will try again, journals that it waits.
2. Reverting is journaled with its cause before the link is touched, RolledBack after the link is
   durable: a start in between finishes what was begun.
3. The link follows a check with nothing to be written, or waited for, in between: the target is
   checked once more when Reverting stands in the journal, and before each try again.
4. A step that the disk refuses is tried again by a primary, and left to the primary by the guard.
"""

from dataclasses import replace
from typing import assert_never

from harmony_fleet.agent.upgrade.effects import (
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
    Asked,
    Began,
    Event,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    Reported,
    ServiceStopping,
    StepDone,
    StepFailed,
    StopReceived,
    TargetDamaged,
    TargetSound,
    TimeRanOut,
    WorkEnded,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage, advance, end, note
from harmony_fleet.agent.upgrade.states import (
    EXIT_RESTART,
    EXIT_STOP,
    Checking,
    Deadline,
    GuardDone,
    Idle,
    Leaving,
    OpenState,
    Party,
    Reverting,
    Trial,
)
from harmony_fleet.agent.upgrade.stop_signal import answer_stop
from harmony_fleet.contracts.upgrade import Cause, CauseKind, cause

Transition = tuple[OpenState, tuple[Effect, ...]]


def begin(
    running: str, journal: Journal, why: Cause, party: Party, stopping: bool = False
) -> Transition:
    """Leave whatever was under way and go back, once the target is known to be sound."""
    state = Checking(running, journal, why, party, stopping)
    leave = () if party is Party.GUARD else (CancelWork(), StopClocks())
    return state, (*leave, _check(journal))


def resume(running: str, journal: Journal, party: Party) -> Transition:
    """Finish what an earlier process began, or undo a cutover that nobody committed."""
    return begin(running, journal, _cause_in(journal), party)


def _cause_in(journal: Journal) -> Cause:
    attempt = attempt_of(journal)
    why = attempt.cause if attempt.stage is Stage.REVERTING else None
    return why or interrupted()


def interrupted() -> Cause:
    return cause(
        CauseKind.INTERRUPTED,
        "the agent was restarted before the operator had committed the upgrade: order it again",
    )


def step(state: Checking | Reverting, event: Event) -> Transition:
    """Raises IllegalEvent where `event` cannot happen in `state`."""
    match event:
        case TargetSound() | TargetDamaged():
            return _checked(state, event)
        case StepDone():
            return _done(state, event)
        case StopReceived():
            return state, (answer_stop(state.journal, event),)
        case TimeRanOut(Deadline.RETRY):
            return state, (_check(state.journal),)
        case ServiceStopping():
            return Leaving(state.journal, EXIT_STOP), (Exit(EXIT_STOP),)
        case OrderRead() | OrderUnusable() | Reported() | TimeRanOut():
            return state, ()
        case Began() | Asked() | WorkEnded():
            raise IllegalEvent(state, event)
        case _:
            assert_never(event)


def _check(journal: Journal) -> CheckTarget:
    attempt = attempt_of(journal)
    return CheckTarget(attempt.from_version, attempt.target_sha256)


def _checked(state: Checking | Reverting, event: TargetSound | TargetDamaged) -> Transition:
    why = state.cause if isinstance(state, Checking) else _cause_in(state.journal)
    if isinstance(event, TargetDamaged):
        damaged = Checking(state.running, state.journal, why, state.party, state.stopping)
        return _nowhere_to_go(damaged, event.reason)
    if isinstance(state, Reverting):
        return state, (SwapLink(attempt_of(state.journal).from_version),)
    journal = advance(state.journal, Stage.REVERTING, cause=why)
    return Reverting(state.running, journal, state.party, state.stopping), (_check(journal),)


def _nowhere_to_go(state: Checking, reason: str) -> Transition:
    if state.stopping:
        return Leaving(state.journal, EXIT_STOP), (Exit(EXIT_STOP),)
    match state.party:
        case Party.GUARD:
            return GuardDone(state.journal), ()
        case Party.OLD:
            return _wait(state, reason)
        case Party.NEW:
            return _stay(state, reason)
        case _:
            assert_never(state.party)


def _wait(state: Checking, reason: str) -> Transition:
    """An old primary checks again, as its file may be repaired. It goes back whatever happens, so
    Reverting is journaled before the target is sound: the status says what is waited for."""
    journal = state.journal
    if attempt_of(journal).waits != reason:
        journal = advance(journal, Stage.REVERTING, cause=state.cause, waits=reason)
    return replace(state, journal=journal), _TRY_AGAIN


_TRY_AGAIN = (SayReady(), Report(), StartClock(Deadline.RETRY))


def _stay(state: Checking, reason: str) -> Transition:
    """An order that wants this revert is not read again at once: it would want it again."""
    trial, effects = enter_trial(state.running, _damaged(state.journal, reason))
    known = trial.journal == state.journal
    return trial, tuple(e for e in effects if not (known and isinstance(e, ReadOrder)))


def _damaged(journal: Journal, reason: str) -> Journal:
    """Say it once: repeating the check must not make a new statement each time."""
    why = cause(
        CauseKind.ROLLBACK_TARGET_DAMAGED,
        f"cannot go back: {reason}; commit this upgrade, or repair that version's file",
    )
    attempt = attempt_of(journal)
    if attempt.stage is Stage.CUTOVER and attempt.cause == why:
        return journal
    return advance(journal, Stage.CUTOVER, cause=why)


def enter_trial(running: str, journal: Journal) -> Transition:
    """Armed as the primary that nobody committed; the report comes after the arming."""
    effects = (
        SayReady(),
        StopClocks(),
        StartClock(Deadline.STOP),
        StartClock(Deadline.OVERALL),
        Report(),
        ReadOrder(),
    )
    return Trial(running, journal), effects


def _done(state: Checking | Reverting, event: StepDone) -> Transition:
    match state, event:
        case Reverting(), LinkSwapped():
            attempt = attempt_of(state.journal)
            journal = end(state.journal, Stage.ROLLED_BACK, attempt.cause)
            return _after(state, journal, CloseAttempt(keep=(attempt.from_version,)))
        case Reverting(party=Party.GUARD), StepFailed():
            return GuardDone(state.journal), ()
        case Reverting(), StepFailed(why):
            known = attempt_of(state.journal).waits == why.sentence
            journal = state.journal if known else note(state.journal, waits=why.sentence)
            return replace(state, journal=journal), _TRY_AGAIN
        case _:
            raise IllegalEvent(state, event)


def _after(state: Reverting, journal: Journal, close: CloseAttempt) -> Transition:
    if state.party is Party.GUARD:
        return GuardDone(journal), (close,)
    if state.stopping or state.party is Party.NEW:
        code = EXIT_STOP if state.stopping else EXIT_RESTART
        return Leaving(journal, code), (StopCandidate(), close, Exit(code))
    return Idle(state.running, journal), (StopCandidate(), close, Report(), ReadOrder())


def attempt_of(journal: Journal) -> Attempt:
    attempt = journal.open_attempt
    if attempt is None:
        raise ValueError("no attempt is under way")
    return attempt
