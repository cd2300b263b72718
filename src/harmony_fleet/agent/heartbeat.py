"""Says "I am instance I of version V in role R, in upgrade U", now and then, without waiting."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from harmony_fleet.agent.alarm import set_within
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.heartbeat import Heartbeat, Progress
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import MessagingError

logger = logging.getLogger(__name__)

PROGRESS_PACE_S = 0.5
"""While staging, progress is said so often, where that is more often than the interval."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two heartbeats."""

    slow_s: float
    quick_s: float


class Heartbeats:
    """One process's heartbeats. What is set is said by the next one; some settings hurry it."""

    def __init__(self, plane: Plane, first: Heartbeat, pace: Pace, now: Callable[[], str]) -> None:
        self._plane, self._beat, self._pace, self._now = plane, first, pace, now
        self._next, self._upgrade_id = first.beat, first.upgrade_id
        self._progress: Progress | None = None
        self._quick = self._staging = False
        self._hurry = asyncio.Event()
        self._first = asyncio.Event()
        plane.on_connect(self._hurry.set)

    def name_upgrade(self, upgrade_id: str | None, quick: bool, staging: bool = False) -> None:
        """The upgrade under way, whether the quick pace holds, and whether progress is said."""
        if (self._upgrade_id, self._quick, self._staging) == (upgrade_id, quick, staging):
            return
        self._upgrade_id, self._quick, self._staging = upgrade_id, quick, staging
        self._progress = None
        self._hurry.set()

    def name_progress(self, done_bytes: int, total_bytes: int) -> None:
        """Nothing while no upgrade is staging: a download that was cancelled may still speak."""
        if self._staging:
            self._progress = Progress(done_bytes, total_bytes)

    async def wait_first(self, limit_s: float) -> None:
        """Until the first heartbeat was sent, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._first.wait()

    async def run(self) -> None:
        while True:
            await self._say()
            await set_within(self._hurry, self._interval_s())
            self._hurry.clear()

    def _interval_s(self) -> float:
        interval_s = self._pace.quick_s if self._quick else self._pace.slow_s
        return min(interval_s, PROGRESS_PACE_S) if self._progress else interval_s

    async def _say(self) -> None:
        if not self._plane.connected:
            return
        beat = replace(
            self._beat,
            beat=self._next,
            interval_ms=max(1, round(self._interval_s() * 1000)),
            upgrade_id=self._upgrade_id,
            progress=self._progress,
            sent_at=self._now(),
        )
        key = subjects.heartbeat_key(beat.device_id, beat.role)
        try:
            await self._plane.publish(key, codec.encode(beat))
        except MessagingError as error:
            logger.info("a heartbeat was not sent: %s", error)
            return
        self._next += 1
        self._first.set()
