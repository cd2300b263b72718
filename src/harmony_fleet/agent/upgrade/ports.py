"""What an upgrade needs from the device. Each port has a fake in `testing` and real adapters.

`Versions` is everything on the program's disk; its methods are synchronous, short, and durable
when they return: the guard, which has no event loop, uses them as they are. `UpgradeExecutor`
adds the processes. Any method that raises UpgradeFault has changed nothing that a repetition of
the same call would not put right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
)
from harmony_fleet.agent.upgrade.events import (
    Found,
)
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.upgrade import Artifact, CauseKind


class UpgradeFault(FleetError):
    """A step could not be done. `cause` is what the status will say."""

    kind: ClassVar[str] = "upgrade_fault"
    retryable = True

    def __init__(self, cause: CauseKind, sentence: str, evidence: str = "") -> None:
        super().__init__(sentence)
        self.cause, self.sentence, self.evidence = cause, sentence, evidence


class JournalUnwritable(FleetError):
    """The journal could not be made durable. The old one stands."""

    kind = "journal_unwritable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Program:
    """What is upgraded. The paths of one installation are the layout's."""

    name: str
    """Of the link, and the prefix of each version's file: `<name>-v<version>`."""
    self_test: tuple[str, ...] = ("--self-test",)
    candidate: tuple[str, ...] = ("candidate", "--upgrade-id")
    """The upgrade_id follows."""
    guard_dry_run: tuple[str, ...] = ("guard", "--dry-run")


FLEET_AGENT = Program("fleet-agent")


class Versions(Protocol):
    """The versions, the link, `previous` and `attempt-open` of one program."""

    def link_version(self) -> str | None:
        """The version that the link leads to; None if it is no link into the versions' folder."""

    def link_gone(self) -> bool:
        """Nothing lies at the link's place, neither a link nor a program."""

    def previous_version(self) -> str | None:
        """The version that `previous` leads to, or None."""

    def capture_revert_target(self, version: str) -> None:
        """Where the link's place holds a regular file, keep it as `version`'s file. Idempotent.

        The link's place still holds the same program afterwards. Raises UpgradeFault.
        """

    def check_target(self, version: str, sha256: str | None) -> None:
        """Raises UpgradeFault(ROLLBACK_TARGET_DAMAGED) unless the file is whole and executable.

        The process that runs from that very file writes it anew from its open descriptor first,
        where it can. None as digest: whole by its own manifest. The file is durable afterwards;
        raises UpgradeFault(DISK_FULL or DEVICE_FAULT) where the disk refuses that.
        """

    def point_previous(self, version: str) -> None:
        """Atomic, durable, idempotent. Raises UpgradeFault."""

    def swap_link(self, version: str) -> None:
        """Atomic, durable, idempotent: the link leads to the old or to the new, never nowhere.

        Raises UpgradeFault: also where `version` has no complete file.
        """

    def open_attempt(self) -> None:
        """Create `attempt-open`, durably. Idempotent. Raises UpgradeFault."""

    def close_attempt(self) -> None:
        """Remove `attempt-open` and the dead-man's files. Idempotent. Raises UpgradeFault."""

    def prune(self, keep: frozenset[str]) -> None:
        """Remove old versions beyond the configured number, never one in `keep`. Never raises."""

    def make_durable(self) -> None:
        """fsync the journal, its folder and the link's folder: before acting on a journal."""


class UpgradeExecutor(Versions, Protocol):
    async def stage(
        self, version: str, artifact: Artifact, progress: Callable[[int], None]
    ) -> None:
        """Fetch, verify, and only then give the file its final name and its execute bit.

        A complete file with the right digest that is already there is used. Cancellable; what
        was fetched is kept and resumed. Raises UpgradeFault(DIGEST_MISMATCH, DOWNLOAD_FAILED,
        DISK_FULL or DEVICE_FAULT), with nothing at the final path.
        """

    async def running_sha256(self) -> str:
        """Digest of the binary that runs, by the descriptor it runs from. Raises UpgradeFault."""

    async def self_test(self, version: str, limit_s: float) -> None:
        """Run it in a process that outlives no limit. Cancellable: the process is ended.

        Raises UpgradeFault(SELF_TEST_FAILED, with its output, or SELF_TEST_TIMEOUT).
        """

    async def dry_run_guard(self, version: str, limit_s: float) -> None:
        """Raises UpgradeFault(ROLLBACK_TARGET_FAILED) unless that version's guard can run."""

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        """Returns after its READY. Any other candidate is stopped first.

        Cancellable: the candidate may run afterwards, until `stop_candidate`.
        Raises UpgradeFault(CANDIDATE_START_FAILED) with its last log lines; none runs then.
        """

    async def candidate_exit(self) -> str:
        """Wait until no candidate runs; its last log lines. Cancellable; never raises."""

    async def stop_candidate(self) -> None:
        """None runs when this returns. Idempotent. Raises UpgradeFault."""

    async def candidate_log(self) -> str:
        """The candidate's last log lines, or nothing. Never raises."""

    async def system_stopping(self) -> bool:
        """The whole machine is going down, as far as the service manager knows."""


class JournalStore(Protocol):
    def read(self) -> Found:
        """An unreadable journal is moved aside, kept, and reported as such.

        A journal of a newer schema whose fields are understood is read as it is.
        """

    def write(self, journal: Journal) -> None:
        """Durable and atomic when it returns. The reserve is given up first on a full disk.

        Raises JournalUnwritable: the old journal stands.
        """


class Orders(Protocol):
    def read(self) -> None:
        """Have the marker read and posted as an event; nothing is posted where there is none.

        Returns at once and never raises: where the plane is away, it is read when it is back.
        """


class Reports(Protocol):
    def put(self, journal: Journal) -> None:
        """Say the status of `journal` until it is acknowledged or replaced, then post Reported."""


class StopAnswers(Protocol):
    async def answer(self, answer: AnswerStop) -> None:
        """Sent when it returns, or given up after a second: the operator asks again."""


class Plane(Protocol):
    @property
    def connected(self) -> bool: ...

    @property
    def epoch(self) -> int:
        """How often it has connected. The same before and after: no loss in between."""

    async def heard(self, version: str, upgrade_id: str) -> bool | None:
        """The plane holds a heartbeat of this device's `version` that names `upgrade_id`.

        None where it cannot be asked now. Never raises.
        """


class ServiceManager(Protocol):
    def ready(self) -> None:
        """READY=1. Idempotent, never raises."""


class Clock(Protocol):
    def boot_time(self) -> BootTime:
        """Seconds since boot, suspend included, and the boot's id."""

    async def sleep(self, seconds: float) -> None: ...
