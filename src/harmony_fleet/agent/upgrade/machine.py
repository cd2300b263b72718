"""What one process does about an upgrade: `step(state, event) -> (state, effects)`. Pure.

Rules
1. Which party this process is follows from the journal, its own version, and what the link leads
   to: the from-version is old, the to-version new, and so is, before the commit, whatever the link
   to that one has started; any other binary ends the attempt and touches no link.
2. The old version is ended by a stop for this upgrade_id and by nothing else; the agent never
   stops itself.
3. Before the commit every restart reverts; after it only the guard rolls back.
4. Every way back goes through `revert`.
5. The driver makes the state's journal durable before it performs the step's effects. The event
   of an effect that is not work comes before any other.
6. An event that cannot happen in a state raises IllegalEvent and changes nothing.

This module knows which rule book applies; the rules stand in `old_primary`, `new_primary`,
`guard_rules` and `revert`, and who answers a stop what in `stop_signal`.
"""

from typing import assert_never

from harmony_fleet.agent.upgrade import guard_rules, new_primary, old_primary, revert
from harmony_fleet.agent.upgrade.effects import (
    CloseAttempt,
    Effect,
    Exit,
    ReadOrder,
    Report,
    SayReady,
    StartClock,
    StopCandidate,
    SwapLink,
)
from harmony_fleet.agent.upgrade.events import (
    Began,
    Event,
    Found,
    GuardStarted,
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    PrimaryStarted,
    Reported,
    ServiceStopping,
    StepDone,
    StepFailed,
    StopReceived,
    TimeRanOut,
    WorkEnded,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage, after_loss, end, fresh
from harmony_fleet.agent.upgrade.states import (
    EXIT_RESTART,
    EXIT_STOP,
    Armed,
    Checking,
    CuttingOver,
    Deadline,
    GuardDone,
    Idle,
    Leaving,
    OpenState,
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
from harmony_fleet.agent.upgrade.stop_signal import answer_stop
from harmony_fleet.contracts.upgrade import CauseKind, cause

Transition = tuple[OpenState, tuple[Effect, ...]]


def step(state: State, event: Event) -> Transition:
    """Raises IllegalEvent where `event` cannot happen in `state`."""
    match state:
        case Starting():
            return _starting(state, event)
        case Idle() | Staging() | Verifying() | Preparing() | CuttingOver() | Armed():
            return old_primary.step(state, event)
        case Trial() | Probation():
            return new_primary.step(state, event)
        case Checking() | Reverting():
            return revert.step(state, event)
        case Recommitting():
            return _recommitting(state, event)
        case Leaving():
            return _leaving(state, event)
        case GuardDone():
            raise IllegalEvent(state, event)
        case _:
            assert_never(state)


def _starting(state: Starting, event: Event) -> Transition:
    match event:
        case PrimaryStarted():
            return _primary_started(event, _journal(event.found, event.link, event.previous))
        case GuardStarted():
            return guard_rules.started(event, _journal(event.found, event.link, event.previous))
        case _:
            raise IllegalEvent(state, event)


def _journal(found: Found, link: str | None, previous: str | None) -> Journal:
    match found:
        case JournalRead(journal):
            return journal
        case JournalAbsent(new_id) if previous is None:
            return fresh(new_id)
        case JournalAbsent(new_id) | JournalUnreadable(new_id):
            return after_loss(new_id, link, previous)
        case _:
            assert_never(found)


def _primary_started(event: PrimaryStarted, journal: Journal) -> Transition:
    attempt = journal.open_attempt
    if attempt is None:
        return _settle(event.running, journal)
    party = _party(event, attempt)
    if party is Party.OLD:
        return _old_started(event.running, journal, attempt.stage)
    if party is Party.NEW:
        return new_primary.started(event.running, journal)
    why = cause(
        CauseKind.REPLACED_BY_HAND,
        f"what was started in the middle of an upgrade from {attempt.from_version} to "
        f"{attempt.to_version} says that it is {event.running}: order the version that you want",
    )
    return _settle(event.running, end(journal, Stage.UNRESOLVED, why))


def _party(event: PrimaryStarted, attempt: Attempt) -> Party | None:
    """None: another binary, that somebody put there by hand.

    What a link to the new version has started is never the old one, and before the commit it is the
    new one, whatever it takes itself for (ADR 14).
    """
    linked = event.link == attempt.to_version
    if linked and attempt.stage in _UNCOMMITTED:
        return Party.NEW
    if event.running == attempt.from_version and not linked:
        return Party.OLD
    changed = attempt.stage not in _NOTHING_CHANGED
    return Party.NEW if changed and event.running == attempt.to_version else None


_UNCOMMITTED = frozenset({Stage.CUTOVER, Stage.REVERTING})
_NOTHING_CHANGED = frozenset({Stage.STAGING, Stage.VERIFYING})


def _settle(running: str, journal: Journal) -> Transition:
    sweep = (StopCandidate(), CloseAttempt(keep=(running,)))
    return Idle(running, journal), (SayReady(), *sweep, Report(), ReadOrder())


def _old_started(running: str, journal: Journal, stage: Stage) -> Transition:
    match stage:
        case Stage.STAGING | Stage.VERIFYING:
            return old_primary.resume(running, journal)
        case Stage.CUTOVER | Stage.REVERTING:
            state, effects = revert.resume(running, journal, Party.OLD)
            return state, (SayReady(), *effects)
        case Stage.COMMITTED:
            return swap_again(running, journal, Party.OLD)
        case (  # pragma: no cover - `open_attempt` gives none of these
            Stage.SUCCEEDED | Stage.FAILED | Stage.ROLLED_BACK | Stage.UNRESOLVED
        ):
            raise ValueError("an ended attempt is not open")
        case _:
            assert_never(stage)


def swap_again(running: str, journal: Journal, party: Party) -> Transition:
    """A commit that a power cut left without its link."""
    swap = SwapLink(revert.attempt_of(journal).to_version)
    return Recommitting(running, journal, party), (swap,)


def _recommitting(state: Recommitting, event: Event) -> Transition:
    match event:
        case LinkSwapped() | StepFailed() if state.party is Party.GUARD:
            return GuardDone(state.journal), ()
        case LinkSwapped():
            return Leaving(state.journal, EXIT_RESTART), (Exit(EXIT_RESTART),)
        case StepFailed():
            return state, (SayReady(), StartClock(Deadline.RETRY))
        case TimeRanOut(Deadline.RETRY):
            return swap_again(state.running, state.journal, state.party)
        case ServiceStopping():
            return Leaving(state.journal, EXIT_STOP), (Exit(EXIT_STOP),)
        case StopReceived():
            return state, (answer_stop(state.journal, event),)
        case OrderRead() | OrderUnusable() | Reported() | TimeRanOut():
            return state, ()
        case Began() | WorkEnded() | StepDone():
            raise IllegalEvent(state, event)
        case _:
            assert_never(event)


def _leaving(state: Leaving, event: Event) -> Transition:
    """Too late for anything but repeating what was committed."""
    if isinstance(event, StopReceived):
        return state, (answer_stop(state.journal, event),)
    return state, ()
