"""What the machine asks for. Imperatives; every one of them is a value.

*Work* goes on beside the loop, and what it has to say comes later; anything else is done when the
next effect begins. Those that name an outcome feed it back before any other event.
"""

from dataclasses import dataclass

from harmony_fleet.agent.upgrade.states import (
    Deadline,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import Artifact, Ended


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
    """Work: fetch and verify, and beside it the file and the digest of the rollback target."""

    version: str
    artifact: Artifact
    target: str
    target_sha256: str | None
    """None: hash it from the descriptor it runs from."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Work: run the self-tests of the staged version and of the rollback target, and a dry run of
    the target's guard, side by side."""

    version: str
    target: str


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
    | Verify
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
