"""What was seen of one device and waits for its turn: of each kind the newest. Pure.

A device that says more than can be taken in is heard less often; it never fills the memory. No
newer sighting needs an older one of its kind: a status names the verdicts of those before it, and
what a heartbeat shows, the next one shows as well. A replayed heartbeat never takes the place of a
live one, and what comes later never overtakes what came before.
"""

from typing import assert_never

from harmony_fleet.operator.events import (
    HeartbeatSeen,
    MarkerSeen,
    SightForgotten,
    Sighting,
    StatusSeen,
)

_Kind = tuple[object, ...]


class Waiting:
    def __init__(self) -> None:
        self._events: dict[_Kind, Sighting] = {}

    def __len__(self) -> int:
        return len(self._events)

    @property
    def loss(self) -> bool:
        """Whether a loss of the plane is among them."""
        return (SightForgotten,) in self._events

    def put(self, event: Sighting) -> bool:
        """Whether it is one more; else it takes the place of an older one, behind all others."""
        kind = _kind(event)
        older = self._events.pop(kind, None)
        self._events[kind] = older if older and _is_later(older, event) else event
        return older is None

    def take(self) -> Sighting:
        """The oldest. Raises KeyError where nothing waits."""
        return self._events.pop(next(iter(self._events)))


def _is_later(one: Sighting, other: Sighting) -> bool:
    """A listing may bring a status that was read before a later one came by itself."""
    if not isinstance(one, StatusSeen) or not isinstance(other, StatusSeen):
        return False
    mine, others = one.status, other.status
    return mine.journal_id == others.journal_id and mine.seq > others.seq


def _kind(event: Sighting) -> _Kind:
    match event:
        case HeartbeatSeen(heartbeat, live):
            return (HeartbeatSeen, heartbeat.role, live)
        case StatusSeen() | MarkerSeen() | SightForgotten():
            return (type(event),)
        case _:
            assert_never(event)
