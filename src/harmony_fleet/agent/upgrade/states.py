"""The states of the machine. Nouns; every one of them is a value.

What leads from one to another is decided in `machine` and the modules it names. Every state but
the first carries the journal's record: the driver makes it durable before it performs the step's
effects.
"""

from dataclasses import dataclass
from enum import StrEnum

from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.upgrade import Cause

EXIT_RESTART = 75
"""To the service manager: start the unit again, through the link."""
EXIT_STOP = 0


class Party(StrEnum):
    """Who this process is in the attempt."""

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
    heard: bool | None = None
    """The plane got a heartbeat of the target version with this id; None: it cannot be asked."""


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
