"""`guard`, `guard --dry-run` and `guard --expired`, as the service unit runs them.

Each is short-lived and reads what it needs from the disk. `--expired` answers by its exit status:
0 has the unit restarted, so that the guard before that start reads the mark and rolls back.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from harmony_fleet.agent.upgrade import deadman
from harmony_fleet.agent.upgrade.durable import is_full, write_file
from harmony_fleet.agent.upgrade.events import (
    ExpiryMark,
    JournalRead,
)
from harmony_fleet.agent.upgrade.guard import GuardPorts, guard
from harmony_fleet.agent.upgrade.journal import reserve_in
from harmony_fleet.agent.upgrade.ports import JournalUnwritable, UpgradeFault
from harmony_fleet.agent.upgrade.record import Attempt
from harmony_fleet.contracts import codec
from harmony_fleet.contracts.errors import MalformedMessage

logger = logging.getLogger(__name__)

T = TypeVar("T")

MARK = "expired.json"
CONTROLS = "controls.json"

RESTART_UNIT = 0
LEAVE_UNIT = 1
"""As any status but 0 does: the shell of the unit restarts it for 0 alone."""


class Notes(Protocol):
    """What the dead-man timer and the guard leave for each other."""

    def mark(self) -> ExpiryMark | None: ...

    def controls(self) -> deadman.Controls | None: ...

    def leave_mark(self, mark: ExpiryMark) -> bool:
        """Whether it is durable."""

    def leave_controls(self, controls: deadman.Controls) -> bool:
        """Whether they are durable."""


@dataclass(frozen=True, slots=True)
class Files:
    """`Notes`, as files in the folder of the journal."""

    state: Path

    def mark(self) -> ExpiryMark | None:
        return _read(self.state / MARK, ExpiryMark)

    def controls(self) -> deadman.Controls | None:
        return _read(self.state / CONTROLS, deadman.Controls)

    def leave_mark(self, mark: ExpiryMark) -> bool:
        return _write(self.state / MARK, mark)

    def leave_controls(self, controls: deadman.Controls) -> bool:
        return _write(self.state / CONTROLS, controls)


def run_guard(ports: GuardPorts, files: Notes) -> int:
    try:
        guard(ports, files.mark())
    except (JournalUnwritable, UpgradeFault) as error:
        logger.error("%s", error)
        return 1
    return 0


def dry_run(ports: GuardPorts) -> int:
    """Everything that a guard reads, and nothing that it writes."""
    ports.versions.link_version()
    ports.versions.previous_version()
    ports.clock.boot_time()
    return 0


def expired(
    ports: GuardPorts,
    files: Notes,
    bounds: deadman.Bounds,
    control: Callable[[], bool],
) -> int:
    """`control`: whether this, the previous, version has contact, and its status is stored."""
    found = overdue(ports, files, bounds)
    return (
        found if isinstance(found, int) else judged(ports, files, bounds, found, _contact(control))
    )


def overdue(ports: GuardPorts, files: Notes, bounds: deadman.Bounds) -> JournalRead | int:
    """The journal of an upgrade about which a control has to be asked; else the exit status."""
    now = ports.clock.boot_time()
    found = ports.journal.read()
    if not isinstance(found, JournalRead) or not deadman.due(found.journal, now, bounds):
        return LEAVE_UNIT
    attempt = found.journal.open_attempt
    if attempt is None or _nowhere_to_go(ports, attempt):
        return LEAVE_UNIT
    left = files.mark()
    if left is not None and left.upgrade_id == attempt.upgrade_id:
        return RESTART_UNIT
    return found


def judged(
    ports: GuardPorts,
    files: Notes,
    bounds: deadman.Bounds,
    found: JournalRead,
    contact: bool | None,
) -> int:
    """After the control, which took its time. None: it did not run to its end."""
    now = ports.clock.boot_time()  # the plane may have come back while the control ran
    again = ports.journal.read()
    if again != found:
        return LEAVE_UNIT
    controls, mark = deadman.judge(found.journal, now, bounds, contact, files.controls())
    if mark is None:
        logger.info("probation is over its time; the control had contact: %s", contact)
        files.leave_controls(controls)
        return LEAVE_UNIT
    logger.warning("probation failed: %s", mark.cause.sentence)
    return RESTART_UNIT if files.leave_mark(mark) else LEAVE_UNIT


def _contact(control: Callable[[], bool]) -> bool | None:
    """None where the control did not run to its end: that says nothing about the new version."""
    try:
        return control()
    except Exception:  # the runner
        logger.exception("the control did not run to its end")
        return None


def _nowhere_to_go(ports: GuardPorts, attempt: Attempt) -> bool:
    """Then the guard could not roll back: a restart would only interrupt what there is."""
    try:
        ports.versions.check_target(attempt.from_version, attempt.target_sha256)
    except UpgradeFault as fault:
        logger.error("probation is over its time, and cannot be undone: %s", fault)
        return True
    return False


def _write(path: Path, note: object) -> bool:
    """Where the disk is full, in the reserve's place; where that fails, the next waking tries."""
    try:
        reserve_in(path.parent).backs(lambda: write_file(path, codec.encode(note)))
    except OSError as error:
        advice = "; free some space on its disk" if is_full(error) else ""
        logger.error("could not write %s: %s%s", path, error.strerror or error, advice)
        return False
    return True


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return codec.decode(kind, path.read_bytes())
    except (OSError, MalformedMessage):
        return None
