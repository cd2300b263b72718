"""What was seen of one device and waits for its turn: of each kind the newest. Pure.

A device that says more than can be taken in is heard less often; it never fills the memory. No
newer sighting needs an older one of its kind: a status names the verdicts of those before it, and
what a heartbeat shows, the next one shows as well. A replayed heartbeat never takes the place of a
live one, and what comes later never overtakes what came before. A device that says less than it has
just said has been set back, as far as one word tells: what was seen before it counts no more.
"""

from dataclasses import replace
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
        if isinstance(event, SightForgotten):
            return self._forget()
        kind = _kind(event)
        older = self._events.pop(kind, None)
        if older is None or not _is_later(older, event):
            self._events[kind] = event
            return older is None
        self._events[kind] = older
        return _takes_back(event) and self._forget()

    def _forget(self) -> bool:
        """Stays where the first one is: what came since then is as if it were replayed."""
        for kind, waiting in self._events.items():
            if isinstance(waiting, HeartbeatSeen) and waiting.live:
                self._events[kind] = replace(waiting, live=False)
        if self.loss:
            return False
        self._events[(SightForgotten,)] = SightForgotten()
        return True

    def take(self) -> Sighting:
        """The oldest. Raises KeyError where nothing waits."""
        return self._events.pop(next(iter(self._events)))


def _is_later(one: Sighting, other: Sighting) -> bool:
    """A listing may bring a status that was read before a later one came by itself."""
    if not isinstance(one, StatusSeen) or not isinstance(other, StatusSeen):
        return False
    mine, others = one.status, other.status
    return mine.journal_id == others.journal_id and mine.seq > others.seq


def _takes_back(event: Sighting) -> bool:
    """The device itself says less than before: what was seen of it is of a life that is past."""
    return isinstance(event, StatusSeen) and event.live


def _kind(event: Sighting) -> _Kind:
    match event:
        case HeartbeatSeen(heartbeat, live):
            return (HeartbeatSeen, heartbeat.role, live)
        case StatusSeen() | MarkerSeen() | SightForgotten():
            return (type(event),)
        case _:
            assert_never(event)
