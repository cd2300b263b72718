"""The words of the machine: its states, what happens to it, what it asks for.

States are nouns, events are past tense, effects are imperatives. All are values; what follows
from what is decided in `machine` and the modules it names. Every open state carries the
journal's record: the driver makes it durable before it performs the step's effects.
"""

from dataclasses import dataclass
from enum import StrEnum

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import Artifact, Cause, Ended, Marker

EXIT_RESTART = 75
"""To the service manager: start the unit again, through the link."""
EXIT_STOP = 0


class Party(StrEnum):
    """Who this process is in the attempt, by its own version."""

    OLD = "old"
    NEW = "new"
    GUARD = "guard"


class Deadline(StrEnum):
    """Clocks of one process, monotonic. The first stands still while the plane is unreachable."""

    STOP = "stop"
    OVERALL = "overall"
    PROBATION = "probation"
    RETRY = "retry"
    """Before a step that the disk refused is tried again."""


# States


@dataclass(frozen=True, slots=True)
class Starting:
    """Nothing is known yet: the process has just begun."""


@dataclass(frozen=True, slots=True)
class Idle:
    running: str
    """This binary's version."""
    journal: Journal


@dataclass(frozen=True, slots=True)
class Staging:
    """Old primary: the artifact is being fetched and the rollback target checked."""

    running: str
    journal: Journal


@dataclass(frozen=True, slots=True)
class Verifying:
    """Old primary: the new version's self-test runs."""

    running: str
    journal: Journal


@dataclass(frozen=True, slots=True)
class Preparing:
    """Old primary: `previous` and `attempt-open` are being made durable. Nothing to revert yet."""

    running: str
    journal: Journal


@dataclass(frozen=True, slots=True)
class CuttingOver:
    """Old primary: the link is being swapped, the candidate started."""

    running: str
    journal: Journal


@dataclass(frozen=True, slots=True)
class Armed:
    """Old primary: both run, and only the stop for this upgrade_id, or a revert, ends it."""

    running: str
    journal: Journal
    heard: bool = False
    """The plane holds a heartbeat of the target version with this id."""


@dataclass(frozen=True, slots=True)
class Trial:
    """New primary that nobody committed: it waits for the operator's stop, or reverts."""

    running: str
    journal: Journal


@dataclass(frozen=True, slots=True)
class Checking:
    """A revert is wanted; the target's digest is being checked. Nothing is journaled yet."""

    running: str
    journal: Journal
    cause: Cause
    party: Party
    stopping: bool = False
    """The service is to stop: exit 0 in the end."""


@dataclass(frozen=True, slots=True)
class Reverting:
    """The link is being put back."""

    running: str
    journal: Journal
    party: Party
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Probation:
    """New primary, committed, not yet proven."""

    running: str
    journal: Journal
    time_reached: bool = False
    reported: bool = False
    """The plane acknowledged a status to this process."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The process is about to exit; a stop for what it committed is still acknowledged."""

    journal: Journal
    code: int


@dataclass(frozen=True, slots=True)
class Recommitting:
    """Committed, and the link is still on the old version: it is being swapped again."""

    running: str
    journal: Journal
    party: Party


@dataclass(frozen=True, slots=True)
class GuardDone:
    """The guard has said what it had to say: the start goes on, through the link."""

    journal: Journal


OpenState = (
    Idle
    | Staging
    | Verifying
    | Preparing
    | CuttingOver
    | Armed
    | Trial
    | Checking
    | Reverting
    | Probation
    | Leaving
    | Recommitting
    | GuardDone
)
State = Starting | OpenState


# Events, in four families and three single ones, so that a rule can speak of a whole family


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
    """The artifact is verified and in place; the rollback target is sound."""

    target_sha256: str


@dataclass(frozen=True, slots=True)
class StagingFailed(WorkEnded):
    cause: Cause


@dataclass(frozen=True, slots=True)
class SelfTestPassed(WorkEnded):
    pass


@dataclass(frozen=True, slots=True)
class SelfTestFailed(WorkEnded):
    cause: Cause


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
class CandidateHeard(WorkEnded):
    pass


@dataclass(frozen=True, slots=True)
class CandidateExited(WorkEnded):
    cause: Cause


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
    | SelfTestPassed
    | SelfTestFailed
    | CutoverPrepared
    | LinkSwapped
    | StepFailed
    | CandidateReady
    | CandidateStartFailed
    | CandidateHeard
    | CandidateExited
    | StopReceived
    | TargetSound
    | TargetDamaged
    | Reported
    | TimeRanOut
    | ServiceStopping
)


# Effects


@dataclass(frozen=True, slots=True)
class SayReady:
    """READY to the service manager. Idempotent."""


@dataclass(frozen=True, slots=True)
class Report:
    """Put the status that the journal gives, again and again until it is acknowledged."""


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """Read the marker afresh."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Work: fetch and verify, and beside it check the rollback target."""

    version: str
    artifact: Artifact
    target: str
    target_sha256: str | None
    """None: hash it from the descriptor it runs from."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Work: run the staged version's self-test."""

    version: str


@dataclass(frozen=True, slots=True)
class CancelWork:
    """End the work under way; none of its events arrives afterwards."""


@dataclass(frozen=True, slots=True)
class PrepareCutover:
    """Sweep a stray candidate, point `previous` at `target`, create `attempt-open`; durably."""

    target: str


@dataclass(frozen=True, slots=True)
class SwapLink:
    version: str


@dataclass(frozen=True, slots=True)
class StartCandidate:
    """Work: start it, wait for its READY, then watch it until the work is cancelled."""

    version: str
    upgrade_id: str


@dataclass(frozen=True, slots=True)
class StopCandidate:
    """None runs afterwards. Idempotent."""


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """Digest of the rollback target; an old primary repairs its own file first, if it must."""

    version: str
    sha256: str | None
    """None: the journal was lost; the file must be there and whole by its own manifest."""


@dataclass(frozen=True, slots=True)
class CloseAttempt:
    """Remove `attempt-open` and the dead-man's mark; prune old versions. Idempotent."""

    keep: tuple[str, ...]
    """Versions that must stay, whatever the limit."""


@dataclass(frozen=True, slots=True)
class StartClock:
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class StopClocks:
    pass


@dataclass(frozen=True, slots=True)
class AnswerStop:
    reply_to: str
    outcome: Outcome
    reason: str = ""
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    code: int


Effect = (
    SayReady
    | Report
    | ReadOrder
    | Stage
    | SelfTest
    | CancelWork
    | PrepareCutover
    | SwapLink
    | StartCandidate
    | StopCandidate
    | CheckTarget
    | CloseAttempt
    | StartClock
    | StopClocks
    | AnswerStop
    | Exit
)
