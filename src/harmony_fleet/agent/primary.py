"""The process that the permanent unit runs: heartbeats at once, and then the upgrade's part.

The upgrade's code is loaded behind the first heartbeat: that a device is back is heard sooner.
"""

import asyncio
from typing import TYPE_CHECKING

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.process import Process, end, logged
from harmony_fleet.contracts.heartbeat import Role

if TYPE_CHECKING:
    from harmony_fleet.agent.upgrade.upgrading import Upgrading

FIRST_HEARTBEAT_S = 0.3
"""So long does the rest wait for it, and no longer: READY never depends on the plane."""


class Primary:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._process = Process(config, Role.PRIMARY)
        self._upgrading: Upgrading | None = None
        self._stopping = False

    async def run(self) -> int:
        """Until the machine wants this process to exit: the exit status."""
        await self._process.plane.start()
        beats = asyncio.create_task(logged(self._process.run()))
        try:
            await self._process.heartbeats.wait_first(FIRST_HEARTBEAT_S)
            from harmony_fleet.agent.upgrade.upgrading import Upgrading

            self._upgrading = Upgrading(self._config, self._process)
            if self._stopping:
                self._upgrading.stop()
            return await self._upgrading.run()
        finally:
            await end([beats])

    def stop(self) -> None:
        """SIGTERM: the machine decides what has to be done before this process may end."""
        self._stopping = True
        if self._upgrading is not None:
            self._upgrading.stop()
