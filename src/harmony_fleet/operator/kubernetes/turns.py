"""Whose write to the API server goes out next: `Turns`, a token bucket with ranks.

Rules
1. `rate` writes a second, and `burst` at once. Who has a better rank goes first; in one rank, who
   came first. Whoever is cancelled while it waits takes no turn from the others.
2. What the leader is elected by takes no turn: it must not wait for what the leader has to do.
"""

import asyncio
import heapq
from enum import IntEnum
from itertools import count
from typing import Final

from harmony_fleet.operator.ports import Clock

_WHOLE: Final = 1.0
_INSTANT_S: Final = 0.001


class Rank(IntEnum):
    """Who goes first."""

    ELECTION = 0
    ORDER = 1
    """What people and the device wait for: orders, and what is asked for by hand."""
    TOLD = 2
    """What devices have said, and the ends of upgrades."""
    ROOM = 3
    """Nothing yet: asked for by who writes the newest of what he knows once there is room."""
    NOTED = 4
    """What is seen beside; Events."""


class Turns:
    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._tokens = float(burst)
        self._at_s = clock.monotonic()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._giving: asyncio.Task[None] | None = None

    async def take(self, rank: Rank) -> None:
        """Waits for its turn."""
        if rank is Rank.ELECTION:
            return
        self._refill()
        if not self._waiting and self._tokens >= _WHOLE:
            self._tokens -= _WHOLE
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._numbers), turn))
        if self._giving is None:
            self._giving = asyncio.create_task(self._give())
        await turn

    async def room(self) -> None:
        """Waits until nobody of a better rank does, and takes nothing."""
        await self.take(Rank.ROOM)
        self._tokens += _WHOLE

    def close(self) -> None:
        """Nobody waits any more, or shall."""
        if self._giving is not None:
            self._giving.cancel()

    async def _give(self) -> None:
        """Until nobody waits."""
        try:
            while self._waiting:
                self._refill()
                if self._tokens < _WHOLE:
                    await self._clock.sleep(max((_WHOLE - self._tokens) / self._rate, _INSTANT_S))
                    continue
                _, _, turn = heapq.heappop(self._waiting)
                if not turn.done():
                    self._tokens -= _WHOLE
                    turn.set_result(None)
        finally:
            self._giving = None

    def _refill(self) -> None:
        now_s = self._clock.monotonic()
        gained = (now_s - self._at_s) * self._rate
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._at_s = now_s
