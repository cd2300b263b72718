"""What lies between the processes and the server: time, order, and whatever goes wrong on the way.

A connection keeps its order, as TCP does, but where its weather says otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.nats_server import NatsServer, Session

FASTEST_S: Final = 0.000_2
QUICK_S: Final = 0.005
NOTICED_S: Final = 40.0
"""After so long without an answer to its pings a connection is given up."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Of one client's connection. Shares of its messages, each way."""

    lost: float = 0.0
    doubled: float = 0.0
    delayed: float = 0.0
    """By up to `delay_s`, whatever overtakes them meanwhile."""
    delay_s: float = 0.0
    away: bool = False
    """No connection can be made."""
    black_hole: bool = False
    """Connections stay, and nothing passes."""


FAIR: Final = Weather()

Chance = Callable[[], float]
"""A number from 0 up to 1: `random` of the client's own."""

Sent = Callable[[str, str, bytes], None]
"""Who, subject, payload: told of each message as it is sent."""


def _nobody(_who: str, _subject: str, _payload: bytes) -> None:
    """Nobody listens in."""


class Network:
    def __init__(self, loop: SimulatedLoop, server: NatsServer, spread_s: float) -> None:
        """`spread_s`: the longest that a message takes on its way, in fair weather."""
        self.loop, self.server, self._spread_s = loop, server, spread_s
        self.quick = spread_s <= QUICK_S
        """What is sent is at the server at once; only what comes from there takes its time."""
        self.sent: Sent = _nobody
        self._weather: dict[str, Weather] = {}
        """By who; of a device all its processes."""
        self._sessions: dict[str, dict[Session, None]] = {}
        self._planes = 0
        self.counts: dict[str, int] = {"lost": 0, "doubled": 0, "delayed": 0}

    def connect(self, who: str, gone: Callable[[], None]) -> Session | None:
        if not self.passes(who):
            return None
        session = self.server.connect(gone)
        if session is not None:
            self._sessions.setdefault(who, {})[session] = None
        return session

    def disconnect(self, who: str, session: Session) -> None:
        """By the client's side."""
        session.close()
        self._sessions.get(who, {}).pop(session, None)

    def number(self) -> int:
        """Another one each time."""
        self._planes += 1
        return self._planes

    def cut(self, who: str) -> bool:
        """Every connection of that one; whether there was any."""
        sessions = list(self._sessions.pop(who, ()))
        for session in sessions:
            session.cut()
        return bool(sessions)

    def notice_silence(self, who: str) -> None:
        """Nothing passes any more: both ends give the connections up after their pings."""
        for session in list(self._sessions.get(who, ())):
            self.loop.call_later(NOTICED_S, self._give_up, who, session, context=self.loop.outside)

    def _give_up(self, who: str, session: Session) -> None:
        if self.weather(who).black_hole:
            session.cut()

    def passes(self, who: str) -> bool:
        """A connection could be made now."""
        weather = self.weather(who)
        return self.server.running and not weather.away and not weather.black_hole

    def is_fair(self, who: str) -> bool:
        return who not in self._weather

    def weather(self, who: str) -> Weather:
        return self._weather.get(who, FAIR)

    def change(self, who: str, weather: Weather) -> None:
        if weather == FAIR:
            self._weather.pop(who, None)
        else:
            self._weather[who] = weather

    def latency_s(self, chance: Chance) -> float:
        return FASTEST_S + self._spread_s * chance()

    def delays_s(self, who: str, chance: Chance) -> tuple[float, ...]:
        """Beyond the usual, for each time that this message arrives; none: it is lost."""
        weather = self._weather.get(who)
        if weather is None:
            return _ONCE
        if weather.black_hole or chance() < weather.lost:
            self.counts["lost"] += 1
            return ()
        delay_s = 0.0
        if chance() < weather.delayed:
            self.counts["delayed"] += 1
            delay_s = chance() * weather.delay_s
        if chance() < weather.doubled:
            self.counts["doubled"] += 1
            return delay_s, delay_s + chance() * weather.delay_s
        return (delay_s,)


_ONCE: Final = (0.0,)
