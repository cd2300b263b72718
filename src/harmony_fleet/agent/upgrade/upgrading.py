"""Puts the upgrade together for a primary: machine, driver, and ports. Decides nothing."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harmony_fleet.agent.command_server import CommandServer
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.process import Process, end, logged
from harmony_fleet.agent.upgrade.drive import Driver
from harmony_fleet.agent.upgrade.events import (
    PrimaryStarted,
    ServiceStopping,
    StopReceived,
)
from harmony_fleet.agent.upgrade.inbox import Inbox
from harmony_fleet.agent.upgrade.perform import Limits, Performer, Ports
from harmony_fleet.agent.upgrade.plane import (
    NatsHearing,
    NatsOrders,
    NatsReports,
    NatsStopAnswers,
)
from harmony_fleet.agent.upgrade.ports import JournalStore, UpgradeExecutor, UpgradeFault
from harmony_fleet.agent.upgrade.states import (
    Armed,
    OpenState,
    Probation,
    Staging,
    Starting,
    Trial,
)

if TYPE_CHECKING:
    from harmony_fleet.agent.preflight.examine import Examiner
    from harmony_fleet.contracts.preflight import PreflightAnswer, PreflightCommand

logger = logging.getLogger(__name__)

RESTART_DRIVER_S = 10.0


@dataclass(frozen=True, slots=True)
class Device:
    """What an upgrade changes: the program's versions and processes, and the journal."""

    executor: UpgradeExecutor
    journal: JournalStore


class Upgrading:
    def __init__(self, config: Config, process: Process, device: Device) -> None:
        self._config, self._process = config, process
        self._inbox = Inbox()
        plane, device_id = self._process.plane, config.device_id
        reread_s = config.upgrade.order_reread_s
        self._executor, self._journal = device.executor, device.journal
        self._orders = NatsOrders(plane, device_id, reread_s, self._inbox.post)
        self._reports = NatsReports(plane, device_id, self._inbox.post, process.now)
        self._calming: asyncio.TimerHandle | None = None
        self._calm = False
        self._examiner: Examiner | None = None
        self._driver = self._new_driver()

    async def run(self) -> int:
        """Until the machine wants this process to exit: the exit status."""
        self._reports.start()
        await self._orders.start()
        process = self._process
        commands = CommandServer(process.plane, process.identity, self._stop_asked, self._examine)
        await commands.start()
        beside = [self._orders.run, self._reports.run]
        tasks = [asyncio.create_task(logged(part)) for part in beside]
        try:
            return await self._drive()
        finally:
            await end([*tasks, *commands.under_way])

    async def close(self) -> None:
        """Nothing of this is left running: for a process that goes on after it."""
        self._driver.perform.close()
        await self._inbox.cancel_work()

    def stop(self) -> None:
        """SIGTERM: the machine decides what has to be done before this process may end."""
        self._stopping = asyncio.create_task(self._post_stopping())

    async def _post_stopping(self) -> None:
        self._inbox.post(ServiceStopping(await self._executor.system_stopping()))

    async def _drive(self) -> int:
        """A fault of ours in the upgrade must not take the heartbeat down with it."""
        while True:
            try:
                return await self._driver.run(await self._first_event())
            except Exception:  # the runner: whatever it is, the device keeps an agent
                logger.exception("the upgrade stopped; it starts anew in %s s", RESTART_DRIVER_S)
                self._driver.perform.close()
                await self._inbox.cancel_work()
                await asyncio.sleep(RESTART_DRIVER_S)
                self._driver = self._new_driver()

    async def _first_event(self) -> PrimaryStarted:
        """Once the journal is durable. Where the disk refuses that, the device is alive all the
        same, and a restart would heal nothing."""
        while True:
            try:
                return await asyncio.to_thread(self._found)
            except UpgradeFault as fault:
                logger.error("%s; trying again in %s s", fault, self._config.upgrade.retry_s)
                self._process.notify.ready()
                await asyncio.sleep(self._config.upgrade.retry_s)

    def _found(self) -> PrimaryStarted:
        found = self._journal.read()
        self._executor.make_durable()
        return PrimaryStarted(
            self._process.identity.agent_version,
            found,
            self._executor.link_version(),
            self._executor.previous_version(),
        )

    def _new_driver(self) -> Driver:
        performer = Performer(
            self._ports(),
            _limits(self._config),
            self._inbox,
            self._process.heartbeats.name_progress,
        )
        retry_s = self._config.upgrade.retry_s
        return Driver(self._journal, performer, retry_s, self._watch)

    def _ports(self) -> Ports:
        plane, device_id = self._process.plane, self._config.device_id
        return Ports(
            executor=self._executor,
            orders=self._orders,
            reports=self._reports,
            answers=NatsStopAnswers(plane, device_id),
            plane=NatsHearing(plane, device_id),
            service=self._process.notify,
            clock=self._process.clock,
        )

    def _watch(self, state: OpenState) -> None:
        if isinstance(state, Probation) and self._calming is None:
            limit_s = self._config.heartbeat.quick_probation_s
            self._calming = asyncio.get_running_loop().call_later(limit_s, self._calm_down)
        self._name(state)

    def _calm_down(self) -> None:
        """A version that has been in probation for a while is heard at the slow pace."""
        self._calm = True
        if not isinstance(self._driver.state, Starting):
            self._name(self._driver.state)

    def _name(self, state: OpenState) -> None:
        attempt = state.journal.open_attempt
        quick = isinstance(state, Armed | Trial) or (
            isinstance(state, Probation) and not self._calm
        )
        self._process.heartbeats.name_upgrade(
            attempt.upgrade_id if attempt else None, quick, staging=isinstance(state, Staging)
        )

    async def _stop_asked(self, upgrade_id: str, reply_to: str) -> None:
        if isinstance(self._driver.state, Starting):
            return  # nothing is known yet: no answer means unknown, and it is asked again
        now = self._process.clock.boot_time()
        self._inbox.post(StopReceived(upgrade_id, reply_to, now))

    async def _examine(self, asked: "PreflightCommand") -> "PreflightAnswer":
        """Loaded only now: an agent that is never asked stays small."""
        from harmony_fleet.agent.preflight.examine import Examiner, too_early

        if isinstance(self._driver.state, Starting):
            return too_early(asked)
        if self._examiner is None:
            self._examiner = Examiner(self._config, self._process.identity.agent_version)
        return await self._examiner.examine(asked, self._driver.state.journal)


def _limits(config: Config) -> Limits:
    upgrade = config.upgrade
    return Limits(
        self_test_s=upgrade.self_test_limit_s,
        ready_s=upgrade.ready_limit_s,
        stop_s=upgrade.stop_limit_s,
        overall_s=upgrade.overall_limit_s,
        probation_s=upgrade.probation_s,
        retry_s=upgrade.retry_s,
        hear_s=config.heartbeat.quick_interval_s,
    )
