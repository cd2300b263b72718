"""The primary of a release that says READY, works for a moment, and dies; each time."""

import asyncio

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.notify import Notify

LIVES_S = 0.5


class Primary:
    def __init__(self, config: Config, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass

    async def run(self) -> int:
        Notify().ready()
        await asyncio.sleep(LIVES_S)
        raise RuntimeError("the sensor bus was lost")
