"""What is done to the permanent unit, line by line.

`unit_player` says how a line begins and ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from tests.contract.unit_player import CANNOT, GONE, NEW, OLD, READY, WAITING, Limit, Line, Units

MOMENTS: Final = 100


async def it_is_started_again_however_it_ends(units: Units) -> None:
    for how in ("exit 0", "exit 1", "exit 75", "kill"):
        await units.tell(how)
        await units.until(READY)


async def one_that_ends_before_it_is_ready_is_started_again(units: Units) -> None:
    units.next_start("exit 1")
    await units.tell("kill")
    await units.until(READY)


async def one_that_is_never_ready_is_killed_and_started_again(units: Units) -> None:
    units.next_start("hang")
    await units.tell("exit 75")
    await units.until(READY)


async def one_that_hangs_is_killed_by_the_watchdog_and_started_again(units: Units) -> None:
    await units.tell("hang")
    await units.until(READY)


async def a_guard_that_hangs_blocks_no_start(units: Units) -> None:
    units.next_guard("hang")
    await units.tell("kill")
    await units.until(READY)


async def a_guard_that_fails_or_is_missing_blocks_no_start(units: Units) -> None:
    units.next_guard("fail")
    await units.tell("kill")
    await units.until(READY)
    units.previous(GONE)
    await units.tell("kill")
    await units.until(READY)
    units.previous(OLD)


async def what_the_guard_links_is_what_starts(units: Units) -> None:
    units.next_guard("swap")
    await units.tell("kill")
    await units.until(READY)


async def what_the_primary_links_is_what_starts_when_it_hands_over(units: Units) -> None:
    units.link(NEW)
    await units.tell("exit 75")
    await units.until(f"ready {NEW}")
    units.link(OLD)
    await units.tell("exit 75")
    await units.until(READY)


async def a_link_that_leads_nowhere_is_tried_until_it_leads_somewhere(units: Units) -> None:
    units.link(GONE)
    await units.tell("kill")
    await units.until(CANNOT)
    await units.until(CANNOT)
    units.link(OLD)
    await units.until(READY)


async def a_restart_by_hand_ends_and_starts_it_whatever_it_does(units: Units) -> None:
    await _in_each_state(units, units.restart)


async def the_timer_s_restart_ends_and_starts_it_whatever_it_does(units: Units) -> None:
    await _in_each_state(units, units.try_restart)


async def _in_each_state(units: Units, restart: Callable[[], Awaitable[None]]) -> None:
    """But waiting, which has lines of its own."""
    await restart()
    await units.until(READY)
    units.next_start("hang")
    await units.tell("kill")
    await units.until(f"start {OLD}")
    await restart()
    await units.until(READY)
    units.next_guard("hang")
    await units.tell("kill")
    await units.until_guarding()
    await restart()
    await units.until(READY)


async def the_timer_leaves_one_alone_that_was_stopped_by_hand(units: Units) -> None:
    await units.stop()
    await units.try_restart()
    await stays_stopped(units)


async def one_that_is_stopped_by_hand_stays_so_until_it_is_started(units: Units) -> None:
    await units.stop()
    await units.stop()
    await stays_stopped(units)
    units.next_start("hang")
    await units.tell("kill")
    await units.until(f"start {OLD}")
    await units.stop()
    await stays_stopped(units)
    units.next_guard("hang")
    await units.tell("kill")
    await units.until_guarding()
    await units.stop()
    await stays_stopped(units)


async def one_that_is_deaf_is_killed_when_its_time_to_stop_is_over(units: Units) -> None:
    await units.tell("deaf")
    await units.stop()
    await stays_stopped(units)


async def a_start_by_hand_of_one_that_runs_changes_nothing(units: Units) -> None:
    await units.start()
    await units.moment()
    units.events.append(await units.state())


async def what_is_asked_for_while_it_ends_is_done_then(units: Units) -> None:
    for last in (units.start, units.try_restart, units.stop):
        await units.tell("linger")
        await units.stop(wait=False)
        await units.until_told()
        asked = asyncio.ensure_future(last())
        try:
            await units.state()  # asked for after it: once this is answered, `last` has come in
            units.let_end()
            await units.until(f"ended {OLD} 0")
        finally:
            await asked
        if last != units.start:
            await stays_stopped(units)
        else:
            await units.until(READY)


async def stays_stopped(units: Units) -> None:
    """And is started by hand then. A moment, as nothing tells of a start that does not come."""
    await units.moment()
    units.events.append(await units.state())
    await units.start()
    await units.until(READY)


# Waiting: with an hour between an end and the next start


async def a_restart_while_it_waits_starts_it_at_once(units: Units) -> None:
    for restart in (units.restart, units.try_restart):
        await _waits(units)
        await restart()
        await units.until(READY)


async def a_restart_while_it_starts_ends_it_and_starts_it_at_once(units: Units) -> None:
    for restart in (units.restart, units.try_restart):
        await _waits(units)
        units.next_start("hang")
        await units.restart()
        await units.until(f"start {OLD}")
        await restart()
        await units.until(READY)


async def a_restart_while_its_guard_runs_ends_it_and_starts_it_at_once(units: Units) -> None:
    for restart in (units.restart, units.try_restart):
        await _waits(units)
        units.next_guard("hang")
        await units.restart()
        await units.until_guarding()
        await restart()
        await units.until(READY)


async def a_stop_while_it_waits_keeps_it_from_being_started(units: Units) -> None:
    await _waits(units)
    await units.stop()
    units.events.append(await units.state())
    await units.start()
    await units.until(READY)


async def _waits(units: Units) -> None:
    await units.tell("exit 75")
    await units.until(f"ended {OLD} 75")
    for _ in range(MOMENTS):
        if await units.state() == WAITING:
            return
        await units.moment()
    raise AssertionError("it never waited")


async def a_restart_by_hand_starts_what_was_stopped(units: Units) -> None:
    await units.stop()
    await units.restart()
    await units.until(READY)


LINES: Final[Sequence[Line]] = (
    it_is_started_again_however_it_ends,
    one_that_ends_before_it_is_ready_is_started_again,
    a_guard_that_fails_or_is_missing_blocks_no_start,
    what_the_guard_links_is_what_starts,
    what_the_primary_links_is_what_starts_when_it_hands_over,
    a_link_that_leads_nowhere_is_tried_until_it_leads_somewhere,
    a_restart_by_hand_ends_and_starts_it_whatever_it_does,
    the_timer_s_restart_ends_and_starts_it_whatever_it_does,
    the_timer_leaves_one_alone_that_was_stopped_by_hand,
    one_that_is_stopped_by_hand_stays_so_until_it_is_started,
    a_start_by_hand_of_one_that_runs_changes_nothing,
    what_is_asked_for_while_it_ends_is_done_then,
)
AT_A_LIMIT: Final[Mapping[Limit, Sequence[Line]]] = {
    Limit.GUARD: (a_guard_that_hangs_blocks_no_start,),
    Limit.START: (one_that_is_never_ready_is_killed_and_started_again,),
    Limit.WATCHDOG: (one_that_hangs_is_killed_by_the_watchdog_and_started_again,),
    Limit.STOP: (one_that_is_deaf_is_killed_when_its_time_to_stop_is_over,),
}
"""Each waits for its limit to pass, so that one is short there."""
PATIENT: Final[Sequence[Line]] = (
    a_restart_while_it_waits_starts_it_at_once,
    a_restart_while_it_starts_ends_it_and_starts_it_at_once,
    a_restart_while_its_guard_runs_ends_it_and_starts_it_at_once,
    a_stop_while_it_waits_keeps_it_from_being_started,
)
"""For a machine with an hour between an end and the next start."""
BY_HAND: Final[Sequence[Line]] = (a_restart_by_hand_starts_what_was_stopped,)
"""What the local supervisor has no request for."""
