"""The permanent unit: guard, start, watchdog, restart, stop."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.local_world import SETTINGS, Device, device, until

from harmony_fleet.agent.upgrade.local import ask
from harmony_fleet.agent.upgrade.local_messages import (
    Machine,
    RestartUnit,
    StartUnit,
    StopUnit,
    UnitState,
)
from harmony_fleet.embedded.supervisor.settings import DEADMAN, GUARD, UNIT

MARK_AND_REST = "mark('primary'); ready(); rest()"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path / "device") as made:
        yield made


# Guard and start


def test_the_guard_runs_before_each_start_and_the_link_is_resolved_after_it(one: Device) -> None:
    one.prepare(primary="mark('old')", guard="mark('guard'); link(LINK, '2.0.0')")
    one.install("2.0.0", primary=MARK_AND_REST)
    one.run()
    assert (len(one.marks("guard")), one.marks("old"), len(one.marks("primary"))) == (1, [], 1)
    one.ask(RestartUnit(), Machine)
    one.until_running()
    assert len(one.marks("guard")) == 2


def test_a_program_that_was_started_through_the_link_sees_the_link(one: Device) -> None:
    one.prepare(primary="mark('argv', sys.argv[0]); ready(); rest()")
    one.run()
    assert one.marks("argv") == [str(one.machine.link)]


def test_a_missing_guard_does_not_block_the_start(one: Device) -> None:
    one.prepare()
    previous = one.machine.previous
    previous.unlink()
    one.run()
    previous.symlink_to("nowhere")
    one.ask(RestartUnit(), Machine)
    one.until_running()
    previous.unlink()
    previous.mkdir()
    one.ask(RestartUnit(), Machine)
    one.until_running()
    assert one.seen(GUARD, "cannot run") == 3


def test_a_failing_guard_does_not_block_the_start(one: Device) -> None:
    one.prepare(guard="raise ValueError('a broken guard')")
    one.run()
    assert one.seen(GUARD, "ended status=1") == 1
    assert "a broken guard" in one.log(UNIT)


def test_a_hanging_guard_is_killed_and_the_start_goes_on(one: Device) -> None:
    settings = replace(SETTINGS, guard_limit_s=0.3)
    one.prepare(settings, guard="ignore_term(); hang()")
    one.run()
    assert one.seen(GUARD, "ended status=-9 at its limit") == 1


def test_a_guard_has_time_to_end_in_order_when_its_time_is_over(one: Device) -> None:
    settings = replace(SETTINGS, guard_limit_s=0.3, guard_kill_s=10)
    one.prepare(settings, guard="signal.signal(15, lambda *_: sys.exit(3)); hang()")
    one.run()
    assert one.seen(GUARD, "ended status=3 at its limit") == 1


# Restart


def test_exit_75_restarts_through_the_link_that_was_swapped_meanwhile(one: Device) -> None:
    one.prepare(primary="ready(); link(LINK, '2.0.0'); sys.exit(75)")
    one.install("2.0.0", primary=MARK_AND_REST)
    one.boot()
    until(lambda: len(one.marks("primary")) == 1)
    one.until_running()
    assert one.seen(UNIT, "ended status=75") == 1


def test_an_agent_that_is_never_ready_is_killed_and_restarted(one: Device) -> None:
    one.prepare(
        replace(SETTINGS, start_limit_s=1.0),
        primary="mark('primary'); hang() if marks('primary') < 2 else (ready(), rest())",
    )
    one.run()
    assert one.seen(UNIT, "not ready in time status=-15") > 0


def test_a_missed_watchdog_is_killed_and_restarted(one: Device) -> None:
    one.prepare(
        replace(SETTINGS, watchdog_s=0.5),
        primary="mark('primary'); ready(); hang() if marks('primary') < 2 else rest()",
    )
    one.boot()
    until(lambda: one.seen(UNIT, "watchdog missed status=-6") > 0)
    one.until_running()
    assert len(one.marks("primary")) > 1


def test_a_watchdog_that_is_fed_is_left_alone(one: Device) -> None:
    one.prepare(replace(SETTINGS, watchdog_s=1.2), primary="mark('primary'); ready(); rest()")
    one.run()
    until(lambda: len(one.marks("fed")) > 13)
    assert len(one.marks("primary")) == 1


def test_ready_from_another_process_than_the_units_own_does_not_count(one: Device) -> None:
    child = "if os.fork() == 0: ready(); os._exit(0)"
    one.prepare(replace(SETTINGS, start_limit_s=0.5), primary=f"{child}\nos.wait(); hang()")
    one.boot()
    until(lambda: one.seen(UNIT, "not ready in time") > 0)


def test_twenty_quick_crashes_are_still_restarted(one: Device) -> None:
    one.prepare(
        replace(SETTINGS, restart_s=0.001),
        primary="mark('primary'); os.abort() if marks('primary') < 21 else (ready(), rest())",
    )
    one.machine.previous.unlink()
    one.run()
    assert len(one.marks("primary")) == 21


def test_an_agent_whose_file_is_gone_is_started_as_soon_as_it_is_back(one: Device) -> None:
    one.prepare()
    one.machine.link.unlink()
    one.boot()
    until(lambda: one.seen(UNIT, "cannot run") > 1)
    one.point(one.machine.link, "1.0.0")
    one.until_running()


def test_what_a_primary_left_behind_goes_with_it(one: Device) -> None:
    child = "mark('child', str(subprocess.Popen(['/bin/sleep', '1000']).pid))"
    one.prepare(primary=f"{child}; ready(); wait_for('go'); sys.exit(75)")
    one.run()
    (child_pid,) = one.marks("child")
    one.mark("go")
    until(lambda: one.seen(UNIT, "ended status=75") > 0)
    until(lambda: not Path(f"/proc/{child_pid}/cwd").exists())


# Stop


def test_a_primary_that_ignores_term_is_killed_when_its_time_to_stop_is_over(one: Device) -> None:
    one.prepare(replace(SETTINGS, stop_limit_s=0.3), primary="ignore_term(); ready(); rest()")
    one.run()
    one.ask(StopUnit(), Machine)
    assert one.seen(UNIT, "stopped status=-9") == 1


def test_a_unit_stopped_by_hand_stays_stopped_until_it_is_started(one: Device) -> None:
    one.prepare(replace(SETTINGS, deadman_s=0.1), expired="mark('expired')")
    one.run()
    assert one.ask(StopUnit(), Machine).unit is UnitState.STOPPED
    one.machine.attempt_open.touch()
    starts = one.state().unit_starts
    assert one.ask(RestartUnit(), Machine).unit is UnitState.STOPPED
    until(lambda: one.seen(DEADMAN, "leaves the stopped unit alone") > 2)
    assert (one.state().unit_starts, one.state().unit_pid) == (starts, None)
    assert one.marks("expired") == []
    one.machine.attempt_open.unlink()
    one.ask(StartUnit(), Machine)
    one.until_running()


def test_a_unit_can_be_stopped_while_it_waits_to_be_restarted(one: Device) -> None:
    one.prepare(replace(SETTINGS, restart_s=1000), primary="sys.exit(1)")
    one.boot()
    until(lambda: one.state().unit is UnitState.WAITING and one.state().unit_starts == 1)
    assert one.ask(StopUnit(), Machine).unit is UnitState.STOPPED


def test_a_restart_goes_on_when_the_one_who_asked_for_it_goes_away(one: Device) -> None:
    lingers = "signal.signal(15, lambda *_: (mark('told'), wait_for('go'), sys.exit(0)))"
    one.prepare(primary=f"{lingers}; ready(); rest()")
    one.run()

    async def ask_and_cancel() -> None:
        asking = asyncio.ensure_future(ask(one.socket, RestartUnit(), Machine, None))
        await asyncio.to_thread(until, lambda: bool(one.marks("told")))
        asking.cancel()
        await asyncio.wait({asking})

    asyncio.run(ask_and_cancel())
    one.mark("go")
    until(lambda: one.state().unit_starts == 2)
    one.until_running()


def test_a_stop_while_the_guard_runs_ends_the_guard(one: Device) -> None:
    one.prepare(guard="mark('guard'); hang()", primary="mark('primary')")
    one.boot()
    until(lambda: len(one.marks("guard")) == 1)
    one.ask(StopUnit(), Machine)
    assert one.seen(GUARD, "ended status=-15") == 1
    assert one.marks("primary") == []
