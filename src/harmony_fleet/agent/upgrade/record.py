"""What the journal holds, and the only ways in which it may change. Pure.

Rules
1. `seq` grows with every change that the operator should hear of; one `seq`, one statement.
2. `highest` never sinks: an order that is not above it is not taken up again.
3. An attempt that ended stays as the last one, and stands in `ended`; it never changes again.
4. Until probation ends, the version before must be able to read what this one writes: add
   fields with defaults, never change the meaning of one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import (
    check_count,
    check_sha256,
    check_token,
    check_upgrade_id,
    check_version,
)
from harmony_fleet.contracts.upgrade import (
    ENDED_KEPT,
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Ended,
    Marker,
    Status,
)
from harmony_fleet.contracts.upgrade import cause as cause_of
from harmony_fleet.contracts.wire import SCHEMA

QUARANTINED_KEPT = 32


class Stage(StrEnum):
    """The durable step of an attempt. The first five are open, the others are ends."""

    STAGING = "staging"
    VERIFYING = "verifying"
    CUTOVER = "cutover"
    REVERTING = "reverting"
    COMMITTED = "committed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    UNRESOLVED = "unresolved"

    @property
    def open(self) -> bool:
        return self in _PHASES_OF_OPEN


_PHASES_OF_OPEN = {
    Stage.STAGING: AgentUpgradePhase.STAGING,
    Stage.VERIFYING: AgentUpgradePhase.VERIFYING,
    Stage.CUTOVER: AgentUpgradePhase.CUTOVER_READY,
    Stage.REVERTING: AgentUpgradePhase.REVERTING,
    Stage.COMMITTED: AgentUpgradePhase.COMMITTED,
}
_PHASES_OF_ENDED = {
    Stage.SUCCEEDED: AgentUpgradePhase.SUCCEEDED,
    Stage.FAILED: AgentUpgradePhase.FAILED,
    Stage.ROLLED_BACK: AgentUpgradePhase.ROLLED_BACK,
    Stage.UNRESOLVED: AgentUpgradePhase.UNRESOLVED,
}
_PHASES = _PHASES_OF_OPEN | _PHASES_OF_ENDED


@dataclass(frozen=True, slots=True)
class Installed:
    """A version on this device whose digest is known."""

    version: str
    sha256: str

    def __post_init__(self) -> None:
        check_version(self.version)
        check_sha256(self.sha256)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One upgrade on this device, from its order to its end."""

    upgrade_id: str | None
    """None: the journal was lost in the middle of it, and its id with it."""
    generation: int
    stage: Stage
    from_version: str
    to_version: str
    artifact: Artifact | None = None
    """None where the id is unknown."""
    target_sha256: str | None = None
    """Digest of the rollback target, known from the end of staging on."""
    retry: bool = False
    tries: int = 1
    """How often staging was begun."""
    starts: int = 0
    """Starts of the new version that the guard let pass since the commit."""
    since: BootTime | None = None
    """The commit, or the last counted start."""
    cause: Cause | None = None
    deferred: str | None = None
    waits: str = ""
    """Why the way back cannot be finished yet; it is no part of the verdict's cause."""

    def __post_init__(self) -> None:
        check_version(self.from_version)
        check_version(self.to_version)
        for upgrade_id in (self.upgrade_id, self.deferred):
            if upgrade_id is not None:
                check_upgrade_id(upgrade_id)
        if self.target_sha256 is not None:
            check_sha256(self.target_sha256)
        for number, name in (
            (self.generation, "generation"),
            (self.tries, "tries"),
            (self.starts, "starts"),
        ):
            check_count(number, name)


@dataclass(frozen=True, slots=True)
class Journal:
    """The device's truth about its upgrades. Written whole, atomically and durably."""

    journal_id: str
    seq: int = 0
    highest: int = 0
    """The highest generation ever seen."""
    attempt: Attempt | None = None
    """The one under way, or else the last."""
    ended: tuple[Ended, ...] = ()
    ended_complete: bool = True
    lost: bool = False
    """Made after a loss, and no marker read since: the next one ends with `journal_lost`."""
    quarantined: tuple[str, ...] = ()
    """Digests that failed here for a cause that counts. SHA-256, the last 32."""
    installed: Installed | None = None
    """The last version that proved itself, with its digest."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        check_token(self.journal_id)
        check_count(self.seq, "seq")
        check_count(self.highest, "highest")
        if len(self.ended) > ENDED_KEPT:
            raise InvalidValue(f"{len(self.ended)} ended upgrades; {ENDED_KEPT} is the most")

    @property
    def open_attempt(self) -> Attempt | None:
        return self.attempt if self.attempt and self.attempt.stage.open else None

    def verdict_on(self, upgrade_id: str) -> Ended | None:
        return next((e for e in reversed(self.ended) if e.upgrade_id == upgrade_id), None)


def fresh(journal_id: str) -> Journal:
    """For a device that has never been upgraded."""
    return Journal(journal_id)


def after_loss(journal_id: str, link: str | None, previous: str | None) -> Journal:
    """What must be assumed where there was a journal and it cannot be read."""
    journal = Journal(journal_id, ended_complete=False, lost=True)
    if previous is None or link is None or link == previous:
        return journal
    attempt = Attempt(None, 0, Stage.COMMITTED, from_version=previous, to_version=link)
    return replace(journal, attempt=attempt)


def begin(journal: Journal, marker: Marker, running: str) -> Journal:
    """Take up an order: Staging."""
    known = journal.installed
    attempt = Attempt(
        upgrade_id=marker.upgrade_id,
        generation=marker.generation,
        stage=Stage.STAGING,
        from_version=running,
        to_version=marker.version,
        artifact=marker.artifact,
        target_sha256=known.sha256 if known and known.version == running else None,
        retry=marker.retry,
    )
    return replace(
        journal, seq=journal.seq + 1, highest=marker.generation, attempt=attempt, lost=False
    )


def refuse(journal: Journal, order: Attempt, stage: Stage, cause: Cause) -> Journal:
    """End an order that was never taken up."""
    begun = replace(journal, highest=order.generation, attempt=order, lost=False)
    return end(begun, stage, cause)


def advance(journal: Journal, stage: Stage, **changes: object) -> Journal:
    """The attempt under way enters `stage`; the operator is to hear of it."""
    return _with_attempt(journal, 1, stage=stage, **changes)


def note(journal: Journal, **changes: object) -> Journal:
    """The attempt under way stays in its stage, but the operator is to hear of a change."""
    return _with_attempt(journal, 1, **changes)


def count(journal: Journal, starts: int, since: BootTime | None) -> Journal:
    """Probation's bookkeeping, of which the operator need not hear."""
    return _with_attempt(journal, 0, starts=starts, since=since)


def end(journal: Journal, stage: Stage, cause: Cause | None) -> Journal:
    """The attempt under way ends. The only place that writes a verdict."""
    ended = _with_attempt(journal, 1, stage=stage, cause=cause, deferred=None, waits="")
    attempt = _attempt(ended)
    if attempt.upgrade_id is not None:
        verdict = Ended(
            attempt.upgrade_id,
            attempt.generation,
            _PHASES_OF_ENDED[stage],
            cause.kind if cause else None,
        )
        ended = replace(ended, ended=(*ended.ended, verdict)[-ENDED_KEPT:])
    return _remember_digest(ended, attempt, stage, cause)


def _remember_digest(
    journal: Journal, attempt: Attempt, stage: Stage, cause: Cause | None
) -> Journal:
    if attempt.artifact is None:
        return journal
    sha256 = attempt.artifact.sha256
    others = tuple(digest for digest in journal.quarantined if digest != sha256)
    if stage is Stage.SUCCEEDED and cause is None:
        installed = Installed(attempt.to_version, sha256)
        return replace(journal, installed=installed, quarantined=others)
    if cause and cause.kind.counts_against_release:
        return replace(journal, quarantined=(*others, sha256)[-QUARANTINED_KEPT:])
    return journal


def status_of(journal: Journal, device_id: str, sent_at: str = "") -> Status:
    """What the device says of itself: nothing but what its journal holds."""
    attempt = journal.attempt
    said = device_id, journal.journal_id, journal.seq, journal.highest
    if attempt is None:
        ended, complete = journal.ended, journal.ended_complete
        return Status(*said, ended=ended, ended_complete=complete, sent_at=sent_at)
    return Status(
        *said,
        upgrade_id=attempt.upgrade_id,
        from_version=attempt.from_version,
        to_version=attempt.to_version,
        phase=_PHASES[attempt.stage],
        attempt=attempt.tries,
        cause=_cause_said(attempt),
        deferred=attempt.deferred,
        ended=journal.ended,
        ended_complete=journal.ended_complete,
        sent_at=sent_at,
    )


def _cause_said(attempt: Attempt) -> Cause | None:
    why = attempt.cause
    if why is None or not attempt.waits:
        return why
    sentence = f"cannot go back yet: {attempt.waits}. It goes back because {why.sentence}"
    return cause_of(why.kind, sentence, why.evidence)


def quarantined(journal: Journal, marker: Marker) -> bool:
    return marker.artifact.sha256 in journal.quarantined and not marker.retry


def journal_lost(marker_generation: int) -> Cause:
    return Cause(
        CauseKind.JOURNAL_LOST,
        f"the device's journal was lost before it read order {marker_generation}: nothing is "
        "known of it; order it again",
    )


def _attempt(journal: Journal) -> Attempt:
    if journal.attempt is None:
        raise ValueError("no attempt in this journal")
    return journal.attempt


def _with_attempt(journal: Journal, said: int, **changes: object) -> Journal:
    attempt = replace(_attempt(journal), **changes)  # type: ignore[arg-type]
    return replace(journal, seq=journal.seq + said, attempt=attempt)
