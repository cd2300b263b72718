"""A message plane for one device, and the service manager's ear: in memory, and without a delay.

It keeps the promises of `ports.Orders`, `Reports`, `StopAnswers` and `Plane` at once, as they all
speak over one connection. It outlives the device's processes: give it to the next with `serve`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
)
from harmony_fleet.agent.upgrade.events import (
    Event,
    OrderRead,
    Reported,
)
from harmony_fleet.agent.upgrade.record import Journal, status_of
from harmony_fleet.contracts.upgrade import Marker, Status

Post = Callable[[Event], None]


def _nobody(_event: Event) -> None:
    """No process listens."""


@dataclass
class FakePlane:
    marker: Marker | None = None
    statuses: list[Status] = field(default_factory=list)
    """All that were acknowledged, in their order."""
    answers: list[AnswerStop] = field(default_factory=list)
    beats: set[tuple[str, str]] = field(default_factory=set)
    """Version and upgrade_id of the candidates heard."""
    answers_reads: bool = True
    """False: connected, but the stream of the heartbeats is gone."""
    device_id: str = "pi-1"
    epoch: int = 1
    _connected: bool = True
    _post: Post = _nobody
    _unsaid: Journal | None = None

    def serve(self, post: Post) -> None:
        """From now on for this process; what the last one wanted is forgotten with it."""
        self._post, self._unsaid = post, None

    def order(self, marker: Marker) -> None:
        """As an operator's compare-and-set would: stored, and the device is woken."""
        self.marker = marker
        self.read()

    @property
    def connected(self) -> bool:
        return self._connected

    def cut(self) -> None:
        self._connected = False

    def restore(self) -> None:
        """Both sides say again what they have to say."""
        self._connected = True
        self.epoch += 1
        self.read()
        if self._unsaid is not None:
            self.put(self._unsaid)

    def read(self) -> None:
        if self._connected and self.marker is not None:
            self._post(OrderRead(self.marker))

    def put(self, journal: Journal) -> None:
        self._unsaid = journal
        if self._connected:
            self.statuses.append(status_of(journal, self.device_id))
            self._post(Reported(journal.seq))

    async def answer(self, answer: AnswerStop) -> None:
        if self._connected:
            self.answers.append(answer)

    async def heard(self, version: str, upgrade_id: str) -> bool | None:
        if not (self._connected and self.answers_reads):
            return None
        return (version, upgrade_id) in self.beats


@dataclass
class FakeService:
    """The service manager's notify socket."""

    ready_said: int = 0

    def ready(self) -> None:
        self.ready_said += 1
