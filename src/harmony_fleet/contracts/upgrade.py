"""The operator's order for one device, and what the device says about it.

`Marker` and `Status` are the two durable messages of the protocol. Every message is immutable,
carries a `schema`, and is checked as it is made: whoever holds one holds a valid one.
Fields that a reader does not know are ignored, enum values that it does not know become UNKNOWN.
"""

from dataclasses import dataclass

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import (
    check_count,
    check_device_id,
    check_sha256,
    check_text,
    check_token,
    check_upgrade_id,
    check_url,
    check_version,
)
from harmony_fleet.contracts.wire import SCHEMA, Tolerant

MAX_SENTENCE = 400
MAX_EVIDENCE = 1800
"""Characters. Four bytes each at worst, and 32 ended ids beside it, still fit in one message."""

ENDED_KEPT = 32
"""So many ended upgrades does a device name; what is older can be inferred by nobody."""


class Desired(Tolerant):
    RUN = "run"
    """Go on with it."""
    ABORT = "abort"
    """End it, if it is not committed yet."""
    UNKNOWN = "unknown"


class AgentUpgradePhase(Tolerant):
    """How far one upgrade is. From SUCCEEDED to NEVER_STARTED they are ends."""

    PENDING = "Pending"
    """Ordered; the device has not spoken of it yet. Said by the operator only."""
    STAGING = "Staging"
    """The artifact is being downloaded and checked."""
    VERIFYING = "Verifying"
    """The new version and the way back are being tested; nothing has been changed."""
    CUTOVER_READY = "CutoverReady"
    """Both versions run; the old one waits for the stop."""
    COMMITTED = "Committed"
    """The new version is primary, in probation."""
    REVERTING = "Reverting"
    """On the way back, and said only where that has to wait: for a disk, or a file's repair."""
    SUCCEEDED = "Succeeded"
    """Out of probation."""
    FAILED = "Failed"
    """Ended before anything had been changed."""
    ROLLED_BACK = "RolledBack"
    """Undone; the old version runs."""
    UNRESOLVED = "Unresolved"
    """Ended without a verdict: the journal was lost, or the binary was replaced by hand."""
    NEVER_STARTED = "NeverStarted"
    """Replaced by a newer order before the device took it up. Said by the operator only."""
    UNKNOWN = "Unknown"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {
        AgentUpgradePhase.SUCCEEDED,
        AgentUpgradePhase.FAILED,
        AgentUpgradePhase.ROLLED_BACK,
        AgentUpgradePhase.UNRESOLVED,
        AgentUpgradePhase.NEVER_STARTED,
    }
)


class CauseKind(Tolerant):
    """Why an upgrade ended as it did, or why it waits."""

    # These count against the release, and quarantine its digest on that device.
    SELF_TEST_FAILED = "self_test_failed"
    SELF_TEST_TIMEOUT = "self_test_timeout"
    CANDIDATE_START_FAILED = "candidate_start_failed"
    CANDIDATE_DIED = "candidate_died"
    CANDIDATE_SILENT = "candidate_silent"
    CRASH_LOOP = "crash_loop"
    PROBATION_EXPIRED = "probation_expired"
    NO_CONTACT = "no_contact"
    # These do not.
    DIGEST_MISMATCH = "digest_mismatch"
    DOWNLOAD_FAILED = "download_failed"
    DISK_FULL = "disk_full"
    DEVICE_FAULT = "device_fault"
    """The device itself could not do a step: permissions, a read-only or failing disk."""
    ROLLBACK_TARGET_FAILED = "rollback_target_failed"
    ROLLBACK_TARGET_DAMAGED = "rollback_target_damaged"
    TRIES_EXHAUSTED = "tries_exhausted"
    NO_DECISION = "no_decision"
    INTERRUPTED = "interrupted"
    SERVICE_STOPPED = "service_stopped"
    PLANE_UNREACHABLE = "plane_unreachable"
    ABORTED = "aborted"
    QUARANTINED = "quarantined"
    ORDER_INVALID = "order_invalid"
    ALREADY_RUNNING = "already_running"
    JOURNAL_LOST = "journal_lost"
    REPLACED_BY_HAND = "replaced_by_hand"
    UNKNOWN = "unknown"

    @property
    def counts_against_release(self) -> bool:
        return self in _COUNTS


_COUNTS = frozenset(
    {
        CauseKind.SELF_TEST_FAILED,
        CauseKind.SELF_TEST_TIMEOUT,
        CauseKind.CANDIDATE_START_FAILED,
        CauseKind.CANDIDATE_DIED,
        CauseKind.CANDIDATE_SILENT,
        CauseKind.CRASH_LOOP,
        CauseKind.PROBATION_EXPIRED,
        CauseKind.NO_CONTACT,
    }
)


@dataclass(frozen=True, slots=True)
class Cause:
    kind: CauseKind
    """Stable, for programs."""
    sentence: str
    """One sentence that a person can act on, at most 400 characters."""
    evidence: str = ""
    """The self-test's output or the failed version's last log lines, at most 1800 characters."""

    def __post_init__(self) -> None:
        check_text(self.sentence, "sentence", MAX_SENTENCE)
        check_text(self.evidence, "evidence", MAX_EVIDENCE)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a release."""

    url: str
    """Where to download it: http or https, without credentials."""
    size_bytes: int
    """Exactly; not a byte more is taken."""
    sha256: str
    """Lower-case hexadecimal."""

    def __post_init__(self) -> None:
        check_url(self.url)
        check_count(self.size_bytes, "size_bytes", minimum=1)
        check_sha256(self.sha256)


@dataclass(frozen=True, slots=True)
class Marker:
    """The operator's durable order for one device: bucket `agent-upgrade`, key `<device_id>`."""

    device_id: str
    """Whom it is for: the last part of the key, said again because whoever reads it checks it."""
    upgrade_id: str
    """Random; names this attempt in every later message."""
    generation: int
    """1 or more, above every one before it for this device. An abort keeps its order's."""
    version: str
    """To upgrade to; SemVer without build metadata."""
    artifact: Artifact
    """The file that holds that version for this device."""
    desired: Desired = Desired.RUN
    """Whether to go on with it."""
    retry: bool = False
    """Try a digest again that failed on this device for a cause that counts."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_upgrade_id(self.upgrade_id)
        check_count(self.generation, "generation", minimum=1)
        check_version(self.version)
        check_count(self.schema, "schema", minimum=1)


@dataclass(frozen=True, slots=True)
class MarkerHead:
    """What must be readable of any marker, however new, so that it can be answered."""

    device_id: str
    upgrade_id: str
    generation: int

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_upgrade_id(self.upgrade_id)
        check_count(self.generation, "generation", minimum=1)


@dataclass(frozen=True, slots=True)
class Ended:
    """The verdict on one upgrade, as the device remembers it."""

    upgrade_id: str
    """As its marker named it."""
    generation: int
    """As its marker named it."""
    phase: AgentUpgradePhase
    """How it ended."""
    cause: CauseKind | None = None
    """None only for a plain success."""

    def __post_init__(self) -> None:
        check_upgrade_id(self.upgrade_id)
        check_count(self.generation, "generation", minimum=1)
        if not (self.phase.final or self.phase is AgentUpgradePhase.UNKNOWN):
            raise InvalidValue(f"phase {self.phase} is not the end of an upgrade")


@dataclass(frozen=True, slots=True)
class Status:
    """What a device last said of its order: bucket `agent-upgrade-status`, key `<device_id>`.

    Written at transitions, and again when the plane seems to have forgotten it.
    """

    device_id: str
    """Who says so: the part of the key, said again because whoever reads it checks it."""
    journal_id: str
    """Made with the journal. `seq` and `ended` are comparable within one journal only."""
    seq: int
    """Grows with every transition; the same number is the same statement."""
    generation: int
    """The highest that the device has seen; 0 before its first order."""
    upgrade_id: str | None = None
    """None while there has been no upgrade, or where its id was lost with the journal."""
    from_version: str | None = None
    """What ran before this upgrade."""
    to_version: str | None = None
    """What this upgrade leads to."""
    phase: AgentUpgradePhase | None = None
    """How far this upgrade is; None while there has been none."""
    attempt: int = 0
    """1 for the first; a restart while staging or verifying begins the next."""
    cause: Cause | None = None
    """Why it ended; before the end, why it waits."""
    deferred: str | None = None
    """The id of a newer order, taken up after probation."""
    ended: tuple[Ended, ...] = ()
    """The last 32, oldest first."""
    ended_complete: bool = True
    """False: the journal was lost once, and nothing follows from an id's absence in `ended`."""
    sent_at: str = ""
    """RFC 3339, UTC, by the device's clock. For people: nothing is decided by it."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_token(self.journal_id)
        for number, name in ((self.seq, "seq"), (self.generation, "generation")):
            check_count(number, name)
        for upgrade_id in (self.upgrade_id, self.deferred):
            if upgrade_id is not None:
                check_upgrade_id(upgrade_id)
        for version in (self.from_version, self.to_version):
            if version is not None:
                check_version(version)
        check_count(self.attempt, "attempt")
        check_text(self.sent_at, "sent_at", 40)
        if len(self.ended) > ENDED_KEPT:
            raise InvalidValue(f"{len(self.ended)} ended upgrades; {ENDED_KEPT} is the most")
        check_count(self.schema, "schema", minimum=1)


def clip(text: str, limit: int) -> str:
    """The end of `text`, at most `limit` characters, without control characters but newlines."""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    return clean if len(clean) <= limit else "…" + clean[len(clean) - limit + 1 :]


def cause(kind: CauseKind, sentence: str, evidence: str = "") -> Cause:
    """A Cause whose words are made to fit."""
    return Cause(kind, clip(sentence, MAX_SENTENCE), clip(evidence, MAX_EVIDENCE))
