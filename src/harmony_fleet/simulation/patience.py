"""How long one client waits for answers: limits of the same length end in their order.

So one timer of the loop's is enough for each length, and most requests need none at all.
"""

import asyncio
from collections import deque
from contextvars import Context
from typing import Any

from harmony_fleet.messaging.requests import RequestTimedOut
from harmony_fleet.simulation.loop import SimulatedLoop

Waits = deque[tuple[float, "asyncio.Future[Any]", str]]
"""When its limit is, of what, and on which subject; of the next ones first."""


class Patience:
    def __init__(self, loop: SimulatedLoop, context: Context) -> None:
        self._loop, self._context = loop, context
        self._waits: dict[float, Waits] = {}

    def limit(self, future: "asyncio.Future[Any]", seconds: float, subject: str) -> None:
        """Where it is not done by then, it raises RequestTimedOut."""
        waits = self._waits.get(seconds)
        if waits is None:
            waits = self._waits[seconds] = deque()
        at_s = self._loop.now_s + seconds
        if not waits:
            self._loop.post(at_s, self._context, self._due, waits)
        waits.append((at_s, future, subject))

    def _due(self, waits: Waits) -> None:
        while waits:
            at_s, future, subject = waits[0]
            if not future.done():
                if at_s > self._loop.now_s:
                    self._loop.post(at_s, self._context, self._due, waits)
                    return
                future.set_exception(RequestTimedOut(f"no answer on {subject} in time"))
            waits.popleft()
