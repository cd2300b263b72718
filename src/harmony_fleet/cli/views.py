"""The operator's answers as values. Fields that are not named here are ignored.

They are read by the same small codec as the wire's messages; what `--json` prints is the
operator's own document, with every field that it sent.
"""

from dataclasses import dataclass, field
from typing import Final, TypeVar

from harmony_fleet.cli.errors import ServerFailed
from harmony_fleet.contracts.codec import decode
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.preflight import CheckState
from harmony_fleet.contracts.upgrade import AgentUpgradePhase

MAX_ANSWER_BYTES: Final = 256 << 20
"""Far above a fleet's list of devices; a bound all the same."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CauseView:
    kind: str
    sentence: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class ProgressView:
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class UpgradeView:
    upgrade_id: str
    to_version: str
    phase: AgentUpgradePhase
    final: bool
    generation: int = 0
    from_version: str | None = None
    desired: str = "run"
    attempt: int = 0
    ordered_at: str = ""
    """RFC 3339, UTC."""
    since: str = ""
    """When the phase was entered. RFC 3339, UTC."""
    cause: CauseView | None = None
    progress: ProgressView | None = None
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceView:
    device_id: str
    current_version: str | None = None
    online: bool = False
    heartbeat_age_s: float | None = None
    instance_id: str | None = None
    boot_id: str | None = None
    conditions: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    paused: bool = False
    upgrade: UpgradeView | None = None
    """The newest order."""


@dataclass(frozen=True, slots=True)
class Upgrades:
    upgrades: tuple[UpgradeView, ...]


@dataclass(frozen=True, slots=True)
class Devices:
    devices: tuple[DeviceView, ...]


@dataclass(frozen=True, slots=True)
class EventView:
    number: int
    device_id: str
    at: str
    kind: str
    sentence: str
    upgrade_id: str | None = None
    side: str = ""
    """Whose word it is: `operator` or `device`."""


@dataclass(frozen=True, slots=True)
class Events:
    events: tuple[EventView, ...]


@dataclass(frozen=True, slots=True)
class ReleaseView:
    version: str
    artifact_name: str
    size_bytes: int
    sha256: str
    python: str
    added_at: str
    url: str = ""
    stored_here: bool = True
    withdrawn: str | None = None
    """Why no new order names it."""


@dataclass(frozen=True, slots=True)
class Releases:
    releases: tuple[ReleaseView, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an order, an abort or a pause, for one device."""

    device_id: str
    ordered: bool
    upgrade_id: str | None = None
    reason: str | None = None
    kind: str | None = None
    to_version: str | None = None


@dataclass(frozen=True, slots=True)
class Results:
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class CheckView:
    name: str
    state: CheckState
    detail: str


@dataclass(frozen=True, slots=True)
class PreflightView:
    device_id: str
    verdict: CheckState
    checks: tuple[CheckView, ...]


@dataclass(frozen=True, slots=True)
class Preflights:
    version: str
    results: tuple[PreflightView, ...]


@dataclass(frozen=True, slots=True)
class Why:
    device_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    device_id: str
    jwt: str
    nats_url: str
    ca: str = ""


@dataclass(frozen=True, slots=True)
class PlaneView:
    nats_url: str
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    plane_connected: bool
    plane_stores: bool = True


@dataclass(frozen=True, slots=True)
class ApiInfo:
    version: str


@dataclass(frozen=True, slots=True)
class Api:
    """The head of the API's own description."""

    info: ApiInfo


def read(kind: type[T], answer: bytes) -> T:
    """Raises ServerFailed: not such an answer."""
    try:
        return decode(kind, answer, MAX_ANSWER_BYTES)
    except MalformedMessage as error:
        raise ServerFailed(
            f"the operator's answer cannot be read ({error}): are `fleet` and the `fleet up` "
            "that runs the same version?"
        ) from error
