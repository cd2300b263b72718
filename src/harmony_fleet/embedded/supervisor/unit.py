"""The permanent unit and its dead-man timer, as the service manager keeps them.

Rules
1. Before each start `previous guard` runs. Whatever becomes of it, the start goes on after it.
2. The link is resolved after the guard: the guard may have swapped it.
3. However a process ended, and however often, it is started again; only a stop by hand, or the
   end of the machine, keeps it from that.
4. The timer only restarts the unit, and only if the old version's guard says so.
"""

import asyncio
from collections.abc import Awaitable, Callable

from harmony_fleet.agent.upgrade.local_messages import UnitState
from harmony_fleet.embedded.supervisor.host import Host
from harmony_fleet.embedded.supervisor.output import Output
from harmony_fleet.embedded.supervisor.settings import DEADMAN, GUARD, UNIT
from harmony_fleet.embedded.supervisor.watch import Limits, Watched, end_task

TAIL_BYTES = 8192


class PermanentUnit:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._log = host.log(UNIT)
        self._task: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._watched: Watched | None = None
        self._phase = UnitState.WAITING
        self.starts = 0

    @property
    def stopped(self) -> bool:
        return self._task is None

    @property
    def state(self) -> UnitState:
        if self.stopped:
            return UnitState.STOPPED
        if self._watched is not None:
            return UnitState.RUNNING if self._watched.ready.done() else UnitState.STARTING
        return self._phase

    @property
    def pid(self) -> int | None:
        return self._watched.pid if self._watched is not None else None

    async def start(self) -> None:
        await asyncio.shield(self._alone(self._begin))

    async def stop(self) -> None:
        """The process has ended when this returns."""
        await asyncio.shield(self._alone(self._end))

    async def restart(self) -> None:
        """Stop and start; nothing where it is stopped by hand."""
        await asyncio.shield(self._alone(self._again))

    async def _alone(self, step: Callable[[], Awaitable[None]]) -> None:
        """To be shielded: who asked may go away, but half a restart would be a stop."""
        async with self._one_at_a_time:
            await step()

    async def _begin(self) -> None:
        if self.stopped and not self._host.stopping:
            self._task = asyncio.create_task(self._keep_running())

    async def _again(self) -> None:
        if not self.stopped:
            await self._end()
            await self._begin()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._host.say(UNIT, "is being stopped")
            await end_task(task)

    async def _keep_running(self) -> None:
        while True:
            try:
                await self._run_once()
            except Exception as error:  # noqa: BLE001 - rule 3: a unit never fails for good
                self._host.say(UNIT, f"cannot run: {error!r}")
            self._phase = UnitState.WAITING
            await asyncio.sleep(self._host.settings.restart_s)

    async def _run_once(self) -> None:
        self._phase = UnitState.GUARDING
        await self._guard()
        self.starts += 1
        self._watched = Watched(self._host, UNIT, Output(TAIL_BYTES, self._log))
        try:
            limits = Limits(ready_s=self._host.settings.start_limit_s)
            await self._watched.run(self._host.root.link, (), limits)
        finally:
            self._watched = None

    async def _guard(self) -> None:
        output = Output(TAIL_BYTES, self._log)
        limit_s = self._host.settings.guard_limit_s
        previous = self._host.root.previous
        await self._host.run_once(GUARD, previous, ("guard",), limit_s, output)


class DeadMan:
    """Wakes now and then while an attempt is open."""

    def __init__(self, host: Host, unit: PermanentUnit) -> None:
        self._host, self._unit = host, unit
        self._log = host.log(DEADMAN)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._host.settings.deadman_s)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                self._host.say(DEADMAN, f"cannot look: {error!r}")

    async def _look(self) -> None:
        if not self._host.root.attempt_open.exists():
            return
        if self._unit.stopped:
            self._host.say(DEADMAN, "leaves the stopped unit alone")
            return
        output = Output(TAIL_BYTES, self._log)
        limit_s = self._host.settings.expired_limit_s
        expired = await self._host.run_once(
            DEADMAN, self._host.root.previous, ("guard", "--expired"), limit_s, output
        )
        if expired.exit_status == 0 and not expired.timed_out:
            self._host.say(DEADMAN, f"restarts {UNIT}")
            await self._unit.restart()
