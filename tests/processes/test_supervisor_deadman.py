"""The dead-man timer: it wakes while an attempt is open, and restarts only if the guard says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.local_world import SETTINGS, Device, device, until

from harmony_fleet.agent.upgrade.local_messages import UnitState
from harmony_fleet.embedded.supervisor.settings import DEADMAN, UNIT

OFTEN = replace(SETTINGS, deadman_s=0.05)
SAYS_SO_ONCE = "mark('expired'); sys.exit(0 if marks('expired') == 1 else 1)"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path / "device") as made:
        yield made


def test_the_timer_restarts_the_unit_if_the_guard_says_so(one: Device) -> None:
    one.prepare(OFTEN, guard="mark('guard')", expired=SAYS_SO_ONCE)
    one.run()
    one.machine.attempt_open.touch()
    until(lambda: len(one.marks("guard")) == 2)
    one.until_running()
    assert one.seen(UNIT, "stopped status=-15") == 1


def test_the_timer_leaves_the_unit_alone_unless_the_guard_says_so(one: Device) -> None:
    one.prepare(OFTEN, expired="mark('expired'); sys.exit(1)")
    one.run()
    one.machine.attempt_open.touch()
    until(lambda: len(one.marks("expired")) > 3)
    assert one.state().unit_starts == 1


def test_the_timer_asks_no_guard_while_no_attempt_is_open(one: Device) -> None:
    one.prepare(replace(OFTEN, watchdog_s=2), expired="mark('expired'); sys.exit(1)")
    one.run()
    until(lambda: len(one.marks("fed")) > 3)  # ten times the timer's interval
    assert one.marks("expired") == []
    one.machine.attempt_open.touch()
    until(lambda: len(one.marks("expired")) > 0)


def test_a_guard_that_does_not_say_in_time_whether_it_expired_restarts_nothing(
    one: Device,
) -> None:
    polite = "signal.signal(15, lambda *_: sys.exit(0)); hang()"
    one.prepare(replace(OFTEN, expired_limit_s=0.3), expired=polite)
    one.run()
    one.machine.attempt_open.touch()
    until(lambda: one.seen(DEADMAN, "ended status=0 at its limit") > 1)
    assert one.state().unit_starts == 1


def test_a_missing_guard_restarts_nothing(one: Device) -> None:
    one.prepare(OFTEN)
    one.machine.previous.unlink()
    one.run()
    one.machine.attempt_open.touch()
    until(lambda: one.seen(DEADMAN, "cannot run") > 1)
    assert one.state().unit_starts == 1


def test_the_timer_also_fires_while_the_unit_waits_to_be_restarted(one: Device) -> None:
    one.prepare(
        replace(OFTEN, restart_s=1000),
        primary="mark('primary'); sys.exit(1) if marks('primary') < 2 else (ready(), rest())",
        expired=SAYS_SO_ONCE,
    )
    one.boot()
    until(lambda: one.state().unit is UnitState.WAITING)
    one.machine.attempt_open.touch()
    one.until_running()
