"""The state of the world that is explored: one device, its message plane, operators, their store.

Every part is a value. Where an instant matters only by its order, there is no time: a deadline that
runs may end at any moment, and a message that is under way may arrive at any moment, or never.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import Final

from harmony_fleet.agent.upgrade.effects import Stage, StartCandidate, Verify
from harmony_fleet.agent.upgrade.events import Event
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.states import Deadline, State
from harmony_fleet.contracts.commands import Answer
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import Artifact, Marker, Status
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.simulation.disk import Image

DEVICE: Final = "pi-1"
OLD, NEW, OTHER = "1.0.0", "1.1.0", "1.2.0"
"""What runs at first; what is ordered; what a second order names."""
LIE: Final = "9.9.9"
"""What a version that lies says that it is."""
STARTS_ALLOWED: Final = 2
BOOT, EARLIER_BOOT = "boot", "earlier"
"""The id of the present boot, and that of any before: nothing asks more of it."""


class Kind(StrEnum):
    """How a version behaves. `OTHER` is always good."""

    GOOD = "good"
    WRONG_BYTES = "wrong-bytes"
    FAILS_SELF_TEST = "fails-self-test"
    NEVER_READY = "never-ready"
    DIES_AS_CANDIDATE = "dies-as-candidate"
    SILENT = "silent"
    LIES = "lies"
    """It takes itself for another version."""
    LIES_AS_OLD = "lies-as-old"
    """It takes itself for the one that it is to replace."""
    CRASHES_AT_ONCE = "crashes-at-once"
    """As primary, before it has done anything. One that hangs is killed: the same."""
    CRASHES_LATER = "crashes-later"
    NO_CONTACT = "no-contact"
    """As primary it never reaches the plane."""
    REBOOTS = "reboots"
    """As primary it takes the machine down."""


def says(version: str, kind: Kind) -> str:
    """What that one takes itself for, and tells, where NEW is of that kind."""
    lies = {Kind.LIES: LIE, Kind.LIES_AS_OLD: OLD}
    return lies.get(kind, NEW) if version == NEW else version


def digest(version: str) -> str:
    """Of that version's file."""
    return sha256(version.encode()).hexdigest()


def artifact(version: str) -> Artifact:
    return Artifact(f"http://fleet.invalid/{version}", 1, digest(version))


Work = Stage | Verify | StartCandidate


class Watch(StrEnum):
    NOT_YET = "not yet"
    STARTED = "started"
    READY = "ready"
    """Its exit will be told."""


@dataclass(frozen=True, slots=True)
class Process:
    """The primary: where its driver waits for an event."""

    running: str
    state: State
    clocks: frozenset[Deadline] = frozenset()
    work: Work | None = None
    watch: Watch = Watch.NOT_YET
    """How far the start of the candidate is, where that is the work."""
    says: Journal | None = None
    """What its status tells, and tells again after each connect."""
    unsaid: bool = False
    """That was not acknowledged yet."""
    order: Marker | None = None
    """One that was read before it was replaced, and comes late."""
    again: Event | None = None
    """What is taken again, as the disk refused to keep what followed from it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    version: str
    upgrade_id: str


@dataclass(frozen=True, slots=True)
class Device:
    disk: Image
    process: Process | None = None
    """None: the unit is to be started."""
    candidate: Candidate | None = None
    journals: int = 0
    """How many were ever written: the next one has a name of its own."""
    acknowledged: frozenset[str] = frozenset()
    """The upgrade_ids whose stop was acknowledged. For the checks alone."""
    committed: frozenset[str] = frozenset()
    """The upgrade_ids whose commit stood in the journal. For the checks alone."""
    ran: frozenset[str] = frozenset({OLD})
    """The versions that have been primary. For the checks alone."""
    damaged: bool = False
    """The file to go back to was damaged, which no protocol can undo. For the checks alone."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat, stored or under way to one operator."""

    role: Role
    version: str
    upgrade_id: str | None
    live: bool = False
    """It was stored after that operator had looked at the stream, in this connection."""


@dataclass(frozen=True, slots=True)
class Plane:
    """What the server holds, and whether the device reaches it."""

    up: bool = True
    device: bool = True
    """The device is connected."""
    marker: Marker | None = None
    older_marker: Marker | None = None
    """What comes back where the server loses its last writes."""
    written: int = 0
    """Sequence of the marker's last write: handed out again after a loss."""
    status: Status | None = None
    of_another_journal: Status | None = None
    """The last one that the device put before its journal was lost."""
    beats: tuple[Beat, ...] = ()
    """Those that name an upgrade's own version: the last of each role. None of them is live."""


class Sight(IntEnum):
    """What an operator sees of the plane."""

    AWAY = 0
    CONNECTED = 1
    LOOKED = 2
    """It has looked at the stream of heartbeats in this connection: what is stored now is live."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What is under way between the plane and one operator.

    Messages of one subject keep their order, so that an older one arrives before the newer one is
    sent, or never: what is under way is the newest. Of statuses that is the one which the server
    holds. An older one that comes late all the same is a fault.
    """

    sight: Sight = Sight.LOOKED
    beat: Beat | None = None
    """Live, and of a version and an upgrade that it could count for."""
    stops: frozenset[str] = frozenset()
    """To the device, by upgrade_id."""
    answer: Answer | None = None


class Hand(StrEnum):
    """How far the operator's writer of the marker is."""

    BEGINS = "begins"
    HAS_READ = "has read"
    """The bucket; next it looks at the store, and decides."""
    HAS_SENT = "has sent"
    """By compare-and-set; it may arrive, or not."""


@dataclass(frozen=True, slots=True)
class Writing:
    wanted: Marker
    hand: Hand = Hand.BEGINS
    found: Marker | None = None
    revision: int = 0
    then: Marker | None = None
    """What was asked for meanwhile."""

    def again(self) -> "Writing":
        """From the beginning: the comparison failed, or what was sent is lost."""
        return Writing(self.then or self.wanted)


@dataclass(frozen=True, slots=True)
class Desk:
    """One operator's memory, with its channel. It is killed and started anew in one move."""

    case: Case
    channel: Channel = Channel()
    in_sync: bool = True
    """Nobody else has written the record since it was read."""
    writing: Writing | None = None
    stop: str | None = None
    """The upgrade_id whose stop is to be sent, or was."""
    asked: bool = False
    """It was sent, and its answer is waited for."""
    saw: str | None = None
    """The upgrade_id of which a heartbeat of the ordered version reached it that was stored since
    it connected: what the invariant asks. For the checks alone; no shipped code sets it."""


class Wish(StrEnum):
    """What people want, one after the other, each at any moment."""

    UPGRADE = "upgrade"
    ABORT = "abort"
    OTHER = "order another version"
    AGAIN = "order it again"
    RETRY = "order it again, with retry"


IDS: Final = {
    Wish.UPGRADE: "1" * 32,
    Wish.OTHER: "2" * 32,
    Wish.AGAIN: "3" * 32,
    Wish.RETRY: "4" * 32,
}
VERSIONS: Final = {name: OTHER if wish is Wish.OTHER else NEW for wish, name in IDS.items()}
"""What each order names."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    kind: Kind = Kind.GOOD
    wishes: tuple[Wish, ...] = (Wish.UPGRADE,)
    operators: int = 1
    plain: bool = False
    """At the link's place lies the program itself, as a plain install leaves it."""
    looks: bool = False
    """An operator reads the bucket, looks at the store, and writes: three moves instead of one."""
