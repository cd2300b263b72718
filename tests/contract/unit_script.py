"""What is done to a service manager, line by line, and what is told of it: the same for each.

A line begins with version 1.0.0 running, the link and `previous` on it, and no candidate; it ends
so too. What it comes to is the order in which things happened, not when: a guard that ended well or
did not, starts, READY, ends by a status or by a signal, the candidate's start and end.
"""

from collections.abc import Awaitable, Callable, Sequence
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
MOMENTS: Final = 100


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
        """Longer than the time between two starts."""

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
        """Whether it got ready. `shortly`: its whole time is over soon."""

    async def stop_candidate(self) -> None: ...

    async def candidate_runs(self) -> bool: ...


Line = Callable[[Units], Awaitable[None]]
READY = f"ready {OLD}"


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


async def a_guard_that_fails_hangs_or_is_missing_blocks_no_start(units: Units) -> None:
    for how in ("fail", "hang"):
        units.next_guard(how)
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
    await _stays_stopped(units)


async def one_that_is_stopped_by_hand_stays_so_until_it_is_started(units: Units) -> None:
    await units.stop()
    await units.stop()
    await _stays_stopped(units)
    units.next_start("hang")
    await units.tell("kill")
    await units.until(f"start {OLD}")
    await units.stop()
    await _stays_stopped(units)
    units.next_guard("hang")
    await units.tell("kill")
    await units.until_guarding()
    await units.stop()
    await _stays_stopped(units)


async def one_that_is_deaf_is_killed_when_its_time_to_stop_is_over(units: Units) -> None:
    await units.tell("deaf")
    await units.stop()
    await _stays_stopped(units)


async def a_start_by_hand_of_one_that_runs_changes_nothing(units: Units) -> None:
    await units.start()
    await units.moment()
    units.events.append(await units.state())


async def what_is_asked_for_while_it_ends_is_done_then(units: Units) -> None:
    for last in (units.start, units.try_restart, units.stop):
        await units.tell("linger")
        await units.stop(wait=False)
        await units.until_told()
        await last()
        await units.until(f"ended {OLD} 0")
        if last != units.start:
            await _stays_stopped(units)
        else:
            await units.until(READY)


async def _stays_stopped(units: Units) -> None:
    """And is started by hand then."""
    await units.moment()
    units.events.append(await units.state())
    await units.start()
    await units.until(READY)


# The candidate


async def a_candidate_outlives_whatever_becomes_of_the_primary(units: Units) -> None:
    await _candidate(units, NEW)
    for how in ("exit 75", "kill"):
        await units.tell(how)
        await units.until(READY)
    await units.restart()
    await units.until(READY)
    await units.stop()
    await _stays_stopped(units)
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
    it_is_started_again_however_it_ends,
    one_that_ends_before_it_is_ready_is_started_again,
    one_that_is_never_ready_is_killed_and_started_again,
    one_that_hangs_is_killed_by_the_watchdog_and_started_again,
    a_guard_that_fails_hangs_or_is_missing_blocks_no_start,
    what_the_guard_links_is_what_starts,
    what_the_primary_links_is_what_starts_when_it_hands_over,
    a_link_that_leads_nowhere_is_tried_until_it_leads_somewhere,
    a_restart_by_hand_ends_and_starts_it_whatever_it_does,
    the_timer_s_restart_ends_and_starts_it_whatever_it_does,
    the_timer_leaves_one_alone_that_was_stopped_by_hand,
    one_that_is_stopped_by_hand_stays_so_until_it_is_started,
    one_that_is_deaf_is_killed_when_its_time_to_stop_is_over,
    a_start_by_hand_of_one_that_runs_changes_nothing,
    what_is_asked_for_while_it_ends_is_done_then,
    a_candidate_outlives_whatever_becomes_of_the_primary,
    one_candidate_takes_the_place_of_another,
    a_candidate_that_ends_is_gone_and_nobody_starts_it_again,
    a_candidate_that_does_not_get_ready_is_not_there,
    a_candidate_that_nobody_ends_is_ended_when_its_time_is_over,
    a_reboot_tells_both_to_end_and_starts_the_primary_alone,
    a_power_cut_ends_both_and_starts_the_primary_alone,
    a_stop_by_hand_lasts_until_the_next_boot,
)
PATIENT: Final[Sequence[Line]] = (
    a_restart_while_it_waits_starts_it_at_once,
    a_restart_while_it_starts_ends_it_and_starts_it_at_once,
    a_restart_while_its_guard_runs_ends_it_and_starts_it_at_once,
    a_stop_while_it_waits_keeps_it_from_being_started,
)
"""For a machine with an hour between an end and the next start."""
BY_HAND: Final[Sequence[Line]] = (a_restart_by_hand_starts_what_was_stopped,)
"""What the local supervisor has no request for."""

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
