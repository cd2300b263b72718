"""What every `Leases` does, as plain coroutines that assert: run each one of `CASES`.

You provide a `World` with a Lease that nobody has written yet, for each case.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from harmony_fleet.operator.kubernetes.lease import Held, Leases
from harmony_fleet.operator.ports import Conflict

EARLY, LATE = "2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:02.000001Z"


class World(Protocol):
    @property
    def lease(self) -> Leases: ...

    def another(self) -> Leases:
        """A second user of the same Lease, as another replica is."""

    async def delete(self) -> None:
        """Somebody deletes it by hand."""


Case = Callable[[World], Awaitable[None]]


def held(holder: str = "one", version: str = "") -> Held:
    return Held(holder, EARLY, EARLY, 1, version)


async def what_was_never_written_is_held_by_nobody(world: World) -> None:
    assert await world.lease.read() == Held("", "", "", 0, "")


async def it_is_read_as_it_was_written(world: World) -> None:
    written = await world.lease.write(replace(held(), renewed_at=LATE, transitions=7))
    assert await world.another().read() == written
    assert (written.holder, written.transitions) == ("one", 7)
    assert same_moment(written.renewed_at, LATE)
    assert same_moment(written.acquired_at, EARLY)
    assert written.version


async def every_write_gives_a_version_that_the_next_one_must_name(world: World) -> None:
    first = await world.lease.write(held())
    second = await world.lease.write(replace(first, renewed_at=LATE))
    assert second.version not in {"", first.version}
    await refused(world.lease, replace(first, holder="two"))
    assert await world.lease.read() == second
    third = await world.another().write(replace(second, holder="two", transitions=2))
    assert (await world.lease.read()) == third


async def creating_what_is_there_is_a_conflict(world: World) -> None:
    first = await world.lease.write(held())
    await refused(world.another(), held("two"))
    assert await world.lease.read() == first


async def of_two_who_create_it_one_does(world: World) -> None:
    await of_two_one_writes(world, held("one"), held("two"))


async def of_two_who_take_it_over_one_does(world: World) -> None:
    old = await world.lease.write(held("old"))
    await of_two_one_writes(world, replace(old, holder="one"), replace(old, holder="two"))


async def what_is_given_up_is_held_by_nobody_and_may_be_taken(world: World) -> None:
    ours = await world.lease.write(held())
    free = await world.lease.write(replace(ours, holder="", renewed_at=LATE))
    found = await world.another().read()
    assert (found.holder, found.transitions, found.version) == ("", 1, free.version)
    taken = await world.another().write(replace(found, holder="two", transitions=2))
    assert (await world.lease.read()).holder == taken.holder == "two"


async def one_that_was_deleted_is_made_anew_by_whoever_writes_first(world: World) -> None:
    """Also by one who does not know yet that it was: the API server creates it then."""
    ours = await world.lease.write(held())
    await world.delete()
    assert (await world.another().read()).version == ""
    again = await world.lease.write(replace(ours, renewed_at=LATE))
    assert again.version not in {"", ours.version}
    await refused(world.another(), held("two"))
    await refused(world.lease, ours)
    assert await world.another().read() == again


async def of_two_one_writes(world: World, one: Held, two: Held) -> None:
    users = [world.lease, world.another()]
    writes = [user.write(each) for user, each in zip(users, (one, two), strict=True)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    (written,) = (each for each in outcomes if isinstance(each, Held))
    assert [type(each) for each in outcomes if each is not written] == [Conflict]
    assert await world.lease.read() == written


async def refused(lease: Leases, write: Held) -> None:
    try:
        await lease.write(write)
    except Conflict:
        return
    raise AssertionError(f"a write over version {write.version!r} was taken")


def same_moment(one: str, other: str) -> bool:
    return datetime.fromisoformat(one) == datetime.fromisoformat(other)


def name(case: Case) -> str:
    return getattr(case, "__name__", str(case)).replace("_", " ")


CASES: tuple[Case, ...] = (
    what_was_never_written_is_held_by_nobody,
    it_is_read_as_it_was_written,
    every_write_gives_a_version_that_the_next_one_must_name,
    creating_what_is_there_is_a_conflict,
    of_two_who_create_it_one_does,
    of_two_who_take_it_over_one_does,
    what_is_given_up_is_held_by_nobody_and_may_be_taken,
    one_that_was_deleted_is_made_anew_by_whoever_writes_first,
)
