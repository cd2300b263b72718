"""The local supervisor, as `unit_player` plays on it: its log, and the programs' trace."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.contract.unit_player import (
    CANNOT,
    FAILS,
    LONG_S,
    NEW,
    OLD,
    PATIENCE_S,
    SHORT_S,
    UP,
    Line,
    Told,
    play,
)
from tests.contract.unit_programs import leave, program
from tests.processes.local_world import SETTINGS, Device, candidate, device

from harmony_fleet.agent.upgrade.local import ask
from harmony_fleet.agent.upgrade.local_messages import (
    AskCandidate,
    AskState,
    Candidate,
    Machine,
    Ran,
    Request,
    RestartUnit,
    Run,
    StartCandidate,
    StartUnit,
    StopCandidate,
    StopUnit,
)
from harmony_fleet.embedded.local_device import cut_power, stop_supervisor
from harmony_fleet.embedded.supervisor.settings import CANDIDATE, SUPERVISOR, UNIT, Settings

LOOK_AGAIN_S = 0.01


class SupervisedUnits:
    """A `Units`."""

    def __init__(self, one: Device, settings: Settings) -> None:
        self._one, self.events, self.seen = one, list[str](), 0
        self._read, self._versions = 0, dict[str, str]()
        self._stopping: set[asyncio.Task[Machine]] = set()
        self._ready_s = PATIENCE_S
        one.prepare(settings)
        for version in (OLD, NEW):
            path = one.path_of(version)
            path.unlink(missing_ok=True)
            places = (str(one.root), str(one.machine.link), str(one.path_of(OLD)))
            path.write_text(program(version, *places))
            path.chmod(0o755)
        one.boot()

    async def close(self) -> None:
        """Every stop was answered."""
        await asyncio.wait_for(asyncio.gather(*self._stopping), PATIENCE_S)

    async def _ask(self, request: Request, kind: type[Machine] = Machine) -> Machine:
        found = await ask(self._one.socket, request, kind, PATIENCE_S)
        self._look()
        return found

    # What happened

    def _look(self) -> None:
        """Read on in the log, up to a line of a process that has not told its version yet."""
        log = (self._one.machine.log / f"{SUPERVISOR}.log").read_text()
        # After the log: of what has ended there, the trace says all by then
        self._versions = {pid: version for _, pid, _, _, version in self._trace()}
        for line in log.splitlines()[self._read :]:
            _, unit, *words = line.split()
            pid = words.pop(0).removeprefix("pid=") if words[0].startswith("pid=") else ""
            version = self._versions.get(pid, "")
            if unit in {UNIT, CANDIDATE} and words[0] == "started" and not version:
                return
            self._read += 1
            self.events += _told(unit, version, " ".join(words))

    def _trace(self) -> list[list[str]]:
        trace = self._one.root / "trace"
        text = trace.read_text() if trace.exists() else ""
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    async def until(self, event: str) -> None:
        def seen() -> bool:
            self._look()
            return event in self.events[self.seen :]

        await self._until(seen, event)
        self.seen = self.events.index(event, self.seen) + 1

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        ends_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not condition():
            assert asyncio.get_running_loop().time() < ends_s, f"it never came to: {what}"
            await asyncio.sleep(LOOK_AGAIN_S)

    async def until_guarding(self) -> None:
        """The last that was written is that a guard began."""
        await self._until(lambda: self._trace()[-1][3] == "guarding", "guarding")

    async def until_told(self) -> None:
        await self._until(lambda: self._trace()[-1][3] == "told", "told")

    async def moment(self) -> None:
        """The supervisor runs something for five times as long as its unit waits. Both wait by one
        clock in one loop, so that this is enough however slow the machine is."""
        limit_s = 5 * SETTINGS.restart_s
        await ask(self._one.socket, Run("/bin/sleep", (f"{limit_s}",), PATIENCE_S), Ran, PATIENCE_S)
        self._look()

    async def state(self) -> str:
        return str((await self._ask(AskState())).unit)

    # Its disk, and its programs

    def link(self, version: str) -> None:
        self._one.point(self._one.machine.link, version)

    def previous(self, version: str) -> None:
        self._one.point(self._one.machine.previous, version)

    def next_guard(self, what: str) -> None:
        leave(self._one.root, "next-guard", what)
        if what == "swap":
            self.link(NEW)

    def next_start(self, what: str) -> None:
        leave(self._one.root, "next-primary", what)

    def next_candidate(self, what: str) -> None:
        leave(self._one.root, "next-candidate", what)
        self._ready_s = SHORT_S if what == "hang" else PATIENCE_S

    async def tell(self, what: str) -> None:
        pid = (await self._ask(AskState())).unit_pid
        assert pid is not None
        if what == "kill":
            os.kill(pid, signal.SIGKILL)
            return
        leave(self._one.root, "tell-primary", what)
        told = self._one.root / "tell-primary"
        await self._until(lambda: not told.exists(), f"it takes: {what}")

    def let_end(self) -> None:
        leave(self._one.root, "let-end", "now")

    async def tell_candidate(self, what: str) -> None:
        leave(self._one.root, "tell-candidate", what)

    # What people, the timer and the machine do

    async def start(self) -> None:
        await self._ask(StartUnit())

    async def stop(self, wait: bool = True) -> None:
        task = asyncio.create_task(self._ask(StopUnit()))
        self._stopping.add(task)
        if wait:
            await task

    async def restart(self) -> None:
        await self._ask(RestartUnit())

    async def try_restart(self) -> None:
        """What the dead-man timer does where the guard says so."""
        await self._ask(RestartUnit())

    async def reboot(self) -> None:
        stop_supervisor(self._one.root)
        self._one.boot()

    async def cut_power(self) -> None:
        cut_power(self._one.root)
        self._one.boot()

    # The candidate

    async def start_candidate(self, version: str, shortly: bool = False) -> bool:
        ready_s, self._ready_s = self._ready_s, PATIENCE_S
        asked = candidate(self._one, version, SHORT_S if shortly else LONG_S)
        request = StartCandidate(
            asked.path, asked.arguments, ready_s, runtime_limit_s=asked.runtime_limit_s
        )
        found = await ask(self._one.socket, request, Candidate, PATIENCE_S)
        self._look()
        return found.running

    async def stop_candidate(self) -> None:
        await ask(self._one.socket, StopCandidate(), Candidate, PATIENCE_S)
        self._look()

    async def candidate_runs(self) -> bool:
        found = await ask(self._one.socket, AskCandidate(), Candidate, PATIENCE_S)
        self._look()
        return found.running


def _told(unit: str, version: str, words: str) -> list[str]:
    """What a line of the supervisor's log means, if anything."""
    status = words.rpartition("status=")[2]
    match unit, words.split(maxsplit=1)[0]:
        case "fleet-agent-guard", "ended":
            return [f"guard {version}" if status == "0" else FAILS]
        case "fleet-agent", "started":
            return [f"start {version}"]
        case "fleet-agent", "ready":
            return [f"ready {version}"]
        case "fleet-agent", "cannot":
            return [CANNOT]
        case "fleet-agent-candidate", "started":
            return [f"candidate {version}"]
        case "supervisor", "booted":
            return [UP]
        case _ if "status=" not in words:
            return []
        case "fleet-agent", _:
            return [f"ended {version} {'by a signal' if status.startswith('-') else status}"]
        case "fleet-agent-candidate", _:
            return [f"candidate {version} ends"]
        case _:
            return []


def on_the_local_supervisor(folder: Path, lines: Sequence[Line], settings: Settings) -> Told:
    async def run() -> Told:
        with device(folder) as one:
            units = SupervisedUnits(one, settings)
            told = await play(units, lines)
            await units.close()
            return told

    return asyncio.run(run())
