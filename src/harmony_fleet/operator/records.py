"""What the operator's store holds: devices with their orders, releases, events.

Immutable. Only what was ordered, observed and reported stands here; how long ago a device was
last heard, and which heartbeat allows a commit, is remembered in memory and never stored.
"""

from dataclasses import dataclass
from enum import StrEnum

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, Cause, Desired, Marker
from harmony_fleet.labels import Label


@dataclass(frozen=True, slots=True)
class Order:
    """One upgrade of one device, as it was ordered and as far as the device has reported it."""

    upgrade_id: str
    generation: int
    version: str
    artifact: Artifact
    ordered_at: str
    """RFC 3339, UTC."""
    desired: Desired = Desired.RUN
    retry: bool = False
    from_version: str | None = None
    """As the device reported it."""
    phase: AgentUpgradePhase = AgentUpgradePhase.PENDING
    since: str = ""
    """When `phase` was entered, by the operator's clock. RFC 3339, UTC; for people."""
    attempt: int = 0
    cause: Cause | None = None
    journal_id: str | None = None
    """The device's journal that was known when this was ordered; None: none was."""

    @property
    def open(self) -> bool:
        return not self.phase.final

    def marker(self, device_id: str) -> Marker:
        return Marker(
            device_id,
            self.upgrade_id,
            self.generation,
            self.version,
            self.artifact,
            self.desired,
            self.retry,
        )


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    device_id: str
    current_version: str | None = None
    """What a primary's heartbeat said that it runs. Never what was ordered."""
    order: Order | None = None
    """The newest order, open or ended."""
    past: tuple[Order, ...] = ()
    """Older orders, oldest first: the last 16, and of older ones those still open, 32 in all."""
    highest: int = 0
    """The highest generation that this store or the device's status has named."""
    journal_id: str | None = None
    """Of the last status that was taken in; `seq` counts within it."""
    seq: int = -1
    labels: tuple[Label, ...] = ()
    """By key. People's words: no decision about an upgrade goes by them."""
    paused: bool = False
    """No order is given to it; one that is under way goes on."""

    def runs(self, version: str) -> bool:
        """By its heartbeat, where none of its verdicts speaks against that.

        A heartbeat may be older than a verdict. Where somebody has replaced the version by hand
        since, one more order of it is needless and does no harm.
        """
        if self.current_version != version:
            return False
        for order in (self.order, *reversed(self.past)):
            if order is None:
                continue
            if order.phase is AgentUpgradePhase.SUCCEEDED:
                return order.version == version
            if order.phase is AgentUpgradePhase.ROLLED_BACK and order.version == version:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Release:
    version: str
    artifact_name: str
    """File name below `/artifacts`; empty where the file was never here."""
    size_bytes: int
    sha256: str
    python: str
    """What the artifact's manifest demands, such as `>=3.11`; empty where nobody here read it."""
    added_at: str
    """RFC 3339, UTC."""
    url: str | None = None
    """Where the file is, on a server that is not ours; None: below `/artifacts`."""
    withdrawn: str | None = None
    """Why no order names it any more; None: any may."""
    refused: str | None = None
    """Why none can as it stands, which only a store says that others write to; None: any can."""

    def url_below(self, artifact_base_url: str) -> str:
        """Where a device downloads it."""
        return self.url or f"{artifact_base_url}/{self.artifact_name}"


class Side(StrEnum):
    """Whose word something is."""

    OPERATOR = "operator"
    """It did it, decided it, or saw it itself."""
    DEVICE = "device"
    """The device said so."""


_SAID_BY_DEVICES = frozenset({"phase", "version", "stop_answered", "stop_refused"})


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to be told about a device, before it has a number and a time."""

    kind: str
    """Stable: `ordered`, `phase`, `stop_sent`, `stop_answered`, `version`, `abort_ordered`…"""
    sentence: str
    upgrade_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """One entry of a device's history."""

    number: int
    """Grows over all devices."""
    device_id: str
    at: str
    """RFC 3339, UTC."""
    kind: str
    sentence: str
    upgrade_id: str | None = None

    @property
    def side(self) -> Side:
        return Side.DEVICE if self.kind in _SAID_BY_DEVICES else Side.OPERATOR
