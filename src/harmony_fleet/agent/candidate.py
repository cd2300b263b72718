"""The new version beside the primary: subscribes and heartbeats, answers and decides nothing."""

import harmony_fleet
from harmony_fleet.agent.command_server import ignore_commands
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.outside import MakeOutside, this_machine
from harmony_fleet.agent.process import Process
from harmony_fleet.contracts.heartbeat import Role


class Candidate:
    def __init__(
        self,
        config: Config,
        upgrade_id: str,
        version: str = harmony_fleet.__version__,
        outside: MakeOutside = this_machine,
    ) -> None:
        self._device_id = config.device_id
        self._process = Process(config, Role.CANDIDATE, upgrade_id, version, outside)
        self._process.heartbeats.name_upgrade(upgrade_id, quick=True)

    async def run(self) -> None:
        """Until cancelled."""
        process = self._process
        await process.plane.start()
        await ignore_commands(process.plane, self._device_id)
        process.notify.ready()
        try:
            await process.run()
        finally:
            await process.plane.close()
