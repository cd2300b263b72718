"""How fast things go in a test: short, so that it ends; the order of the agent's defaults is kept.

An emulated processor starts a Python program in a second or more, where this machine's own takes
some hundredths; beside other work it takes many times that.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    settings: Mapping[str, float]
    """Of the agent's configuration."""
    watchdog: str
    """For the agent's unit, as a drop-in."""
    timer: str
    """For its dead-man timer, as a drop-in."""
    soon_s: float
    """Everything that should happen has happened by then, however slow the machine."""


NATIVE = Pace(
    {
        "heartbeat.interval_s": 1,
        "heartbeat.quick_interval_s": 0.3,
        "plane.reconnect_max_s": 1,
        "upgrade.self_test_limit_s": 20,
        "upgrade.ready_limit_s": 15,
        "upgrade.stop_limit_s": 12,
        "upgrade.overall_limit_s": 60,
        "upgrade.probation_s": 4,
        "upgrade.starts_allowed": 3,
        "upgrade.order_reread_s": 2,
        "upgrade.outage_s": 120,
        "upgrade.retry_s": 1,
    },
    "[Service]\nWatchdogSec=5\nTimeoutStopSec=3\n",
    "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nAccuracySec=100ms\n",
    60.0,
)
EMULATED = Pace(
    {
        "heartbeat.interval_s": 3,
        "heartbeat.quick_interval_s": 1,
        "plane.reconnect_max_s": 2,
        "upgrade.self_test_limit_s": 120,
        "upgrade.ready_limit_s": 90,
        "upgrade.stop_limit_s": 80,
        "upgrade.overall_limit_s": 400,
        "upgrade.probation_s": 45,
        "upgrade.starts_allowed": 5,
        "upgrade.order_reread_s": 5,
        "upgrade.outage_s": 900,
        "upgrade.retry_s": 2,
    },
    "[Service]\nWatchdogSec=60\nTimeoutStartSec=180\nTimeoutStopSec=30\n",
    "[Timer]\nOnCalendar=\nOnCalendar=minutely\nAccuracySec=1s\n",
    420.0,
)
