"""Which heartbeats of a device were missed, by what its own senders announced.

A heartbeat announces the next one, of whichever agent of the device, within its `interval_ms`. It
is missed when half an interval more than that has passed; each further interval is one more.
"""

import math
from dataclasses import dataclass

PATIENCE = 1.5
"""Announced intervals."""


def missed_between(passed_s: float, interval_ms: int) -> int:
    """Between two consecutive heartbeats; the interval is that of the earlier one."""
    return max(0, math.ceil(passed_s * 1000 / interval_ms - PATIENCE))


@dataclass
class Pace:
    """Counts over one upgrade; the heartbeat before it is where it begins."""

    last_s: float | None = None
    interval_ms: int = 0
    beats: int = 0
    missed: int = 0
    longest_s: float = 0.0

    def begin(self) -> None:
        self.beats, self.missed, self.longest_s = 0, 0, 0.0

    def heard(self, now_s: float, interval_ms: int) -> None:
        self.looked(now_s)
        self.beats += 1
        self.last_s, self.interval_ms = now_s, interval_ms

    def looked(self, now_s: float) -> None:
        """Also at the end, when the next heartbeat is still to come."""
        if self.last_s is not None:
            self.missed += missed_between(now_s - self.last_s, self.interval_ms)
            self.longest_s = max(self.longest_s, now_s - self.last_s)
