"""systemd, asked for a preflight: is it there, and does its unit run this agent as it must?

The unit's name and all that is asked are parameters; `read_unit` is pure.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.agent.preflight.service import Manager, Unit
from harmony_fleet.agent.upgrade import permanent_unit
from harmony_fleet.agent.upgrade.permanent_unit import AGAIN

NAME: Final = "systemd"
ANSWER_LIMIT_S: Final = 10.0

PROPERTIES: Final = (
    *permanent_unit.PROPERTIES,
    *("ActiveState", "MainPID", "NeedDaemonReload"),
    *("ExecStartPre", "StartLimitIntervalUSec"),
)

_CHANGED: Final = "was changed on disk since it was loaded: run `systemctl daemon-reload`"


@dataclass(frozen=True, slots=True)
class Systemd:
    unit: str
    """Of the permanent service, with its suffix."""
    link: Path
    """What the unit must start."""
    previous: Path
    """Whose guard must stand before that."""
    timer: str
    """That looks after an upgrade when no agent is alive to do it."""
    systemctl: str = "systemctl"
    systemd_run: str = "systemd-run"
    booted: Path = Path("/run/systemd/system")
    """A folder that is there where systemd is the machine's init, sd_booted(3)."""


def look(systemd: Systemd) -> Manager:
    """Blocks, for ten seconds at most: called in `Threads`. Never raises."""
    flaws = tuple(_flaws(systemd))
    if flaws:
        return Manager(NAME, flaws, "systemd cannot be asked")
    return Manager(NAME, (), _ask(systemd))


def _flaws(systemd: Systemd) -> Iterator[str]:
    if not systemd.booted.is_dir():
        yield "systemd does not run this machine"
    for command in (systemd.systemctl, systemd.systemd_run):
        if shutil.which(command) is None:
            yield f"{command} is not there, or cannot be run"


def _ask(systemd: Systemd) -> Unit | str:
    argv = [systemd.systemctl, "show", "--no-pager", f"--property={','.join(PROPERTIES)}"]
    try:
        ran = subprocess.run(
            [*argv, "--", systemd.unit, systemd.timer],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"systemctl gave no answer: {error}"
    if ran.returncode != 0:
        said = ran.stderr.decode("utf-8", "replace").strip() or f"exit status {ran.returncode}"
        return f"systemctl gave no answer: {said}"
    return read_unit(systemd, ran.stdout.decode("utf-8", "replace"))


def read_unit(asked: Systemd, shown: str) -> Unit:
    """Of what `systemctl show` wrote; a property that is missing is a flaw, where it matters."""
    unit, _, timer = shown.partition("\n\n")
    found = _properties(unit)
    state, main_pid = found.get("ActiveState", "unknown"), found.get("MainPID", "")
    if found.get("LoadState") != "loaded":
        state = found.get("LoadState", "unknown")
    return Unit(
        asked.unit,
        state,
        running=state == "active",
        main_pid=int(main_pid) if main_pid.isdecimal() and main_pid != "0" else None,
        flaws=tuple(permanent_unit.flaws(found, str(asked.link))),
        remarks=tuple(_remarks(asked, found, _properties(timer))),
    )


def _properties(shown: str) -> dict[str, str]:
    return {key: text for key, _, text in (line.partition("=") for line in shown.splitlines())}


def _remarks(asked: Systemd, unit: Mapping[str, str], timer: Mapping[str, str]) -> Iterator[str]:
    """The upgrade would work; a version that does not last would not be undone."""
    if unit.get("NeedDaemonReload") == "yes":
        yield _CHANGED
    if f"{asked.previous} guard" not in unit.get("ExecStartPre", ""):
        yield f"has no guard before its start: {AGAIN}"
    if unit.get("StartLimitIntervalUSec") != "0":
        yield f"may give up starting, as its StartLimitIntervalSec= is not 0: {AGAIN}"
    if (state := timer.get("ActiveState", "unknown")) != "active":
        yield f"has no control beside it: {asked.timer} is {state}: start it"
