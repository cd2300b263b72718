"""What every unit of one pretended device shares: its folders, environment, events, processes."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harmony_fleet.agent.upgrade.local_messages import OUTPUT_KEPT, Ran
from harmony_fleet.embedded.supervisor.notify import NotifySocket
from harmony_fleet.embedded.supervisor.output import LogFile, Output
from harmony_fleet.embedded.supervisor.process import CANNOT_RUN, Process, command
from harmony_fleet.embedded.supervisor.settings import SUPERVISOR, MachineRoot, Settings

_PASSED: Final = ("PATH", "HOME", "LANG", "TZ")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_KILLED: Final = -9


class Host:
    """To be made within a running loop."""

    def __init__(self, root: MachineRoot, settings: Settings) -> None:
        self.root, self.settings = root, settings
        self.notify = NotifySocket()
        self.stopping = False
        """The whole machine is going down: nothing new is started."""
        self._began_s = time.monotonic()
        self._events = self.log(SUPERVISOR)

    def log(self, name: str) -> LogFile:
        return LogFile(self.root.log / f"{name}.log", self.settings.log_bytes)

    def say(self, unit: str, event: str, pid: int | None = None) -> None:
        """One line: seconds since this boot, who, which process, what."""
        who = unit if pid is None else f"{unit} pid={pid}"
        self._events.write(f"{time.monotonic() - self._began_s:.3f} {who} {event}\n".encode())

    def spawn(
        self,
        path: Path,
        arguments: Sequence[str],
        output: Output,
        extra: Mapping[str, str] | None = None,
    ) -> Process:
        """Raises OSError where it cannot be started."""
        argv = command(self.settings.interpreter, path, arguments)
        environment = {**self._environment(), **(extra or {})}
        return Process(argv, environment, self.root.root, output)

    async def run_once(
        self, unit: str, path: Path, arguments: Sequence[str], limit_s: float, output: Output
    ) -> Ran:
        """Never raises; cancelled, or at its limit, the process is ended first."""
        try:
            process = self.spawn(path, arguments, output)
        except (OSError, subprocess.SubprocessError) as error:
            self.say(unit, f"cannot run: {error}")
            return Ran(CANNOT_RUN, timed_out=False, output=str(error))
        self.say(unit, f"runs {' '.join(arguments)}", process.pid)
        timed_out = False
        try:
            timed_out = not await process.wait(limit_s)
        finally:
            await process.end(self.settings.guard_kill_s)
            ending = f"{ending_of(process)}{' at its limit' * timed_out}"
            self.say(unit, f"ended {ending}", process.pid)
        return Ran(status_of(process), timed_out, output.text())

    def _environment(self) -> dict[str, str]:
        proxies = (*_PROXIES, *(name.upper() for name in _PROXIES))
        passed = {n: os.environ[n] for n in (*_PASSED, *proxies) if n in os.environ}
        return {"PATH": os.defpath, **passed, "FLEET_AGENT_CONFIG": str(self.root.config)}


def captured() -> Output:
    """For a process whose output is an answer."""
    return Output(OUTPUT_KEPT)


def status_of(process: Process) -> int:
    """Of a process that has ended, or that not even a SIGKILL has ended yet."""
    return process.exited.result() if process.exited.done() else _KILLED


def ending_of(process: Process) -> str:
    """For the log."""
    return f"status={status_of(process)}" if process.exited.done() else "but does not die"
