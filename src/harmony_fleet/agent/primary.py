"""The process that the permanent unit runs: heartbeats at once, and then the upgrade's part.

The upgrade's code is loaded behind the first heartbeat: that a device is back is heard sooner.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import harmony_fleet
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.outside import MakeOutside, this_machine
from harmony_fleet.agent.process import Process, end, logged
from harmony_fleet.contracts.heartbeat import Role

if TYPE_CHECKING:
    from harmony_fleet.agent.upgrade.upgrading import Device, Upgrading

FIRST_HEARTBEAT_S = 0.3
"""So long does the rest wait for it, and no longer: READY never depends on the plane."""


class Primary:
    def __init__(
        self,
        config: Config,
        device: "Callable[[], Device]",
        version: str = harmony_fleet.__version__,
        outside: MakeOutside = this_machine,
    ) -> None:
        """`device` is asked for behind the first heartbeat."""
        self._config, self._device = config, device
        self._process = Process(config, Role.PRIMARY, version=version, outside=outside)
        self._upgrading: Upgrading | None = None
        self._stopping = False

    async def run(self) -> int:
        """Until the machine wants this process to exit: the exit status."""
        await self._process.plane.start()
        beats = asyncio.create_task(logged(self._process.run))
        try:
            await self._process.heartbeats.wait_first(FIRST_HEARTBEAT_S)
            from harmony_fleet.agent.upgrade.upgrading import Upgrading

            self._upgrading = Upgrading(self._config, self._process, self._device())
            if self._stopping:
                self._upgrading.stop()
            return await self._upgrading.run()
        finally:
            await end([beats])

    async def close(self) -> None:
        """Nothing of this is left running: for a process that goes on after it."""
        if self._upgrading is not None:
            await self._upgrading.close()
        await self._process.plane.close()

    def stop(self) -> None:
        """SIGTERM: the machine decides what has to be done before this process may end."""
        self._stopping = True
        if self._upgrading is not None:
            self._upgrading.stop()
