"""The version that was there before: it stages, verifies, cuts over, and waits for the stop."""

from dataclasses import replace
from typing import assert_never

from harmony_fleet.agent.upgrade import revert
from harmony_fleet.agent.upgrade.effects import (
    CancelWork,
    CloseAttempt,
    Effect,
    Exit,
    PrepareCutover,
    ReadOrder,
    Report,
    SayReady,
    Stage,
    StartCandidate,
    StartClock,
    StopClocks,
    SwapLink,
    Verify,
)
from harmony_fleet.agent.upgrade.events import (
    Began,
    CandidateExited,
    CandidateReady,
    CandidateStartFailed,
    CutoverPrepared,
    Event,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    PlaneAsked,
    Reported,
    ServiceStopping,
    Staged,
    StagingFailed,
    StepDone,
    StepFailed,
    StopReceived,
    TimeRanOut,
    Verified,
    VerifyingFailed,
    WorkEnded,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.record import (
    Attempt,
    Journal,
    advance,
    begin,
    end,
    journal_lost,
    quarantined,
    refuse,
)
from harmony_fleet.agent.upgrade.record import (
    Stage as JournalStage,
)
from harmony_fleet.agent.upgrade.revert import attempt_of
from harmony_fleet.agent.upgrade.states import (
    EXIT_RESTART,
    EXIT_STOP,
    Armed,
    CuttingOver,
    Deadline,
    Idle,
    Leaving,
    OpenState,
    Party,
    Preparing,
    Staging,
    Verifying,
)
from harmony_fleet.agent.upgrade.stop_signal import acknowledge, acts_on, answer_stop
from harmony_fleet.contracts.upgrade import Cause, CauseKind, Desired, Marker, cause

Transition = tuple[OpenState, tuple[Effect, ...]]
OldState = Idle | Staging | Verifying | Preparing | CuttingOver | Armed

TRIES = 3
"""So often is staging begun before the device gives up: each time the agent died in it."""


def step(state: OldState, event: Event) -> Transition:
    """Raises IllegalEvent where `event` cannot happen in `state`."""
    match event:
        case OrderRead() | OrderUnusable():
            return _ordered(state, event)
        case StopReceived():
            return _stop(state, event)
        case WorkEnded():
            return _work_ended(state, event)
        case StepDone():
            return _step_done(state, event)
        case TimeRanOut():
            return _time_ran_out(state, event)
        case ServiceStopping():
            return _stopping(state)
        case Reported():
            return state, ()
        case Began():
            raise IllegalEvent(state, event)
        case _:
            assert_never(event)


# Orders


def _ordered(state: OldState, event: OrderRead | OrderUnusable) -> Transition:
    match state:
        case Idle():
            return _ordered_while_idle(state, event)
        case Staging() | Verifying() | Preparing():
            if not replaces(state.journal, event):
                return state, ()
            ended, effects = _failed(state, _aborted())
            return ended, (*effects, ReadOrder())
        case CuttingOver() | Armed():
            if not replaces(state.journal, event):
                return state, ()
            return revert.begin(state.running, state.journal, _aborted(), Party.OLD)
        case _:
            assert_never(state)


def replaces(journal: Journal, event: OrderRead | OrderUnusable) -> bool:
    """An abort of what is under way, or a newer order."""
    if isinstance(event, OrderUnusable):
        return _new_to(journal, event.upgrade_id, event.generation)
    marker = event.marker
    if _new_to(journal, marker.upgrade_id, marker.generation):
        return True
    attempt = journal.open_attempt
    same = attempt is not None and attempt.upgrade_id == marker.upgrade_id
    return same and marker.desired is Desired.ABORT


def _new_to(journal: Journal, upgrade_id: str, generation: int) -> bool:
    return generation > journal.highest and journal.verdict_on(upgrade_id) is None


def _ordered_while_idle(state: Idle, event: OrderRead | OrderUnusable) -> Transition:
    journal = state.journal
    if isinstance(event, OrderUnusable):
        if not _new_to(journal, event.upgrade_id, event.generation):
            return state, (Report(),)
        order = Attempt(
            event.upgrade_id, event.generation, JournalStage.STAGING, state.running, state.running
        )
        if journal.lost:
            why = journal_lost(event.generation)
            return _refused(state, order, JournalStage.UNRESOLVED, why)
        why = cause(CauseKind.ORDER_INVALID, f"the order cannot be read: {event.reason}")
        return _refused(state, order, JournalStage.FAILED, why)
    marker = event.marker
    if not _new_to(journal, marker.upgrade_id, marker.generation):
        return state, (Report(),)
    refusal = _refusal(state, marker)
    if refusal is not None:
        return _refused(state, _never_begun(state, marker), *refusal)
    return _stage(state.running, begin(journal, marker, state.running))


def _refusal(state: Idle, marker: Marker) -> tuple[JournalStage, Cause] | None:
    """Why this order is ended without being taken up, if it is."""
    failed = JournalStage.FAILED
    if state.journal.lost:
        return JournalStage.UNRESOLVED, journal_lost(marker.generation)
    if marker.desired is Desired.ABORT:
        return failed, _aborted()
    if marker.desired is not Desired.RUN:
        return failed, cause(CauseKind.ORDER_INVALID, "the order wants neither run nor abort")
    if quarantined(state.journal, marker):
        return failed, cause(
            CauseKind.QUARANTINED,
            f"the file of version {marker.version} failed on this device before: order it with "
            "--retry to try it again",
        )
    if marker.version == state.running:
        return JournalStage.SUCCEEDED, cause(
            CauseKind.ALREADY_RUNNING, f"version {marker.version} was running already"
        )
    return None


def _never_begun(state: Idle, marker: Marker) -> Attempt:
    return Attempt(
        marker.upgrade_id,
        marker.generation,
        JournalStage.STAGING,
        from_version=state.running,
        to_version=marker.version,
    )


def _refused(state: Idle, order: Attempt, stage: JournalStage, why: Cause) -> Transition:
    journal = refuse(state.journal, order, stage, why)
    return Idle(state.running, journal), (Report(),)


def _aborted() -> Cause:
    return cause(CauseKind.ABORTED, "the operator took the order back, or gave a newer one")


# Staging and verifying


def _stage(running: str, journal: Journal) -> Transition:
    attempt = attempt_of(journal)
    if attempt.artifact is None:
        raise ValueError("an order without an artifact cannot be staged")
    work = Stage(attempt.to_version, attempt.artifact, running, attempt.target_sha256)
    return Staging(running, journal), (Report(), work)


def resume(running: str, journal: Journal) -> Transition:
    """After a restart: staging is begun again, and goes on where the download had stopped."""
    tries = attempt_of(journal).tries + 1
    if tries > TRIES:
        why = cause(
            CauseKind.TRIES_EXHAUSTED,
            f"the agent was restarted {TRIES} times while it prepared this upgrade",
        )
        ended, effects = _failed(Staging(running, journal), why)
        return ended, (SayReady(), *effects, ReadOrder())
    again = advance(journal, JournalStage.STAGING, tries=tries)
    state, effects = _stage(running, again)
    return state, (SayReady(), *effects, ReadOrder())


def _work_ended(state: OldState, event: WorkEnded) -> Transition:
    match state, event:
        case Staging(), Staged(sha256):
            journal = advance(state.journal, JournalStage.VERIFYING, target_sha256=sha256)
            work = Verify(attempt_of(journal).to_version, state.running)
            return Verifying(state.running, journal), (Report(), work)
        case Staging(), StagingFailed(why):
            return _failed(state, why)
        case Verifying(), Verified():
            return Preparing(state.running, state.journal), (PrepareCutover(state.running),)
        case Verifying(), VerifyingFailed(why, contact):
            return _failed(state, _blamed(why, contact))
        case CuttingOver(), CandidateReady():
            clocks = (StartClock(Deadline.STOP), StartClock(Deadline.OVERALL))
            return Armed(state.running, state.journal), (*clocks, Report())
        case CuttingOver(), CandidateStartFailed(why):
            return revert.begin(state.running, state.journal, why, Party.OLD)
        case Armed(), PlaneAsked(heard):
            return replace(state, heard=state.heard or heard), ()
        case Armed(), CandidateExited(system=True):
            return state, ()
        case Armed(), CandidateExited(why):
            return revert.begin(state.running, state.journal, why, Party.OLD)
        case _:
            raise IllegalEvent(state, event)


def _blamed(why: Cause, contact: bool) -> Cause:
    """A self-test needs the plane: one that failed without it says nothing of the version."""
    if contact or why.kind not in _SELF_TESTS:
        return why
    sentence = "the message plane went away while a self-test ran: order the upgrade again"
    return cause(CauseKind.PLANE_UNREACHABLE, sentence, why.evidence)


_SELF_TESTS = frozenset(
    {
        CauseKind.SELF_TEST_FAILED,
        CauseKind.SELF_TEST_TIMEOUT,
        CauseKind.ROLLBACK_TARGET_FAILED,
    }
)


def _failed(state: Staging | Verifying | Preparing, why: Cause) -> Transition:
    """Nothing had been changed: there is nothing to put back, and a download goes on later."""
    resumed = why.kind is CauseKind.DOWNLOAD_FAILED
    keep = (state.running, *([attempt_of(state.journal).to_version] if resumed else []))
    journal = end(state.journal, JournalStage.FAILED, why)
    effects = (CancelWork(), CloseAttempt(keep), Report())
    return Idle(state.running, journal), effects


# Cutover


def _step_done(state: OldState, event: StepDone) -> Transition:
    match state, event:
        case Preparing(), CutoverPrepared():
            journal = advance(state.journal, JournalStage.CUTOVER)
            swap = SwapLink(attempt_of(journal).to_version)
            return CuttingOver(state.running, journal), (swap,)
        case Preparing(), StepFailed(why):
            return _failed(state, why)
        case CuttingOver(), LinkSwapped():
            attempt = attempt_of(state.journal)
            if attempt.upgrade_id is None:
                raise ValueError("an upgrade without an id is never cut over")
            return state, (StartCandidate(attempt.to_version, attempt.upgrade_id),)
        case CuttingOver(), StepFailed(why):
            return revert.begin(state.running, state.journal, why, Party.OLD)
        case _:
            raise IllegalEvent(state, event)


def _stop(state: OldState, event: StopReceived) -> Transition:
    if not acts_on(state, event):
        return state, (answer_stop(state.journal, event),)
    journal = advance(state.journal, JournalStage.COMMITTED, since=event.now)
    leave = (StopClocks(), acknowledge(event), Exit(EXIT_RESTART))
    return Leaving(journal, EXIT_RESTART), leave


def _time_ran_out(state: OldState, event: TimeRanOut) -> Transition:
    if not isinstance(state, Armed) or event.deadline not in {Deadline.STOP, Deadline.OVERALL}:
        return state, ()
    if event.deadline is Deadline.STOP and state.heard is False:
        why = cause(
            CauseKind.CANDIDATE_SILENT,
            f"version {attempt_of(state.journal).to_version} started, and the message plane never "
            "got a heartbeat of it: read its log lines, repair it, release it anew",
            event.evidence,
        )
    else:
        why = cause(
            CauseKind.NO_DECISION,
            "the candidate was ready and no operator committed the upgrade in time: look whether "
            "an operator runs, and order it again",
        )
    return revert.begin(state.running, state.journal, why, Party.OLD)


def _stopping(state: OldState) -> Transition:
    if isinstance(state, CuttingOver | Armed):
        why = cause(CauseKind.SERVICE_STOPPED, "the agent's service was stopped in the cutover")
        return revert.begin(state.running, state.journal, why, Party.OLD, stopping=True)
    return Leaving(state.journal, EXIT_STOP), (CancelWork(), StopClocks(), Exit(EXIT_STOP))
