"""What a seeded bug is: a plausible mistake, put into a copy of the code that ships."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from demo.without import SOURCE, Removal, remove

from harmony_fleet.simulation.explore.scenarios import plan
from harmony_fleet.simulation.explore.world import Scenario


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    changes: tuple[Removal, ...]
    scenarios: tuple[Scenario, ...] = ()
    """Of the explorer, to be tried first. None: it does not run the changed code, or cannot tell
    what comes of it, as where a machine goes down again and again."""
    below: str = ""
    """What ships and is not run by either check: the change is made in what stands for it."""


def change(file: str, passage: str, left: str) -> Removal:
    """Below `harmony_fleet`. The passage must be there exactly once."""
    return Removal(file, passage, left)


def to(*names: str) -> tuple[Scenario, ...]:
    """The scenarios of an upgrade to a version that behaves so, or those of that name."""
    whole = [name if " " in name else f"to a version: {name}" for name in names]
    return tuple(plan(name).scenario for name in whole)


def seed(bug: Bug | None, folder: Path) -> Path:
    """The folder to import from, in which the code has that bug. Raises StageFailed."""
    package = folder / "src" / "harmony_fleet"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(SOURCE, package, ignore=ignore)
    for one in bug.changes if bug else ():
        remove(one, package)
    return package.parent
