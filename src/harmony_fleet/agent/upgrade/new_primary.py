"""The version that was upgraded to, started by the permanent unit: trial, and probation."""

from dataclasses import replace
from typing import assert_never

from harmony_fleet.agent.upgrade import revert
from harmony_fleet.agent.upgrade.effects import (
    CloseAttempt,
    Effect,
    Exit,
    ReadOrder,
    Report,
    SayReady,
    StartClock,
    StopCandidate,
    StopClocks,
)
from harmony_fleet.agent.upgrade.events import (
    Began,
    Event,
    OrderRead,
    OrderUnusable,
    Reported,
    ServiceStopping,
    StepDone,
    StopReceived,
    TimeRanOut,
    WorkEnded,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.old_primary import replaces
from harmony_fleet.agent.upgrade.record import (
    Journal,
    Stage,
    advance,
    count,
    end,
    note,
)
from harmony_fleet.agent.upgrade.revert import attempt_of
from harmony_fleet.agent.upgrade.states import (
    EXIT_STOP,
    Deadline,
    Idle,
    Leaving,
    OpenState,
    Party,
    Probation,
    Trial,
)
from harmony_fleet.agent.upgrade.stop_signal import acknowledge, acts_on, answer_stop
from harmony_fleet.contracts.upgrade import Cause, CauseKind, cause

Transition = tuple[OpenState, tuple[Effect, ...]]


def started(running: str, journal: Journal) -> Transition:
    """For a journal in Cutover (no guard ran), Reverting (none could finish) or Committed."""
    stage = attempt_of(journal).stage
    if stage is Stage.CUTOVER:
        return revert.enter_trial(running, journal)
    if stage is Stage.REVERTING:
        return revert.resume(running, journal, Party.NEW)
    if attempt_of(journal).cause is not None:  # of an earlier start: it may not be so any more
        journal = note(journal, cause=None)
    return _enter_probation(running, journal, (SayReady(),))


def step(state: Trial | Probation, event: Event) -> Transition:
    """Raises IllegalEvent where `event` cannot happen in `state`."""
    return _trial(state, event) if isinstance(state, Trial) else _probation(state, event)


def _trial(state: Trial, event: Event) -> Transition:
    match event:
        case StopReceived() if acts_on(state, event):
            journal = advance(state.journal, Stage.COMMITTED, since=event.now, starts=1, cause=None)
            return _enter_probation(state.running, journal, (acknowledge(event), StopClocks()))
        case StopReceived():
            return state, (answer_stop(state.journal, event),)
        case OrderRead() | OrderUnusable() if replaces(state.journal, event):
            return _back(state, cause(CauseKind.ABORTED, "the operator took the order back"))
        case TimeRanOut(Deadline.STOP | Deadline.OVERALL):
            return _back(state, _undecided())
        case ServiceStopping():
            why = cause(CauseKind.SERVICE_STOPPED, "the agent's service was stopped on trial")
            return _back(state, why, stopping=True)
        case OrderRead() | OrderUnusable() | Reported() | TimeRanOut():
            return state, ()
        case Began() | WorkEnded() | StepDone():
            raise IllegalEvent(state, event)
        case _:
            assert_never(event)


def _undecided() -> Cause:
    return cause(
        CauseKind.NO_DECISION,
        "the new version ran on trial and no operator committed it in time: order it again",
    )


def _back(state: Trial, why: Cause, stopping: bool = False) -> Transition:
    return revert.begin(state.running, state.journal, why, Party.NEW, stopping)


def _enter_probation(running: str, journal: Journal, first: tuple[Effect, ...]) -> Transition:
    rest = (StopCandidate(), Report(), StartClock(Deadline.PROBATION), ReadOrder())
    return Probation(running, journal), (*first, *rest)


def _probation(state: Probation, event: Event) -> Transition:
    match event:
        case TimeRanOut(Deadline.PROBATION):
            return _time_reached(replace(state, time_reached=True))
        case Reported(seq):
            as_primary = seq >= state.journal.seq  # one put on trial, or before, is not meant
            return _proven_if_both(replace(state, reported=state.reported or as_primary))
        case StopReceived():
            return state, (answer_stop(state.journal, event),)
        case OrderRead() | OrderUnusable():
            return _ordered(state, event)
        case ServiceStopping(system):
            return _stopping(state, system)
        case TimeRanOut():
            return state, ()
        case Began() | WorkEnded() | StepDone():
            raise IllegalEvent(state, event)
        case _:
            assert_never(event)


def _time_reached(state: Probation) -> Transition:
    """Without a report that was acknowledged the time is extended, and the status says so."""
    if state.reported:
        return _proven_if_both(state)
    why = cause(
        CauseKind.PLANE_UNREACHABLE,
        "probation's time is over, and no status was acknowledged yet: it goes on until one is, "
        "or until the version before finds that the message plane is not to blame",
    )
    return replace(state, journal=note(state.journal, cause=why)), (Report(),)


def _proven_if_both(state: Probation) -> Transition:
    if not (state.time_reached and state.reported):
        return state, ()
    attempt = attempt_of(state.journal)
    if attempt.upgrade_id is None:
        why = cause(CauseKind.JOURNAL_LOST, "the journal was lost in the middle of an upgrade")
        journal = end(state.journal, Stage.UNRESOLVED, why)
    else:
        journal = end(state.journal, Stage.SUCCEEDED, None)
    close = CloseAttempt(keep=(state.running, attempt.from_version))
    waiting = (ReadOrder(),) if attempt.deferred else ()
    return Idle(state.running, journal), (close, Report(), *waiting)


def _ordered(state: Probation, event: OrderRead | OrderUnusable) -> Transition:
    """A commit cannot be taken back, and a newer order waits: say so."""
    if not replaces(state.journal, event):
        return state, ()
    generation, upgrade_id = (
        (event.generation, event.upgrade_id)
        if isinstance(event, OrderUnusable)
        else (event.marker.generation, event.marker.upgrade_id)
    )
    if generation <= state.journal.highest or attempt_of(state.journal).deferred == upgrade_id:
        return state, (Report(),)
    return replace(state, journal=note(state.journal, deferred=upgrade_id)), (Report(),)


def _stopping(state: Probation, system: bool) -> Transition:
    """A start that a person ended was no crash; one that took the machine down may be."""
    attempt = attempt_of(state.journal)
    journal = state.journal
    if not system and attempt.starts > 0:
        journal = count(journal, starts=attempt.starts - 1, since=attempt.since)
    return Leaving(journal, EXIT_STOP), (StopCandidate(), Exit(EXIT_STOP))
