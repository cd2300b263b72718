"""A real systemd, as `unit_player` plays on it: the unit that is installed, with its own times.

The candidate is started and stopped by the agent's own executor, within the machine. Without the
sandbox, which says nothing about starts and ends, and would not let the programs write their trace.
"""

import asyncio
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.contract.unit_player import (
    CANNOT,
    FAILS,
    LONG_S,
    NEW,
    OLD,
    PATIENCE_S,
    SHORT_S,
    STOPPED,
    UP,
    Limit,
    Line,
    Told,
    play,
)
from tests.contract.unit_programs import program
from tests.machines.hub import Refused
from tests.machines.machine import Machine

import harmony_fleet

UNIT: Final = "fleet-agent.service"
LINK, PREVIOUS = "/usr/local/bin/fleet-agent", "/usr/local/lib/fleet-agent/previous"
FOLDER: Final = "/opt/units"
CODE: Final = "/opt/under-test"
_TEMPLATES = Path(harmony_fleet.__file__).parent / "install/roles/fleet_agent/templates"
GUARD_LIMIT_S: Final = 20.0
_LIMIT = f"timeout -k 2 {GUARD_LIMIT_S:g}"
_OWN = """
[Service]
ExecStopPost={folder}/over
"""
SETTINGS: Final = {
    Limit.GUARD: "",  # stands in the command of the guard
    Limit.START: f"TimeoutStartSec={SHORT_S:g}\n",
    Limit.WATCHDOG: f"WatchdogSec={SHORT_S:g}\n",
    Limit.STOP: f"TimeoutStopSec={SHORT_S:g}\n",
}
"""A short limit, for the lines that wait for it."""
_OVER = """\
#!/bin/sh
[ -n "$EXIT_STATUS" ] || exit 0
read -r boot </proc/sys/kernel/random/boot_id
echo "$boot 0 primary $EXIT_CODE:$EXIT_STATUS $(cat {folder}/primary)" >>{folder}/trace
"""
"""Told after each end how it came."""
_CANDIDATE = """\
import asyncio, sys
from pathlib import Path
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, UpgradeFault
from harmony_fleet.agent.upgrade.systemd import SystemdExecutor
version, runtime_s, ready_s = sys.argv[1:]
places = {places!r}
paths = Paths(*(Path(place) for place in places))
executor = SystemdExecutor(Layout(FLEET_AGENT, paths, own_version=version), float(runtime_s))
async def main():
    if version == "none":
        return await executor.stop_candidate()
    try:
        await executor.start_candidate(version, "1" * 32, float(ready_s))
    except UpgradeFault as fault:
        print(fault.cause)
asyncio.run(main())
"""
_STATES = {
    "inactive": STOPPED,
    "failed": STOPPED,
    "start-pre": "guarding",
    "start": "starting",
    "auto-restart": "waiting",
}


class SystemdUnits:
    """A `Units`."""

    def __init__(self, machine: Machine, settings: str, guard_limit_s: float) -> None:
        self._machine, self.events, self.seen = machine, list[str](), 0
        self._read, self._boot = 0, ""
        self._settings = settings
        self._ready_s = PATIENCE_S
        self._install(guard_limit_s)

    def _install(self, guard_limit_s: float) -> None:
        write, run = self._machine.write, self._machine.run
        with suppress(Refused):  # there is none yet
            self._machine.systemctl("stop", UNIT)
        for version in (OLD, NEW):
            text = program(version, FOLDER, LINK, path_of(OLD))
            write(path_of(version), text, 0o755)
        run("mkdir", "-p", "/usr/local/lib/fleet-agent", "/var/lib/fleet-agent")
        places = ("/usr/bin", LINK, PREVIOUS, "/var/lib/fleet-agent")
        write(f"{FOLDER}/over", _OVER.format(folder=FOLDER), 0o755)
        write(f"{FOLDER}/candidate.py", _CANDIDATE.format(places=places))
        write(f"{FOLDER}/primary", "")
        write(f"{FOLDER}/trace", "")
        self.link(OLD)
        self.previous(OLD)
        write(f"/etc/systemd/system/{UNIT}", unit_file(guard_limit_s))
        times = _OWN.format(folder=FOLDER) + self._settings
        write(f"/etc/systemd/system/{UNIT}.d/times.conf", times)
        self._machine.systemctl("daemon-reload")
        self._machine.systemctl("enable", "--now", UNIT)

    # What happened

    def _look(self) -> list[list[str]]:
        lines = self._machine.read(f"{FOLDER}/trace").splitlines(keepends=True)
        trace = [line.split() for line in lines if line.endswith("\n")]
        for boot, _, role, what, version in trace[self._read :]:
            if self._boot not in {"", boot}:
                self.events.append(UP)
            self._boot = boot
            self.events += _told(role, what, version)
        self._read = len(trace)
        return trace

    async def until(self, event: str) -> None:
        await self._until(lambda: bool(self._look()) and event in self.events[self.seen :], event)
        self.seen = self.events.index(event, self.seen) + 1

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        ends_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not condition():
            assert asyncio.get_running_loop().time() < ends_s, f"it never came to: {what}"
            await asyncio.sleep(0.01)

    async def until_guarding(self) -> None:
        await self._until(lambda: self._look()[-1][3] == "guarding", "guarding")

    async def until_told(self) -> None:
        await self._until(lambda: self._look()[-1][3] == "told", "told")

    async def moment(self) -> None:
        """systemd runs something for three times as long as the unit waits. It keeps both times
        itself, so that this is enough however slow the machine is."""
        self._machine.unit_run("moment", "/bin/sleep", "0.6")
        self._look()

    async def state(self) -> str:
        self._look()
        active, sub = (self._machine.show(UNIT, name) for name in ("ActiveState", "SubState"))
        return _STATES.get(active) or _STATES.get(sub) or sub

    # Its disk, and its programs

    def link(self, version: str) -> None:
        self._point(LINK, version)

    def previous(self, version: str) -> None:
        self._point(PREVIOUS, version)

    def _point(self, place: str, version: str) -> None:
        self._machine.run("ln", "-sfn", path_of(version), f"{place}.new")
        self._machine.run("mv", "-T", f"{place}.new", place)

    def next_guard(self, what: str) -> None:
        self._leave("next-guard", what)
        if what == "swap":
            self.link(NEW)

    def next_start(self, what: str) -> None:
        self._leave("next-primary", what)

    def next_candidate(self, what: str) -> None:
        self._leave("next-candidate", what)
        self._ready_s = SHORT_S if what == "hang" else PATIENCE_S

    def _leave(self, name: str, what: str) -> None:
        self._machine.write(f"{FOLDER}/{name}.new", what)
        self._machine.run("mv", f"{FOLDER}/{name}.new", f"{FOLDER}/{name}")

    def _taken(self, name: str) -> bool:
        with suppress(Refused):
            self._machine.run("test", "-e", f"{FOLDER}/{name}")
            return False
        return True

    async def tell(self, what: str) -> None:
        if what == "kill":
            self._machine.systemctl("kill", "--kill-who=main", "--signal=KILL", UNIT)
            return
        self._leave("tell-primary", what)
        await self._until(lambda: self._taken("tell-primary"), f"it takes: {what}")

    def let_end(self) -> None:
        self._leave("let-end", "now")

    async def tell_candidate(self, what: str) -> None:
        self._leave("tell-candidate", what)

    # What people, the timer and the machine do

    async def start(self) -> None:
        self._machine.systemctl("--no-block", "start", UNIT)

    async def stop(self, wait: bool = True) -> None:
        self._machine.systemctl(*(() if wait else ("--no-block",)), "stop", UNIT)
        self._look()

    async def restart(self) -> None:
        self._machine.systemctl("--no-block", "restart", UNIT)

    async def try_restart(self) -> None:
        self._machine.systemctl("--no-block", "try-restart", UNIT)

    async def reboot(self) -> None:
        with suppress(Refused, subprocess.SubprocessError):
            self._machine.reboot()

    async def cut_power(self) -> None:
        self._look()
        self._machine.cut_power()
        self._machine.boot()

    # The candidate

    async def start_candidate(self, version: str, shortly: bool = False) -> bool:
        ready_s, self._ready_s = self._ready_s, PATIENCE_S
        said = self._candidate(version, f"{SHORT_S if shortly else LONG_S}", f"{ready_s}")
        return said == ""

    async def stop_candidate(self) -> None:
        self._candidate("none", "1", "1")

    def _candidate(self, *words: str) -> str:
        script = f"{FOLDER}/candidate.py"
        said = self._machine.run("env", f"PYTHONPATH={CODE}", "python3", script, *words)
        self._look()
        return said.strip()

    async def candidate_runs(self) -> bool:
        self._look()
        return self._machine.show("fleet-agent-candidate.service", "ActiveState") == "active"


def path_of(version: str) -> str:
    return f"/usr/bin/fleet-agent-v{version}"


def unit_file(guard_limit_s: float) -> str:
    """As it is installed, without the sandbox."""
    text = (_TEMPLATES / f"{UNIT}.j2").read_text().replace("{% include 'sandbox.j2' %}", "")
    assert _LIMIT in text
    filled = text.replace("{{ fleet_agent_previous }}", PREVIOUS)
    filled = filled.replace("{{ fleet_agent_link }}", LINK).replace(
        _LIMIT, f"timeout -k 2 {guard_limit_s:g}"
    )
    assert "{{" not in filled, filled
    return filled


def _told(role: str, what: str, version: str) -> list[str]:
    match role, what.split(":"):
        case "guard", ["guarded"]:
            return [f"guard {version}"]
        case "guard", ["fails"]:
            return [FAILS]
        case "primary", ["starts"]:
            return [f"start {version}"]
        case "primary", ["ready"]:
            return [f"ready {version}"]
        case "primary", ["exited", "203"]:
            return [CANNOT]
        case "primary", ["exited", status]:
            return [f"ended {version} {status}"]
        case "primary", [_, _]:
            return [f"ended {version} by a signal"]
        case "candidate", ["starts"]:
            return [f"candidate {version}"]
        case "candidate", ["ends"]:
            return [f"candidate {version} ends"]
        case _:
            return []


def on_systemd(machine: Machine, lines: Sequence[Line], settings: str = "") -> Told:
    return asyncio.run(play(SystemdUnits(machine, settings, GUARD_LIMIT_S), lines))


def at_a_limit(machine: Machine, lines: Sequence[Line], limit: Limit) -> Told:
    """This one alone is short."""
    guard_limit_s = SHORT_S if limit is Limit.GUARD else GUARD_LIMIT_S
    return asyncio.run(play(SystemdUnits(machine, SETTINGS[limit], guard_limit_s), lines))
