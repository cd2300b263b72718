"""Which service manager a device has, and so which one a preflight asks: the only place."""

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.preflight import local
from harmony_fleet.agent.preflight.service import Manager


async def look(config: Config) -> Manager:
    """Never raises."""
    return await local.look(config.paths.supervisor)
