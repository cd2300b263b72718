"""What is done to the candidate, and to the machine with both, line by line.

`unit_player` says how a line begins and ends.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tests.contract.unit_player import DOWN, GONE, NEW, OLD, READY, Line, Units
from tests.contract.unit_script import stays_stopped


async def a_candidate_outlives_whatever_becomes_of_the_primary(units: Units) -> None:
    await _candidate(units, NEW)
    for how in ("exit 75", "kill"):
        await units.tell(how)
        await units.until(READY)
    await units.restart()
    await units.until(READY)
    await units.stop()
    await stays_stopped(units)
    await _still_there(units)
    await units.stop_candidate()
    await units.stop_candidate()
    await _still_there(units)


async def one_candidate_takes_the_place_of_another(units: Units) -> None:
    await _candidate(units, NEW)
    await _candidate(units, OLD)
    await units.stop_candidate()
    await _still_there(units)


async def a_candidate_that_ends_is_gone_and_nobody_starts_it_again(units: Units) -> None:
    for how in ("exit 0", "exit 1"):
        await _candidate(units, NEW)
        await units.tell_candidate(how)
        await units.until(f"candidate {NEW} ends")
        await units.moment()
        await _still_there(units)


async def a_candidate_that_does_not_get_ready_is_not_there(units: Units) -> None:
    for how in ("hang", "exit 1"):
        units.next_candidate(how)
        await _candidate(units, NEW)
        await _still_there(units)
    await _candidate(units, GONE)
    await _still_there(units)


async def a_candidate_that_nobody_ends_is_ended_when_its_time_is_over(units: Units) -> None:
    await _candidate(units, NEW, shortly=True)
    await units.until(f"candidate {NEW} ends")
    await units.moment()
    await _still_there(units)


async def _candidate(units: Units, version: str, shortly: bool = False) -> None:
    got_ready = await units.start_candidate(version, shortly)
    units.events.append("the candidate is ready" if got_ready else "the candidate did not start")


async def _still_there(units: Units) -> None:
    there = await units.candidate_runs()
    units.events.append("the candidate is there" if there else "no candidate is there")


# The machine


async def a_reboot_tells_both_to_end_and_starts_the_primary_alone(units: Units) -> None:
    await _candidate(units, NEW)
    await _again(units, units.reboot)


async def a_power_cut_ends_both_and_starts_the_primary_alone(units: Units) -> None:
    await _candidate(units, NEW)
    await _again(units, units.cut_power)


async def a_stop_by_hand_lasts_until_the_next_boot(units: Units) -> None:
    await units.stop()
    await _again(units, units.reboot)


async def _again(units: Units, end: Callable[[], Awaitable[None]]) -> None:
    units.events.append(DOWN)
    await end()
    await units.until(READY)
    await _still_there(units)


LINES: Final[Sequence[Line]] = (
    a_candidate_outlives_whatever_becomes_of_the_primary,
    one_candidate_takes_the_place_of_another,
    a_candidate_that_ends_is_gone_and_nobody_starts_it_again,
    a_candidate_that_does_not_get_ready_is_not_there,
    a_candidate_that_nobody_ends_is_ended_when_its_time_is_over,
    a_reboot_tells_both_to_end_and_starts_the_primary_alone,
    a_power_cut_ends_both_and_starts_the_primary_alone,
    a_stop_by_hand_lasts_until_the_next_boot,
)
