"""`make demo-without PROTECTION=…`: the same story on a copy of the code with one protection out.

What a check is worth shows when what it guards is taken away: the verdict must fail.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import harmony_fleet
from demo.stage import StageFailed

SOURCE = Path(harmony_fleet.__file__).parent
DEMO = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Removal:
    """One passage of the source, and what is left of it."""

    file: str
    passage: str
    left: str


PROTECTIONS = {
    "hash": Removal(
        "asset/landing.py",
        "        if found != self._expected.sha256:\n",
        "        if False:\n",
    ),
    "self-test": Removal(
        "agent/upgrade/perform.py",
        "        if fault := fault or blame:\n",
        "        if fault:\n",
    ),
    "heartbeat-timeout": Removal(
        "agent/upgrade/old_primary.py",
        "            clocks = (StartClock(Deadline.STOP), StartClock(Deadline.OVERALL))\n",
        "            clocks: tuple[Effect, ...] = ()\n",
    ),
    "guard": Removal(
        "agent/upgrade/guard_rules.py",
        "    if attempt.starts < event.starts_allowed:\n",
        "    if True:\n",
    ),
}


def run_without(protection: str, folder: Path) -> NoReturn:
    """Becomes the demo on the changed copy. Raises StageFailed."""
    copy = folder / "src"
    shutil.rmtree(copy, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(SOURCE, copy / "harmony_fleet", ignore=ignore)
    shutil.copytree(DEMO, copy / "demo", ignore=ignore)
    remove(PROTECTIONS[protection], copy / "harmony_fleet")
    command = [sys.executable, "-m", "demo", "--data", str(folder / "data")]
    os.chdir(copy)
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": str(copy)})  # noqa: S606


def remove(removal: Removal, package: Path) -> None:
    """Raises StageFailed where the passage is not there exactly once: the code has moved on."""
    file = package / removal.file
    text = file.read_text()
    if text.count(removal.passage) != 1:
        raise StageFailed(f"the passage to take out is not in {removal.file} exactly once")
    file.write_text(text.replace(removal.passage, removal.left))
