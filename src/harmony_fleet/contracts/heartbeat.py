"""The small periodic message: "I am instance I of version V in role R, in upgrade U"."""

from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts.identity import (
    check_count,
    check_device_id,
    check_text,
    check_token,
    check_upgrade_id,
    check_version,
)
from harmony_fleet.contracts.wire import SCHEMA, Tolerant

MAX_INTERVAL_MS: Final = 3_600_000
"""Of heartbeats. What is inferred from silence takes three of them."""


class Role(Tolerant):
    PRIMARY = "primary"
    """The process of the permanent service."""
    CANDIDATE = "candidate"
    """The new version's process beside it, during an upgrade."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the artifact is staged. Bytes."""

    done_bytes: int
    """Downloaded so far, resumed parts included."""
    total_bytes: int
    """As the marker announced it."""

    def __post_init__(self) -> None:
        check_count(self.done_bytes, "done_bytes")
        check_count(self.total_bytes, "total_bytes")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Bucket `device-heartbeat`, key `<device_id>.<role>`; put without waiting for an answer."""

    device_id: str
    """Who says so: the part of the key, said again because whoever reads it checks it."""
    agent_version: str
    """Of the process that says this."""
    role: Role
    """The permanent service, or the new version beside it."""
    instance_id: str
    """Random, new with each process."""
    boot_id: str
    """The kernel's, or the local supervisor's: new with each start of the machine."""
    beat: int
    """Counts this instance's heartbeats from 1."""
    interval_ms: int
    """When the next one is due. Milliseconds; an hour is the most."""
    upgrade_id: str | None = None
    """The upgrade under way, if any."""
    progress: Progress | None = None
    """Only while staging."""
    sent_at: str = ""
    """RFC 3339, UTC, by the device's clock. For people: nothing is decided by it."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_version(self.agent_version)
        check_token(self.instance_id)
        check_token(self.boot_id)
        check_count(self.beat, "beat", minimum=1)
        check_count(self.interval_ms, "interval_ms", minimum=1, maximum=MAX_INTERVAL_MS)
        if self.upgrade_id is not None:
            check_upgrade_id(self.upgrade_id)
        check_text(self.sent_at, "sent_at", 40)
        check_count(self.schema, "schema", minimum=1)
