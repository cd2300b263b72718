"""Plays lines on a service manager, and tells what came of them: the same for each.

A line begins with version 1.0.0 running, the link and `previous` on it, and no candidate; it ends
so too. What it comes to is the order in which things happened, not when: a guard that ended well or
did not, starts, READY, ends by a status or by a signal, the candidate's start and end.

Limits are so long that no machine is too slow for them, but for the one that a line is about: it is
played where that limit alone is short.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

OLD: Final = "1.0.0"
NEW: Final = "1.1.0"
GONE: Final = "9.9.9"
"""A version that has no file."""
STOPPED: Final = "stopped"
WAITING: Final = "waiting"
DOWN, UP = "the machine goes down", "the machine is up"
FAILS: Final = "the guard fails"
"""By a status or by a signal: the service manager makes no difference between them."""
CANNOT: Final = "nothing can be started"
SHORT_S: Final = 3.0
"""A limit that a line waits for. Still, a program that does well starts in a tenth of it."""
LONG_S: Final = 1000.0
PATIENCE_S: Final = 60.0
"""Nothing that should happen takes so long."""


class Limit(StrEnum):
    GUARD = "the guard's time"
    START = "the time to be ready in"
    WATCHDOG = "the watchdog"
    STOP = "the time to stop in"


class Units(Protocol):
    """A machine with its service manager, its installed programs, and what they are told to do."""

    events: list[str]
    seen: int
    """How many of them were waited for."""

    async def until(self, event: str) -> None:
        """It has happened, after what was waited for before. Raises AssertionError."""

    async def until_guarding(self) -> None:
        """A guard that hangs has begun."""

    async def until_told(self) -> None:
        """The primary was told to end, and lingers."""

    async def moment(self) -> None:
        """The service manager itself has let pass more than the time between two starts: had it
        been about to start something, it would have."""

    async def state(self) -> str: ...

    # Its disk

    def link(self, version: str) -> None: ...

    def previous(self, version: str) -> None: ...

    # What programs do

    def next_guard(self, what: str) -> None:
        """`fail`, `hang`, or `swap`: the link is moved to NEW now, and by the guard to OLD."""

    def next_start(self, what: str) -> None:
        """`hang` or `exit 1`, before READY."""

    def next_candidate(self, what: str) -> None: ...

    async def tell(self, what: str) -> None:
        """The primary: `exit N`; `kill`; `hang`; `linger` or `deaf` when it is told to end."""

    def let_end(self) -> None:
        """The primary that lingers."""

    async def tell_candidate(self, what: str) -> None: ...

    # What people, the timer and the machine do

    async def start(self) -> None: ...

    async def stop(self, wait: bool = True) -> None: ...

    async def restart(self) -> None: ...

    async def try_restart(self) -> None: ...

    async def reboot(self) -> None: ...

    async def cut_power(self) -> None: ...

    # The candidate

    async def start_candidate(self, version: str, shortly: bool = False) -> bool:
        """Whether it got ready. `shortly`: its whole time is over soon. One that hangs, by
        `next_candidate`, has a short time to get ready in."""

    async def stop_candidate(self) -> None: ...

    async def candidate_runs(self) -> bool: ...


Line = Callable[[Units], Awaitable[None]]
READY: Final = f"ready {OLD}"

Told = dict[str, list[str]]


async def play(units: Units, lines: Sequence[Line]) -> Told:
    """By line. The machine is up already."""
    found: Told = {}
    await units.until(READY)
    for line in lines:
        begins = units.seen = len(units.events)
        try:
            await line(units)
        except AssertionError as error:
            raise AssertionError(f"{line.__name__}: {units.events[begins:]}: {error}") from error
        found[line.__name__] = settled(units.events[begins:])
    return found


def settled(events: Sequence[str]) -> list[str]:
    """How often what cannot be started is tried depends on time; in which order a machine that goes
    down ends its units, too."""
    found: list[str] = []
    for event in events:
        found.append(event)
        if found[-4:-2] == found[-2:] and event == CANNOT:
            del found[-2:]
    if DOWN in found and UP in found:
        down, up = found.index(DOWN), found.index(UP)
        found[down:up] = [DOWN, *sorted(found[down + 1 : up])]
    return found
