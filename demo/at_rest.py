"""What a device looks like from outside when nothing is under way: its processes, link and files.

Judges nothing, and asks nobody: /proc and the device's folders.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from harmony_fleet.embedded.supervisor.settings import MachineRoot

MARKS = ("attempt-open", "expired.json", "controls.json")
"""Of an attempt that is open, in the folder of the journal."""


def agents(root: Path) -> list[int]:
    """The processes that run any of its versions, whatever they do."""
    below = (f"{root}/usr/local/", f"{root}/usr/bin/")
    return [pid for pid, argv in processes() if any(word.startswith(below) for word in argv)]


def linked(machine: MachineRoot) -> str:
    """The version of the file that the link leads to."""
    return machine.link.resolve().name.removeprefix("fleet-agent-v")


def left_over(machine: MachineRoot) -> list[str]:
    """What a device at rest has no use for."""
    folders = (machine.versions, machine.link.parent, machine.previous.parent, machine.state)
    hidden = [path for folder in folders for path in folder.glob(".*")]
    marks = [machine.state / name for name in MARKS]
    return [path.name for path in (*hidden, *marks) if os.path.lexists(path)]


def processes() -> Iterator[tuple[int, Sequence[str]]]:
    """Each process of this machine, with its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                yield int(entry.name), [word.decode(errors="replace") for word in words]
