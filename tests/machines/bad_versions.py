"""Every kind of bad version, and how an upgrade to it ends on a device that nobody hits."""

from dataclasses import dataclass

from harmony_fleet.contracts.upgrade import CauseKind


@dataclass(frozen=True, slots=True)
class Bad:
    version: str
    overlay: str | None
    phase: str
    causes: tuple[CauseKind, ...]
    evidence: str = ""
    """Stands in what the status tells; of bytes that were never run there is none."""
    tampered: bool = False


BAD = (
    Bad("1.1.0", None, "Failed", (CauseKind.DIGEST_MISMATCH,), tampered=True),
    Bad("1.2.0", "needs_missing_module", "Failed", (CauseKind.SELF_TEST_FAILED,), "sensors"),
    Bad("1.3.0", "dies_as_candidate", "RolledBack", (CauseKind.CANDIDATE_START_FAILED,), "sensor0"),
    Bad(
        "1.4.0",
        "never_heartbeats",
        "RolledBack",
        (CauseKind.CANDIDATE_SILENT,),
        "Started fleet-agent-candidate",
    ),
    Bad("1.5.0", "crashes_as_primary", "RolledBack", (CauseKind.CRASH_LOOP,), "Traceback"),
    Bad(
        "1.6.0",
        "dies_soon_as_primary",
        "RolledBack",
        (CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT),
        "the sensor bus was lost",
    ),
    Bad(
        "1.7.0",
        "hangs_as_primary",
        "RolledBack",
        (CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT),
        "waiting for a lock",
    ),
    Bad(
        "1.8.0",
        "silent_as_primary",
        "RolledBack",
        (CauseKind.NO_CONTACT,),
        "Started fleet-agent.service",
    ),
    Bad(
        "1.9.0",
        "reboots_machine",
        "RolledBack",
        (CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT),
        "Started fleet-agent.service",
    ),
)
