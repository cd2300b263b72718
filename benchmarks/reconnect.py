"""The message plane is killed for a while and comes back, with what it had stored or with nothing.

How long from its return until everything is in step again: every device heard by the operator, its
status said again, the upgrades that it had taken up committed, and the markers of those that are
open where they belong. And how hard the devices knock once it is back, at production's backoff.
"""

import asyncio
import shutil
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from benchmarks.control_plane import add_light_releases
from benchmarks.light import LightProcesses, light_devices, names, until
from benchmarks.light_process import VERSIONS
from benchmarks.table import Figure
from benchmarks.world import World, world
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import Marker
from harmony_fleet.embedded.up import RECONNECTS
from harmony_fleet.messaging.keyvalue import Entry
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.streams import list_bucket

NUMBERS = (5, 500)
AWAY_S = 5.0
PROBATION_S = 2.0
SOON_S = 60.0
SETTLED_S = 11.0
"""A connection that lasted so long is steady: its loss begins with the shortest delay."""
LIST_S = 0.25
LOOK_OFTEN_S = 0.005
"""An upgrade can be over in a quarter of a second."""
TAKEN_SHARE = 0.5
"""Of the upgrades ordered: so many devices have taken theirs up when the server is lost."""
MANY = 100
WORST_SHARE = 2 / 3
"""Of so many devices, in the worst second: all in one second would be a herd."""
DECIDED = (Phase.COMMITTED, Phase.SUCCEEDED)


async def measure(numbers: tuple[int, ...] = NUMBERS) -> AsyncIterator[Figure]:
    for number in numbers:
        async with world(RECONNECTS.longest_retry_s) as ready:
            await add_light_releases(ready.store)
            where = ready.folder / "nats/accounts", ready.nats.url
            light = light_devices(ready.folder / "light", *where, number, PROBATION_S)
            async with light as devices:
                await _all_heard(ready, number)
                for kept in (True, False):
                    for figure in await _outage(ready, devices, number, kept):
                        yield figure


async def _all_heard(world: World, number: int) -> None:
    await until(lambda: _heard(world, SOON_S) == number, SOON_S, lambda: "every device heard")


async def _outage(
    world: World, devices: LightProcesses, number: int, kept: bool
) -> tuple[Figure, Figure]:
    await asyncio.sleep(SETTLED_S)
    moving = names(number)[:: 5 if number >= MANY else 1]  # of few one is past before a look
    under_way = await _under_way(world, moving, VERSIONS[kept])
    began_s = time.monotonic()
    await world.lose_nats()
    await asyncio.sleep(AWAY_S)
    if not kept:
        shutil.rmtree(world.folder / "nats/jetstream")
    back_s, back = time.monotonic(), datetime.now(UTC)
    await world.nats_again()
    heard_s, stored_s, decided_s = await _in_step(world, under_way, names(number), back)
    attempts_s = [s for s in await devices.attempts_s() if s > began_s]
    what = f"reconnect: {number} devices, {'with its data' if kept else 'empty'}"
    note = (
        f"all heard {heard_s:.1f} s, statuses said again and markers there {stored_s:.1f} s, the "
        f"{len(under_way)} upgrades that devices had taken up committed {decided_s:.1f} s"
    )
    in_step = Figure(f"{what}: in step", max(heard_s, stored_s, decided_s), "s", None, note)
    ended = partial(_all_ended, world, moving)
    await until(ended, SOON_S, lambda: "the upgrades ended")
    return in_step, knocking(what, attempts_s, back_s, number)


def knocking(what: str, attempts_s: Sequence[float], back_s: float, number: int) -> Figure:
    """The worst second once the server is back, by the instants since it was lost, in order."""
    worst = most_in_a_second([s for s in attempts_s if s >= back_s])
    while_away = most_in_a_second([s for s in attempts_s if s < back_s])
    note = f"{while_away} while it was away, for {AWAY_S:g} s; {len(attempts_s)} in all"
    goal = WORST_SHARE * number if number >= MANY else None
    return Figure(f"{what}: attempts in a second, once back", worst, "", goal, note)


async def _under_way(world: World, moving: list[str], version: str) -> list[str]:
    """Order it; those whose device has taken it up and not committed, once there are enough."""
    await world.operator.upgrade(moving, version, retry=False, replace=False)
    ends_s = time.monotonic() + SOON_S
    while time.monotonic() < ends_s:
        taken = [name for name in moving if _phase(world, name) is not Phase.PENDING]
        found = [name for name in taken if _phase(world, name) not in DECIDED]
        if found and len(taken) >= TAKEN_SHARE * len(moving):
            return found
        await asyncio.sleep(LOOK_OFTEN_S)
    raise TimeoutError(f"no upgrade of {len(moving)} was under way")


async def _in_step(
    world: World, under_way: list[str], devices: list[str], back: datetime
) -> tuple[float, float, float]:
    """Seconds from now until all are heard, all is stored, all is committed."""
    began_s = time.monotonic()

    def heard() -> bool:
        return _heard(world, time.monotonic() - began_s) == len(devices)

    def decided() -> bool:
        return all(_phase(world, name) in DECIDED for name in under_way)

    async def timed(wait: Awaitable[None]) -> float:
        await wait
        return time.monotonic() - began_s

    return await asyncio.gather(
        timed(until(heard, SOON_S, lambda: "every device heard")),
        timed(_stored(world, devices, back)),
        timed(until(decided, SOON_S, lambda: "the upgrades committed")),
    )


async def _stored(world: World, devices: list[str], back: datetime) -> None:
    ends_s = time.monotonic() + SOON_S
    while not await _all_there(world, devices, back):
        if time.monotonic() > ends_s:
            raise TimeoutError("statuses or markers are missing from their buckets")
        await asyncio.sleep(LIST_S)


async def _all_there(world: World, devices: list[str], back: datetime) -> bool:
    try:
        statuses = await list_bucket(world.plane, subjects.STATUS_BUCKET)
        markers = dict(await list_bucket(world.plane, subjects.MARKER_BUCKET))
    except MessagingError:  # it is not back, or its streams are not made yet
        return False
    records = [sight.case.record for sight in world.operator.sights()]
    wanted = {r.device_id: r.order.marker(r.device_id) for r in records if r.order and r.order.open}
    there = all(
        name in markers and codec.decode(Marker, markers[name].value) == marker
        for name, marker in wanted.items()
    )
    return there and said_since(statuses, back) >= set(devices)


def said_since(statuses: Iterable[tuple[str, Entry]], back: datetime) -> set[str]:
    """Whose status is stored, but for those that are there from before."""
    return {name for name, entry in statuses if datetime.fromisoformat(entry.created) >= back}


def _heard(world: World, within_s: float) -> int:
    ages_s = [sight.heard_age_s for sight in world.operator.sights()]
    return sum(age_s is not None and age_s <= within_s for age_s in ages_s)


def _phase(world: World, name: str) -> Phase:
    order = world.operator.sight(name).case.record.order
    assert order is not None
    return order.phase


def _all_ended(world: World, moving: list[str]) -> bool:
    return all(_phase(world, name).final for name in moving)


def most_in_a_second(instants_s: Sequence[float]) -> int:
    """Of the ordered instants: how many fell into the second that had the most."""
    ends = (bisect_left(instants_s, begin_s + 1.0) for begin_s in instants_s)
    return max((end - begin for begin, end in enumerate(ends)), default=0)
