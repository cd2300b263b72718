"""The device's clock, on a machine that has slept: a name space of its own, set as if it had."""

import subprocess
import sys

import pytest

SLEPT_S = 3600
LOOK = """
import sys, time
from pathlib import Path
from harmony_fleet.agent.clock import BootClock
boot_id = Path("/proc/sys/kernel/random/boot_id")
print(time.clock_gettime(time.CLOCK_BOOTTIME) - BootClock(boot_id).boot_time().seconds)
"""

pytestmark = pytest.mark.machine_may_refuse


def test_a_machine_that_slept_has_used_up_no_time_of_a_probation() -> None:
    outside, inside = ahead_s(), ahead_s("unshare", "--time", f"--boottime={SLEPT_S}", "--fork")
    assert inside - outside == pytest.approx(SLEPT_S, abs=60)


def ahead_s(*within: str) -> float:
    """By how much the clock that runs on in a sleep is ahead of the device's."""
    argv = [*within, sys.executable, "-c", LOOK]
    done = subprocess.run(argv, capture_output=True, text=True)
    if within and "unshare" in done.stderr:
        pytest.skip(f"no name space for the clocks here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
