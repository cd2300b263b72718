"""Messages of long ago that arrive once more: commands, orders, and heartbeats as republished."""

import json
from collections import deque
from typing import Final

from harmony_fleet.contracts.subjects import SEEN_HEARTBEAT
from harmony_fleet.messaging.requests import Message
from harmony_fleet.simulation.nats_server import NatsServer, Session

KEPT: Final = 3
"""Of one subject; what comes again is the oldest of them."""
_MARKERS: Final = "$KV.agent-upgrade."
_WATCHED: Final = ("device-cmd.*", f"{_MARKERS}*", f"{SEEN_HEARTBEAT}.*.*")


class Stale:
    """Listens in, where its scenario wants something to come again."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._kept: dict[str, deque[Message]] = {}
        self._session: Session | None = None

    def listen(self) -> None:
        session = self._session = self._server.connect(self._gone)
        if session is not None:
            for subject in _WATCHED:
                session.subscribe(subject, self._keep)

    def _gone(self) -> None:
        """What a server has republished ends with it; only what clients sent can come again."""
        self._kept = {
            subject: kept
            for subject, kept in self._kept.items()
            if not subject.startswith(SEEN_HEARTBEAT)
        }

    def listening(self) -> bool:
        return self._session is not None and self._session.open

    def _keep(self, message: Message) -> None:
        kept = self._kept.setdefault(message.subject, deque(maxlen=KEPT))
        if not kept or kept[-1].payload != message.payload:
            kept.append(message)

    def again(self, subject: str, highest: int) -> bool:
        """Whether there was any to send. `highest`: the device has seen orders up to that one."""
        if not self.listening():
            self.listen()
        kept = self._kept.get(subject)
        if not kept or self._session is None:
            return False
        old = kept[0]
        if subject.startswith(_MARKERS):
            self._session.publish(subject, _of_before(old.payload, highest))  # nothing is compared
        else:
            self._session.publish(subject, old.payload, old.headers, old.reply)
        return True


def _of_before(marker: bytes, highest: int) -> bytes:
    """An older order, which the device has never seen because it was replaced in time."""
    order = json.loads(marker)
    order |= {"upgrade_id": order["upgrade_id"][::-1], "generation": highest}
    return json.dumps(order).encode()
