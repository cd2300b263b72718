"""Would an upgrade work on a device? The question, and the device's answer, check by check.

Both travel by the command protocol, as messages of their own, so that an agent which is never asked
never loads them: the question reads as a `Command` with the verb `Preflight` too, and an older
agent's `Answer`, a refusal, reads as a `PreflightAnswer` without checks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts.commands import Outcome, Verb
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import (
    check_count,
    check_device_id,
    check_text,
    check_version,
)
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.contracts.wire import SCHEMA, Tolerant

MAX_CHECKS: Final = 16
MAX_DETAIL: Final = 200
"""Characters. Four bytes each at worst, and 16 checks of them still fit in one message."""


class CheckName(Tolerant):
    """What is looked at."""

    # Looked at by the device.
    DISK_SPACE = "disk_space"
    """The artifact fits on the versions' file system, and a reserve beside it."""
    FOLDERS = "folders"
    """What an upgrade writes can be written, and the versions' folder executed from."""
    PYTHON = "python"
    """The interpreter is one that the agent, and this artifact, run on."""
    MODULES = "modules"
    """Every module that the agent can ever import is there."""
    SERVICE_MANAGER = "service_manager"
    """systemd, or the local supervisor, is there and answers."""
    UNIT = "unit"
    """The agent that answers is the one that the permanent unit runs."""
    LINK = "link"
    """The link leads to the version that runs."""
    PREVIOUS = "previous"
    """The link to the version that guards."""
    ROLLBACK_TARGET = "rollback_target"
    """The file to go back to is whole, and the one whose digest the device knows."""
    QUARANTINE = "quarantine"
    """This artifact has not failed on this device before."""
    CLOCK = "clock"
    """The device's time is near the operator's. Nothing is decided by it, but certificates are."""
    ARTIFACT_SERVER = "artifact_server"
    """The artifact can be reached from the device, and has its size."""
    # Looked at by the operator.
    ORDER = "order"
    """The operator would give the order now."""
    ANSWER = "answer"
    """The device answered."""
    UNKNOWN = "unknown"


class CheckState(Tolerant):
    OK = "ok"
    """Nothing stands in the way."""
    WARNING = "warning"
    """The upgrade would work; all the same it should be looked at."""
    FAILED = "failed"
    """The upgrade would not work."""
    UNKNOWN = "unknown"
    """It could not be found out."""


@dataclass(frozen=True, slots=True)
class Check:
    name: CheckName
    """What was looked at."""
    state: CheckState
    """What that means for the upgrade."""
    detail: str
    """One sentence that a person can act on, at most 200 characters."""

    def __post_init__(self) -> None:
        check_text(self.detail, "detail", MAX_DETAIL)


@dataclass(frozen=True, slots=True)
class PreflightCommand:
    """Changes nothing on the device, and is not remembered there."""

    device_id: str
    """Whom it is for: the last part of the key, said again because whoever reads it checks it."""
    version: str
    """To upgrade to; SemVer without build metadata."""
    artifact: Artifact
    """The file that holds that version for this device."""
    asked_at: str
    """RFC 3339, UTC, by the operator's clock."""
    python: str = ""
    """What the artifact needs, such as `>=3.11`; empty: not known."""
    verb: Verb = Verb.PREFLIGHT
    """Always `Preflight`."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_version(self.version)
        check_text(self.asked_at, "asked_at", 40)
        check_text(self.python, "python", 40)
        check_count(self.schema, "schema", minimum=1)


@dataclass(frozen=True, slots=True)
class PreflightAnswer:
    device_id: str
    """Who says so: the part of the key, said again because whoever reads it checks it."""
    outcome: Outcome
    """`ok`: it looked. `refused`: it did not, for this reason."""
    reason: str = ""
    """Why it did not look, in one sentence."""
    version: str | None = None
    """The version that was asked about."""
    checks: tuple[Check, ...] = ()
    """At most 16."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_text(self.reason, "reason", 400)
        if self.version is not None:
            check_version(self.version)
        if len(self.checks) > MAX_CHECKS:
            raise InvalidValue(f"{len(self.checks)} checks; {MAX_CHECKS} is the most")
        check_count(self.schema, "schema", minimum=1)


_WORST_FIRST: Final = (CheckState.FAILED, CheckState.UNKNOWN, CheckState.WARNING)


def verdict(checks: Iterable[Check]) -> CheckState:
    """The worst of them. No check at all is no yes."""
    states = {check.state for check in checks}
    if not states:
        return CheckState.UNKNOWN
    return next((state for state in _WORST_FIRST if state in states), CheckState.OK)


def check(name: CheckName, state: CheckState, detail: str) -> Check:
    """A Check whose sentence is made to fit."""
    clean = "".join(c if c.isprintable() else " " for c in detail).strip()
    return Check(name, state, clean if len(clean) <= MAX_DETAIL else clean[: MAX_DETAIL - 1] + "…")
