"""What the guard, the previous version's code, does before a start of the primary.

It decides whether the start may go on as it is, or must go back first. It never blocks one: where
it can do nothing, the start goes on. It leaves the candidate alone; the primary sweeps it.
"""

from typing import assert_never

from harmony_fleet.agent.upgrade import revert
from harmony_fleet.agent.upgrade.effects import (
    Effect,
    SwapLink,
)
from harmony_fleet.agent.upgrade.events import (
    GuardStarted,
)
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage, count
from harmony_fleet.agent.upgrade.states import (
    GuardDone,
    OpenState,
    Party,
    Recommitting,
)
from harmony_fleet.contracts.upgrade import Cause, CauseKind, cause

Transition = tuple[OpenState, tuple[Effect, ...]]


def started(event: GuardStarted, journal: Journal) -> Transition:
    attempt = journal.open_attempt
    if attempt is None or event.previous is None or event.running != attempt.from_version:
        return GuardDone(journal), ()
    if event.link is not None and event.link not in {attempt.from_version, attempt.to_version}:
        return GuardDone(journal), ()  # another version was put there by hand: it ends the attempt
    match attempt.stage:
        case Stage.STAGING | Stage.VERIFYING:
            return GuardDone(journal), ()
        case Stage.CUTOVER | Stage.REVERTING:
            return revert.resume(event.running, journal, Party.GUARD)
        case Stage.COMMITTED:
            return _committed(event, journal, attempt)
        case (  # pragma: no cover - `open_attempt` gives none of these
            Stage.SUCCEEDED | Stage.FAILED | Stage.ROLLED_BACK | Stage.UNRESOLVED
        ):
            raise ValueError("an ended attempt is not open")
        case _:
            assert_never(attempt.stage)


def _committed(event: GuardStarted, journal: Journal, attempt: Attempt) -> Transition:
    why = _why_back(event, attempt)
    if why is not None:
        return revert.begin(event.running, journal, why, Party.GUARD)
    counted = count(journal, starts=attempt.starts + 1, since=event.now)
    if event.link == attempt.from_version or event.link_gone:
        again = Recommitting(event.running, counted, Party.GUARD)
        return again, (SwapLink(attempt.to_version),)
    return GuardDone(counted), ()


def _why_back(event: GuardStarted, attempt: Attempt) -> Cause | None:
    if event.mark is not None and event.mark.upgrade_id == attempt.upgrade_id:
        why = event.mark.cause
        return cause(why.kind, why.sentence, why.evidence or event.evidence)
    if attempt.starts < event.starts_allowed:
        return None
    return cause(
        CauseKind.CRASH_LOOP,
        f"version {attempt.to_version} was started {attempt.starts} times in its probation and "
        "did not last: read its last log lines, repair it, and release it under a new version",
        event.evidence,
    )
