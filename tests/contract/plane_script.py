"""What two operators and a device do over a message plane, line by line, and what comes of it.

A line begins with both operators and the device connected, the streams looked at and empty. Markers
are named by a letter, statuses by a number. Of a heartbeat is told whether it was live.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

FIRST, SECOND = "the first operator", "the second operator"
BOTH: Final = (FIRST, SECOND)
UNKNOWN: Final = "whether the stop was taken is unknown"
ARRIVES, ANSWERED = "the stop arrives", "the answer arrives"


class Return(StrEnum):
    AS_IT_WAS = "is back"
    WITHOUT_LAST_WRITES = "is back without its last writes"
    WITHOUT_LAST_MARKER = "is back without its last marker"
    """The other buckets have lost nothing."""
    EMPTY = "is back, and empty"


class Planes(Protocol):
    events: list[str]

    async def reads(self, who: str) -> None:
        """The marker, and with it the revision that it will compare with."""

    async def writes(self, who: str, marker: str) -> bool:
        """By compare-and-set with what it has read, however long ago: whether it is stored."""

    async def device_reads(self) -> str:
        """The marker, or nothing."""

    async def device_puts(self, seq: int, acknowledged: bool = True) -> None:
        """A status. Its acknowledgement may be lost."""

    async def lists_statuses(self, who: str) -> int:
        """0: there is none."""

    async def beats(self) -> dict[str, bool]:
        """The candidate does. For each operator: whether it heard that, live."""

    async def lists_beats(self, who: str) -> bool:
        """Whether there is one. What is listed is never live."""

    async def stops(self, who: str, answer_lost: bool = False) -> Sequence[str]:
        """It has heard the candidate, and the device is ready."""

    async def disconnects(self, who: str) -> None: ...

    async def connects(self, who: str) -> None: ...

    async def looks(self, who: str) -> None:
        """At the streams, which are there when this returns."""

    async def device_disconnects(self) -> None: ...

    async def device_connects(self) -> None: ...

    async def synced(self) -> None:
        """What was stored until now is not among the last writes."""

    async def outage(self, back: Return) -> None:
        """Nobody is connected then."""


Line = Callable[[Planes], Awaitable[None]]


async def of_two_who_compare_with_the_same_one_writes(planes: Planes) -> None:
    await planes.reads(FIRST)
    await planes.reads(SECOND)
    await _writes(planes, FIRST, "A")
    await _writes(planes, SECOND, "B")
    await _read(planes)
    await planes.reads(SECOND)
    await _writes(planes, SECOND, "B")
    await _writes(planes, FIRST, "C")
    await _read(planes)


async def what_was_read_before_an_outage_still_compares_after_it(planes: Planes) -> None:
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "A")
    await planes.reads(FIRST)
    await _outage(planes, Return.AS_IT_WAS)
    await _read(planes)
    await _writes(planes, FIRST, "B")
    await _read(planes)


async def a_stale_revision_matches_again_once_the_last_write_was_lost(planes: Planes) -> None:
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "A")
    await planes.synced()
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "B")
    await planes.reads(FIRST)
    await _outage(planes, Return.WITHOUT_LAST_WRITES)
    await _read(planes)
    await planes.reads(SECOND)
    await _writes(planes, SECOND, "C")
    await _writes(planes, FIRST, "D")
    await _read(planes)


async def a_revision_of_what_was_lost_matches_nothing_until_it_is_given_out_again(
    planes: Planes,
) -> None:
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "A")
    await planes.reads(FIRST)
    await planes.synced()
    await planes.reads(SECOND)
    await _writes(planes, SECOND, "B")
    await planes.reads(SECOND)
    await _outage(planes, Return.WITHOUT_LAST_WRITES)
    await _writes(planes, SECOND, "C")
    await _read(planes)
    await _writes(planes, FIRST, "D")
    await _read(planes)


async def an_empty_bucket_gives_its_revisions_out_from_the_first(planes: Planes) -> None:
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "A")
    await planes.reads(FIRST)
    await _outage(planes, Return.EMPTY)
    await _read(planes)
    await _writes(planes, FIRST, "B")
    await planes.reads(SECOND)
    await _writes(planes, SECOND, "C")
    await _writes(planes, FIRST, "D")
    await _read(planes)


async def of_statuses_the_newest_alone_is_there_acknowledged_or_not(planes: Planes) -> None:
    await _statuses(planes)
    await planes.device_puts(1)
    await _statuses(planes)
    await planes.device_puts(2, acknowledged=False)
    await _statuses(planes)
    await _outage(planes, Return.AS_IT_WAS)
    await _statuses(planes)
    await _outage(planes, Return.EMPTY)
    await _statuses(planes)


async def one_bucket_may_lose_what_another_keeps(planes: Planes) -> None:
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "A")
    await planes.device_puts(1)
    await planes.synced()
    await planes.reads(FIRST)
    await _writes(planes, FIRST, "B")
    await planes.device_puts(2)
    await _outage(planes, Return.WITHOUT_LAST_MARKER)
    await _read(planes)
    await _statuses(planes)
    await planes.reads(SECOND)
    await _writes(planes, SECOND, "C")
    await _read(planes)


async def a_heartbeat_is_live_only_after_a_look_in_this_connection(planes: Planes) -> None:
    await _beats(planes)
    await planes.disconnects(FIRST)
    await _beats(planes)
    await planes.connects(FIRST)
    await _beats(planes)
    await planes.looks(FIRST)
    await _listed(planes)
    await _beats(planes)


async def a_heartbeat_in_a_newer_stream_is_live_and_the_older_ones_are_gone(planes: Planes) -> None:
    for back in (Return.AS_IT_WAS, Return.EMPTY):
        await _beats(planes)
        await _beats(planes)
        await _outage(planes, back)
        await _listed(planes)
        await _beats(planes)
        await _listed(planes)


async def a_stop_reaches_who_is_connected_then_and_else_nobody(planes: Planes) -> None:
    await _stops(planes)
    await planes.device_disconnects()
    await _stops(planes)
    await planes.device_connects()
    await _stops(planes)


async def an_answer_may_be_lost_and_then_nothing_is_known(planes: Planes) -> None:
    await _stops(planes, answer_lost=True)
    await _stops(planes)


async def _writes(planes: Planes, who: str, marker: str) -> None:
    stored = await planes.writes(who, marker)
    planes.events.append(f"{who} writes {marker}: {'stored' if stored else 'refused'}")


async def _read(planes: Planes) -> None:
    planes.events.append(f"the device reads {await planes.device_reads() or 'nothing'}")


async def _statuses(planes: Planes) -> None:
    planes.events.append(f"status {await planes.lists_statuses(FIRST)} is there")


async def _beats(planes: Planes) -> None:
    heard = await planes.beats()
    planes.events += [f"{who} hears it live: {heard[who]}" for who in BOTH]


async def _listed(planes: Planes) -> None:
    planes.events.append(f"a heartbeat is listed: {await planes.lists_beats(FIRST)}")


async def _stops(planes: Planes, answer_lost: bool = False) -> None:
    planes.events += await planes.stops(FIRST, answer_lost)


async def _outage(planes: Planes, back: Return) -> None:
    await planes.outage(back)
    planes.events.append(f"the plane {back}")
    for who in BOTH:
        await planes.connects(who)
        await planes.looks(who)
    await planes.device_connects()


LINES: Final[Sequence[Line]] = (
    of_two_who_compare_with_the_same_one_writes,
    what_was_read_before_an_outage_still_compares_after_it,
    a_stale_revision_matches_again_once_the_last_write_was_lost,
    a_revision_of_what_was_lost_matches_nothing_until_it_is_given_out_again,
    an_empty_bucket_gives_its_revisions_out_from_the_first,
    of_statuses_the_newest_alone_is_there_acknowledged_or_not,
    one_bucket_may_lose_what_another_keeps,
    a_heartbeat_is_live_only_after_a_look_in_this_connection,
    a_heartbeat_in_a_newer_stream_is_live_and_the_older_ones_are_gone,
    a_stop_reaches_who_is_connected_then_and_else_nobody,
    an_answer_may_be_lost_and_then_nothing_is_known,
)
Told = dict[str, list[str]]


async def play(planes: Planes, line: Line) -> list[str]:
    for who in BOTH:
        await planes.connects(who)
        await planes.looks(who)
    await planes.device_connects()
    await line(planes)
    return planes.events
