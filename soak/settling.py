"""Waits until the fleet has settled; what a look says of that is pure.

Rule: one look without a fault proves little, a device that crash-loops slowly gives it, too. The
fleet has settled when `STEADY_LOOKS` or more in a row, over `STEADY_S` or longer, found nothing at
fault, and the primary of each device was the same process in all of them.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from soak.calm import HEARD_WITHIN_S, SETTLE_S, Look
from soak.faults import Fault, Kind
from soak.plane import Upgrade

LOOK_S = 1.0
"""Between two looks of the judge."""
STEADY_LOOKS = 4
STEADY_S = HEARD_WITHIN_S + 2.0


class Looks(Protocol):
    def look(self) -> Look:
        """Blocking."""


async def settle(judge: Looks, limit_s: float = SETTLE_S) -> tuple[list[Fault], list[Upgrade]]:
    """Until the fleet has settled, or something is at fault after `limit_s`; what is at fault
    then, and what has ended."""
    ends_s, clean, ended = time.monotonic() + limit_s, list[Look](), list[Upgrade]()
    while True:
        look = await asyncio.to_thread(judge.look)
        ended += look.ended
        faults = [*look.faults, *replaced(clean, look)]
        clean = in_a_row(clean, look)
        if settled(clean):
            return [], ended
        if faults and time.monotonic() > ends_s:
            return faults, ended
        await asyncio.sleep(LOOK_S)


def in_a_row(clean: Sequence[Look], look: Look) -> list[Look]:
    """Those without a fault and with the same primaries, up to this one."""
    if look.faults:
        return []
    return [look] if replaced(clean, look) else [*clean, look]


def settled(clean: Sequence[Look]) -> bool:
    return len(clean) >= STEADY_LOOKS and clean[-1].at_s - clean[0].at_s >= STEADY_S


def replaced(clean: Sequence[Look], look: Look) -> list[Fault]:
    """The primaries that have ended since the last look without a fault."""
    before = clean[-1].primaries if clean else look.primaries
    return [
        Fault(Kind.LOST, f"{device}: its primary does not last: {before[device]}, then {pids}")
        for device, pids in look.primaries.items()
        if before[device] != pids
    ]
