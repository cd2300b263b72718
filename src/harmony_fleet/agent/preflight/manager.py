"""Which service manager a device has, and so which one a preflight asks: the only place."""

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.preflight import local, systemd
from harmony_fleet.agent.preflight.service import Manager
from harmony_fleet.agent.preflight.threads import Threads
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT


async def look(config: Config, threads: Threads) -> Manager:
    """Never raises."""
    if config.paths.supervisor is not None:
        return await local.look(config.paths.supervisor)
    name, paths = FLEET_AGENT.name, config.paths
    timer = f"{name}-deadman.timer"
    asked = systemd.Systemd(f"{name}.service", paths.link, paths.previous, timer)
    return await threads.run(lambda: systemd.look(asked))
