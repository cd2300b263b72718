"""The primary of a release that is fine beside the old one, and out of reach when it stands alone.

It says READY, feeds its watchdog, ends when told to, and never reaches the message plane.
"""

import asyncio
from contextlib import suppress

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.notify import Notify

FED_EACH_S = 1.0


class Primary:
    def __init__(self, _config: Config, _device: object) -> None:
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> int:
        service = Notify()
        service.ready()
        while not self._stopped.is_set():
            service.alive()
            with suppress(TimeoutError):
                async with asyncio.timeout(FED_EACH_S):
                    await self._stopped.wait()
        return 0
