"""Processor time of processes that go on, to the nanosecond, their ended threads included."""

import time
from collections.abc import Iterable
from pathlib import Path

_CLOCK_OF_ALL_THREADS = 2
"""CPUCLOCK_SCHED of the kernel's `posix-timers.h`; the clock's id is made of it and the pid."""


def cpu_s(pid: int) -> float:
    """Raises ProcessLookupError."""
    try:
        return time.clock_gettime((~pid << 3) | _CLOCK_OF_ALL_THREADS)
    except OSError as error:
        raise ProcessLookupError(f"there is no process {pid}") from error


def sum_s(pids: Iterable[int]) -> float:
    return sum(cpu_s(pid) for pid in pids)


def family(pid: int) -> list[int]:
    """It, its children, theirs."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found
