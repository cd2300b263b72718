"""What happens to the machine. Past tense; every one of them is a value.

In four families and three single ones, so that a rule can speak of a whole family.
"""

from dataclasses import dataclass

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.states import (
    Deadline,
)
from harmony_fleet.contracts.upgrade import Cause, Marker


class Began:
    """This process starts. The first event of any, and never again."""

    __slots__ = ()


class Asked:
    """The operator wants something."""

    __slots__ = ()


class WorkEnded:
    """Of the work under way; none arrives after CancelWork."""

    __slots__ = ()


class StepDone:
    """The outcome of an effect that is not work; it comes before any other event."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class JournalRead:
    journal: Journal


@dataclass(frozen=True, slots=True)
class JournalAbsent:
    """There is none. Where there is no `previous` either, there never was one."""

    new_id: str


@dataclass(frozen=True, slots=True)
class JournalUnreadable:
    """There was one; it has been moved aside and kept."""

    new_id: str


Found = JournalRead | JournalAbsent | JournalUnreadable


@dataclass(frozen=True, slots=True)
class PrimaryStarted(Began):
    """The permanent unit started this binary. The journal and its folders were synced first."""

    running: str
    found: Found
    link: str | None
    """The version that the link leads to; None where there is no link of ours."""
    previous: str | None


@dataclass(frozen=True, slots=True)
class ExpiryMark:
    """Left by the dead-man timer for the guard."""

    upgrade_id: str | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class GuardStarted(Began):
    """`previous guard` was run, before a start of the primary."""

    running: str
    found: Found
    link: str | None
    previous: str | None
    now: BootTime
    starts_allowed: int
    mark: ExpiryMark | None = None
    evidence: str = ""
    """The last log lines of what ran before, for the cause of a crash loop."""
    link_gone: bool = False
    """Nothing lies at the link's place, so that no start could succeed."""


@dataclass(frozen=True, slots=True)
class OrderRead(Asked):
    marker: Marker


@dataclass(frozen=True, slots=True)
class OrderUnusable(Asked):
    """A marker whose head could be read and whose order could not."""

    upgrade_id: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Staged(WorkEnded):
    """The artifact is verified and in place; the rollback target's file is whole."""

    target_sha256: str


@dataclass(frozen=True, slots=True)
class StagingFailed(WorkEnded):
    cause: Cause


@dataclass(frozen=True, slots=True)
class Verified(WorkEnded):
    """Both versions' self-tests passed, and the target's guard runs."""


@dataclass(frozen=True, slots=True)
class VerifyingFailed(WorkEnded):
    cause: Cause
    contact: bool = True
    """This, the old, agent itself has the plane."""


@dataclass(frozen=True, slots=True)
class CutoverPrepared(StepDone):
    pass


@dataclass(frozen=True, slots=True)
class LinkSwapped(StepDone):
    pass


@dataclass(frozen=True, slots=True)
class StepFailed(StepDone):
    """A step on this device's disk failed; it may have been done in part."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class CandidateReady(WorkEnded):
    pass


@dataclass(frozen=True, slots=True)
class CandidateStartFailed(WorkEnded):
    cause: Cause


@dataclass(frozen=True, slots=True)
class PlaneAsked(WorkEnded):
    """Whether the plane holds a heartbeat of the candidate; said where the answer changed."""

    heard: bool | None
    """None: it could not be asked."""


@dataclass(frozen=True, slots=True)
class CandidateExited(WorkEnded):
    cause: Cause
    system: bool = False
    """The whole machine is going down, and the candidate with it."""


@dataclass(frozen=True, slots=True)
class StopReceived(Asked):
    upgrade_id: str
    reply_to: str
    now: BootTime


@dataclass(frozen=True, slots=True)
class TargetSound(StepDone):
    pass


@dataclass(frozen=True, slots=True)
class TargetDamaged(StepDone):
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The plane acknowledged the status with this `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class TimeRanOut:
    deadline: Deadline
    evidence: str = ""
    """The candidate's last log lines, where one runs."""


@dataclass(frozen=True, slots=True)
class ServiceStopping:
    """SIGTERM: the service manager wants this process to end."""

    system: bool
    """The whole machine is going down."""


Event = (
    PrimaryStarted
    | GuardStarted
    | OrderRead
    | OrderUnusable
    | Staged
    | StagingFailed
    | Verified
    | VerifyingFailed
    | CutoverPrepared
    | LinkSwapped
    | StepFailed
    | CandidateReady
    | CandidateStartFailed
    | PlaneAsked
    | CandidateExited
    | StopReceived
    | TargetSound
    | TargetDamaged
    | Reported
    | TimeRanOut
    | ServiceStopping
)
