"""One process that says READY and feeds a watchdog, as a unit of `Type=notify` does."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from harmony_fleet.embedded.supervisor.host import Host, ending_of
from harmony_fleet.embedded.supervisor.output import Output
from harmony_fleet.embedded.supervisor.process import Process


@dataclass(frozen=True, slots=True)
class Limits:
    ready_s: float
    runtime_s: float = inf
    """From READY on."""


class Watched:
    """`run` starts it, and returns when it has ended."""

    def __init__(self, host: Host, unit: str, output: Output) -> None:
        self._host, self._unit, self._output = host, unit, output
        self._loop = asyncio.get_running_loop()
        self._alive_at_s = 0.0
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.process: Process | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def heard_ready(self) -> None:
        self._alive_at_s = self._loop.time()
        if not self.ready.done():
            self.ready.set_result(None)
            self._host.say(self._unit, "ready", self.pid)

    def heard_alive(self) -> None:
        self._alive_at_s = self._loop.time()

    async def run(self, path: Path, arguments: Sequence[str], limits: Limits) -> None:
        """Cancelled, or when a limit is missed, the process is ended first.

        Raises OSError where it cannot be started.
        """
        process = self.process = self._start(path, arguments)
        reason, first = "stopped", signal.SIGTERM
        try:
            reason, first = await self._supervise(process, limits)
        finally:
            await process.end(self._host.settings.stop_limit_s, first)
            del self._host.notify.listeners[process.pid]
            self._host.say(self._unit, f"{reason} {ending_of(process)}", process.pid)

    def _start(self, path: Path, arguments: Sequence[str]) -> Process:
        watchdog = str(int(self._host.settings.watchdog_s * 1e6))
        extra = {"NOTIFY_SOCKET": self._host.notify.address, "WATCHDOG_USEC": watchdog}
        process = self._host.spawn(path, arguments, self._output, extra)
        self._host.notify.listeners[process.pid] = self
        self._host.say(self._unit, f"started {path}", process.pid)
        return process

    async def _supervise(self, process: Process, limits: Limits) -> tuple[str, signal.Signals]:
        """Why it is to be ended, or has ended, and the signal to begin with."""
        either: set[asyncio.Future[Any]] = {self.ready, process.exited}
        await asyncio.wait(either, timeout=limits.ready_s, return_when=asyncio.FIRST_COMPLETED)
        if not self.ready.done() and not process.exited.done():
            return "not ready in time", signal.SIGTERM
        runs_until_s = self._loop.time() + limits.runtime_s
        while not process.exited.done():
            now_s = self._loop.time()
            alive_until_s = self._alive_at_s + self._host.settings.watchdog_s
            if now_s >= alive_until_s:
                return "watchdog missed", signal.SIGABRT
            if now_s >= runs_until_s:
                return "ran for its whole time", signal.SIGTERM
            await process.wait(min(alive_until_s, runs_until_s) - now_s)
        return "ended", signal.SIGTERM


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel it, and wait. Never cancelled twice: the second would break into its last steps."""
    if not task.cancelling():
        task.cancel()
    await asyncio.wait({task})
