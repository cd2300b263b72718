"""One upgrade of all devices of a site by one contender, and what came of it."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.device.site import Seen, Site


@dataclass(frozen=True, slots=True)
class Turn:
    seconds: float
    """Until the last device is through: committed, or healthy."""
    cpu_s: float
    """Of the control plane, or of all that the others run on the controlling machine."""
    seen: Seen
    more: Mapping[str, float] = field(default_factory=dict)
    """What only this contender has, by its name."""


class Contender(Protocol):
    name: str
    guarded: bool
    """It upgrades the unit with our guard before each start."""

    def prepare(self, site: Site) -> None:
        """Not measured: connections are warm afterwards, once for each site."""

    def upgrade(self, site: Site) -> Turn:
        """Raises Failed where a device was not upgraded."""

    def close(self) -> None:
        """What `prepare` began has ended."""


class Failed(Exception):
    """A contender did not upgrade. Its text is what was typed and what was said."""


@dataclass(frozen=True, slots=True)
class Ended:
    seconds: float
    cpu_s: float
    """Its own and that of all its children which ended, and theirs."""


def side_by_side(
    site: Site, commands: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None
) -> Ended:
    """Run all at once on the hub's network, until each has ended well. Raises Failed."""
    log = site.folder / "typed.log"
    began_s = time.monotonic()
    with log.open("wb") as said, site.hub.inside():
        running = [_typed(argv, said.fileno(), environment) for argv in commands]
    try:
        spent_s, failed = _reaped(running)
    finally:  # interrupted, it leaves none
        for process in running:
            process.kill()
            process.wait()
    seconds = time.monotonic() - began_s
    if failed:
        raise Failed("\n".join([*failed, log.read_text(errors="replace")[-4000:]]))
    return Ended(seconds, spent_s)


def _reaped(running: Sequence["subprocess.Popen[bytes]"]) -> tuple[float, list[str]]:
    """Their processor time, and what of them failed."""
    spent_s, failed = 0.0, []
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        spent_s += usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            failed.append(f"{process.args!r}: status {process.returncode}")
    return spent_s, failed


def _typed(
    argv: Sequence[str], said: int, environment: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        list(argv), stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, cwd="/"
    )


def take(contender: Contender, site: Site) -> Turn:
    """From the same start as every other. Raises Failed, NotSeen, AssertionError."""
    site.reset(contender.guarded)
    turn = contender.upgrade(site)
    site.check()
    return turn
