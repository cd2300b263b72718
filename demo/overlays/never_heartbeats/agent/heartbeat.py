"""The heartbeat of a release that starts, says READY, passes its self-test, and is never heard."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.messaging.connection import Plane


@dataclass(frozen=True, slots=True)
class Pace:
    slow_s: float
    quick_s: float


class Heartbeats:
    def __init__(self, plane: Plane, first: Heartbeat, pace: Pace, now: Callable[[], str]) -> None:
        pass

    def name_upgrade(self, upgrade_id: str | None, quick: bool) -> None:
        pass

    def name_progress(self, done_bytes: int, total_bytes: int) -> None:
        pass

    async def wait_first(self, limit_s: float) -> None:
        pass

    async def run(self) -> None:
        await asyncio.Event().wait()
