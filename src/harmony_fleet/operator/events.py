"""What happens to one device, as the coordinator is told of it. Pure."""

from dataclasses import dataclass

from harmony_fleet.contracts.commands import Answer
from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.contracts.upgrade import Artifact, Marker, Status
from harmony_fleet.labels import Changes


@dataclass(frozen=True, slots=True)
class Ordered:
    upgrade_id: str
    version: str
    artifact: Artifact
    now: str
    retry: bool = False
    replace: bool = False
    """Give the order although another is under way."""
    over: str | None = None
    """Only where this is still the newest order's id; empty: none was given yet. None: over any."""


@dataclass(frozen=True, slots=True)
class AbortOrdered:
    pass


@dataclass(frozen=True, slots=True)
class LabelsOrdered:
    changes: Changes


@dataclass(frozen=True, slots=True)
class PauseOrdered:
    paused: bool
    """False: it takes orders again."""


@dataclass(frozen=True, slots=True)
class HeartbeatSeen:
    heartbeat: Heartbeat
    live: bool
    """Stored since this operator connected: not a replayed last value."""


@dataclass(frozen=True, slots=True)
class StatusSeen:
    status: Status
    now: str
    live: bool = False
    """Put just now: not what a listing found, which the plane may have kept from long ago."""


@dataclass(frozen=True, slots=True)
class MarkerSeen:
    """What the bucket holds for this device: None where it holds nothing readable."""

    marker: Marker | None


@dataclass(frozen=True, slots=True)
class StopAnswered:
    upgrade_id: str
    answer: Answer
    now: str


@dataclass(frozen=True, slots=True)
class StopUnanswered:
    upgrade_id: str


@dataclass(frozen=True, slots=True)
class SightForgotten:
    """The plane was lost: what was seen before it may not count any more."""


Sighting = HeartbeatSeen | StatusSeen | MarkerSeen | SightForgotten
"""What the observer reports."""
Event = (
    Ordered | AbortOrdered | LabelsOrdered | PauseOrdered | StopAnswered | StopUnanswered | Sighting
)
