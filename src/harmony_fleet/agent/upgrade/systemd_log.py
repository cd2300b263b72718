"""What a unit printed, and what systemd says of it: evidence, from the journal's end."""

import re
import subprocess
from typing import Final

from harmony_fleet.agent.upgrade import systemctl
from harmony_fleet.agent.upgrade.systemctl import SystemdUnavailable

LINES: Final = 60
GUARD_LIMIT_S: Final = 5.0
"""The guard has twenty seconds, and better things to do."""
_SET_UP: Final = re.compile(
    r"^\S+: Main process exited, code=exited, status=(2(?:[0-3]\d|4[0-3])/[A-Z_]+)$", re.M
)
"""As of systemd.exec(5), *Process Exit Codes*: 200 to 243 failed before the program had begun."""
_OF_THE_PROGRAM: Final = "203/EXEC"
"""It cannot be executed, which may be the fault of its file."""


class Log:
    """Of the run of a unit that follows `begin`. Never raises: without a journal it is empty."""

    def __init__(self, unit: str) -> None:
        self.unit, self._cursor = unit, ""

    async def begin(self) -> None:
        self._cursor = ""
        for line in (await _journal("--lines=0", "--show-cursor")).splitlines():
            if line.startswith("-- cursor: "):
                self._cursor = line.removeprefix("-- cursor: ")

    async def read(self) -> str:
        await _journal("--sync")
        return await _journal(*_end_of(self.unit), *self._since)

    async def of_systemd(self) -> str:
        """What systemd itself says of the unit, and no program: the journal knows who wrote it."""
        return await _journal("--output=cat", *self._since, "_PID=1", f"UNIT={self.unit}")

    @property
    def _since(self) -> list[str]:
        return [f"--after-cursor={self._cursor}"] if self._cursor else ["--boot"]


def not_set_up(log: str) -> str | None:
    """What systemd could not set up of the unit's settings, as `226/NAMESPACE`; None: all of it."""
    found = [one[1] for one in _SET_UP.finditer(log) if one[1] != _OF_THE_PROGRAM]
    return found[-1] if found else None


def last_lines(unit: str) -> str:
    """For the guard, which has no event loop: the end of that unit's log, or nothing."""
    argv = ["journalctl", "--quiet", *_end_of(unit)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=GUARD_LIMIT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def _end_of(unit: str) -> list[str]:
    return ["--output=cat", f"--lines={LINES}", f"--unit={unit}"]


async def _journal(*arguments: str) -> str:
    try:
        return (await systemctl.run(["journalctl", "--quiet", *arguments])).output
    except SystemdUnavailable:
        return ""
