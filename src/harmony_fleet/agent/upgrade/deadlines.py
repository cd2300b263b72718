"""The machine's clocks: seconds of this process, by the monotonic clock. Never wall-clock time."""

import asyncio
from collections.abc import Awaitable, Callable

from harmony_fleet.agent.upgrade.events import (
    TimeRanOut,
)
from harmony_fleet.agent.upgrade.ports import Clock
from harmony_fleet.agent.upgrade.states import (
    Deadline,
)

TICK_S = 0.25
"""How finely the clock that stands still without the plane is counted."""


class Deadlines:
    def __init__(
        self,
        clock: Clock,
        limits_s: dict[Deadline, float],
        plane_connected: Callable[[], bool],
        ran_out: Callable[[TimeRanOut], Awaitable[None]],
    ) -> None:
        self._clock, self._limits_s = clock, limits_s
        self._plane_connected, self._ran_out = plane_connected, ran_out
        self._running: dict[Deadline, asyncio.Task[None]] = {}

    def start(self, deadline: Deadline) -> None:
        """From now on; one that runs already begins anew."""
        if deadline in self._running:
            self._running[deadline].cancel()
        self._running[deadline] = asyncio.create_task(self._count(deadline))

    def stop_all(self) -> None:
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    async def _count(self, deadline: Deadline) -> None:
        left_s = self._limits_s[deadline]
        if deadline is not Deadline.STOP:
            await self._clock.sleep(left_s)
            left_s = 0.0
        while left_s > 0:
            await self._clock.sleep(min(TICK_S, left_s))
            if self._plane_connected():
                left_s -= TICK_S
        await self._ran_out(TimeRanOut(deadline))
