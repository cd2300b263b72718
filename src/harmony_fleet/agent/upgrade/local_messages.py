"""What the agent and the local supervisor say to each other, through a unix stream socket.

Rules
1. One connection carries one request, as one line of JSON, and one answer, as another.
2. A client that goes away ends nothing: what it started goes on to its end or its limit.
3. A client that wants what it started to be ended sends `Cancel` on the same connection; the
   answer comes when it has ended.
4. An answer is a `Refusal`, or else what its request names.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harmony_fleet.contracts.codec import decode

SOCKET: Final = "supervisor.sock"
BOOT_ID: Final = "boot_id"
"""Both in the folder `<root>/run/fleet-agent`."""

OUTPUT_KEPT: Final = 65536
"""Bytes of a process's output; what came earlier is dropped."""
MAX_REQUEST_BYTES: Final = 16384
MAX_ANSWER_BYTES: Final = 8 * OUTPUT_KEPT
"""A byte of output takes up to six in JSON."""


class Op(StrEnum):
    RUN = "run"
    START_CANDIDATE = "start_candidate"
    AWAIT_CANDIDATE = "await_candidate"
    STOP_CANDIDATE = "stop_candidate"
    ASK_CANDIDATE = "ask_candidate"
    START_UNIT = "start_unit"
    STOP_UNIT = "stop_unit"
    RESTART_UNIT = "restart_unit"
    ASK_STATE = "ask_state"
    CANCEL = "cancel"


# Requests


@dataclass(frozen=True, slots=True)
class Run:
    """Answered by `Ran` when the process has ended."""

    path: str
    arguments: tuple[str, ...]
    limit_s: float
    op: Op = Op.RUN


@dataclass(frozen=True, slots=True)
class StartCandidate:
    """Any other candidate is ended first. Answered by `Candidate` at READY, or when it is gone."""

    path: str
    arguments: tuple[str, ...]
    ready_limit_s: float
    runtime_limit_s: float
    """Counted from READY; it is ended then, whatever became of the upgrade."""
    op: Op = Op.START_CANDIDATE


@dataclass(frozen=True, slots=True)
class AwaitCandidate:
    """Answered by `Candidate` as soon as none runs."""

    op: Op = Op.AWAIT_CANDIDATE


@dataclass(frozen=True, slots=True)
class StopCandidate:
    """Answered by `Candidate` when none runs."""

    op: Op = Op.STOP_CANDIDATE


@dataclass(frozen=True, slots=True)
class AskCandidate:
    """Answered by `Candidate` at once."""

    op: Op = Op.ASK_CANDIDATE


@dataclass(frozen=True, slots=True)
class StartUnit:
    """By hand: the permanent unit is to run. Answered by `Machine`, without waiting for READY."""

    op: Op = Op.START_UNIT


@dataclass(frozen=True, slots=True)
class StopUnit:
    """By hand: nobody starts the permanent unit until `StartUnit`. Answered by `Machine`."""

    op: Op = Op.STOP_UNIT


@dataclass(frozen=True, slots=True)
class RestartUnit:
    """Stop and start, unless it is stopped by hand. Answered by `Machine`."""

    op: Op = Op.RESTART_UNIT


@dataclass(frozen=True, slots=True)
class AskState:
    """Answered by `Machine`."""

    op: Op = Op.ASK_STATE


@dataclass(frozen=True, slots=True)
class Cancel:
    """Only after a request, on its connection."""

    op: Op = Op.CANCEL


Request = (
    Run
    | StartCandidate
    | AwaitCandidate
    | StopCandidate
    | AskCandidate
    | StartUnit
    | StopUnit
    | RestartUnit
    | AskState
    | Cancel
)


# Answers


class UnitState(StrEnum):
    STOPPED = "stopped"
    """By hand, or because the machine is going down."""
    GUARDING = "guarding"
    STARTING = "starting"
    RUNNING = "running"
    """It said READY."""
    WAITING = "waiting"
    """It ended, and is about to be started again."""


@dataclass(frozen=True, slots=True)
class Ran:
    exit_status: int
    """As `subprocess` has it: -9 for a process that a SIGKILL ended; 127 if it cannot be run."""
    timed_out: bool
    output: str
    """Standard output and error, the last 64 KiB."""


@dataclass(frozen=True, slots=True)
class Candidate:
    running: bool
    """It runs and has said READY."""
    output: str
    """Of the one that runs, or else of the last one."""


@dataclass(frozen=True, slots=True)
class Machine:
    boot_id: str
    stopping: bool
    """The whole machine is going down."""
    unit: UnitState
    unit_pid: int | None
    unit_starts: int
    """Since this boot."""
    candidate_pid: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Instead of the answer asked for. Nothing of what was asked goes on."""

    refused: str = ""
    """Why, in one sentence; never empty in a real refusal."""


Answer = Ran | Candidate | Machine | Refusal


@dataclass(frozen=True, slots=True)
class _Head:
    op: Op


_KINDS: Final[dict[Op, type[Request]]] = {
    Op.RUN: Run,
    Op.START_CANDIDATE: StartCandidate,
    Op.AWAIT_CANDIDATE: AwaitCandidate,
    Op.STOP_CANDIDATE: StopCandidate,
    Op.ASK_CANDIDATE: AskCandidate,
    Op.START_UNIT: StartUnit,
    Op.STOP_UNIT: StopUnit,
    Op.RESTART_UNIT: RestartUnit,
    Op.ASK_STATE: AskState,
    Op.CANCEL: Cancel,
}


def read_request(line: bytes) -> Request:
    """Raises MalformedMessage."""
    return decode(_KINDS[decode(_Head, line, MAX_REQUEST_BYTES).op], line, MAX_REQUEST_BYTES)
