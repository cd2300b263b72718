"""Whose write to the API server goes out next: the rate is kept, and the better rank goes first."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.unit.lease_world import OwnClock, now_s

from harmony_fleet.operator.kubernetes.turns import Rank, Turns
from harmony_fleet.testing import fake_clock

RATE, BURST = 10.0, 3


@dataclass
class World:
    turns: Turns = field(default_factory=lambda: Turns(OwnClock(), RATE, BURST))
    went: list[str] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)

    async def write(self, name: str, rank: Rank = Rank.TOLD) -> None:
        await self.turns.take(rank)
        self.went.append(name)
        self.at_s.append(round(now_s(), 2))

    def writing(self, name: str, rank: Rank = Rank.TOLD) -> "asyncio.Task[None]":
        return asyncio.create_task(self.write(name, rank))

    async def busy(self) -> None:
        """No token is left."""
        for _ in range(BURST):
            await self.turns.take(Rank.TOLD)


def played(story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await story(world)
        world.turns.close()

    fake_clock.run(run())


def test_a_burst_goes_out_at_once_and_the_rest_at_the_rate() -> None:
    async def story(world: World) -> None:
        await asyncio.gather(*(world.write(name) for name in "abcdef"))
        assert world.went == list("abcdef")
        assert world.at_s == [0, 0, 0, 0.1, 0.2, 0.3]
        await asyncio.sleep(100)
        await asyncio.gather(*(world.write(name) for name in "abcd"))
        assert world.at_s[-4:] == [100.3, 100.3, 100.3, 100.4], "no more than a burst is saved up"

    played(story)


def test_who_has_the_better_rank_goes_first_and_in_one_rank_who_came_first() -> None:
    async def story(world: World) -> None:
        await world.busy()
        asked = [("n1", Rank.NOTED), ("t1", Rank.TOLD), ("o1", Rank.ORDER)]
        asked += [("t2", Rank.TOLD), ("o2", Rank.ORDER)]
        await asyncio.gather(*(world.write(*one) for one in asked))
        assert world.went == ["o1", "o2", "t1", "t2", "n1"]

    played(story)


def test_the_election_waits_for_nobody() -> None:
    async def story(world: World) -> None:
        await world.busy()
        others = [world.writing(f"o{n}", Rank.ORDER) for n in range(50)]
        await asyncio.sleep(0)
        before_s = now_s()
        await world.write("lease", Rank.ELECTION)
        assert (world.went, now_s()) == (["lease"], before_s)
        await asyncio.gather(*others)

    played(story)


def test_who_is_cancelled_while_he_waits_takes_no_turn_from_the_others() -> None:
    async def story(world: World) -> None:
        await world.busy()
        gone = [world.writing(f"gone-{n}") for n in range(100)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await world.write("here")
        assert (world.went, world.at_s) == (["here"], [0.1])

    played(story)


def test_room_takes_no_turn_and_comes_after_all_who_write() -> None:
    async def story(world: World) -> None:
        await world.busy()

        async def roomy() -> None:
            await world.turns.room()
            world.went.append("room")
            await world.write("mine")

        later = asyncio.create_task(roomy())
        await asyncio.sleep(0)
        others = [world.writing(name) for name in ("a", "b")]
        await asyncio.gather(later, *others)
        assert world.went == ["a", "b", "room", "mine"]
        assert world.at_s == [0.1, 0.2, 0.3]

    played(story)
