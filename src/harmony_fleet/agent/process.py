"""What a primary and a candidate have in common: the plane, heartbeats, the watchdog.

A candidate runs exactly this part of what a primary runs: what was validated is what will run.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import harmony_fleet
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.heartbeat import Heartbeats, Pace
from harmony_fleet.agent.outside import MakeOutside, this_machine
from harmony_fleet.contracts.heartbeat import Heartbeat, Role

logger = logging.getLogger(__name__)

END_LIMIT_S = 2.0


class Process:
    def __init__(
        self,
        config: Config,
        role: Role,
        upgrade_id: str | None = None,
        version: str = harmony_fleet.__version__,
        outside: MakeOutside = this_machine,
    ) -> None:
        around = outside(config, role)
        self.clock, self.plane, self.notify = around.clock, around.plane, around.notify
        self.now = around.now
        self.identity = Heartbeat(
            device_id=config.device_id,
            agent_version=version,
            role=role,
            instance_id=around.new_id(),
            boot_id=self.clock.boot_id,
            beat=1,
            interval_ms=1,
            upgrade_id=upgrade_id,
        )
        pace = Pace(config.heartbeat.interval_s, config.heartbeat.quick_interval_s)
        self.heartbeats = Heartbeats(self.plane, self.identity, pace, self.now)

    async def run(self) -> None:
        """Heartbeats and the watchdog, until cancelled. READY is the caller's to say."""
        await asyncio.gather(self.heartbeats.run(), self._feed_watchdog())

    async def _feed_watchdog(self) -> None:
        """By the event loop itself, and never by the plane: an outage must not kill the agent."""
        if self.notify.watchdog_s is None:
            return
        while True:
            self.notify.alive()
            await asyncio.sleep(self.notify.watchdog_s / 3)


async def logged(part: Callable[[], Awaitable[None]]) -> None:
    """Without any of its parts the agent is not whole: it ends, and is started again."""
    try:
        await part()
    except Exception:  # the runner
        logger.exception("a part of the agent stopped; it is restarted with the process")
        raise SystemExit(1) from None


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancelled, and waited for a little: nothing may keep a process that has committed."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=END_LIMIT_S)
