"""Processes on the simulated loop: time, threads, and what is left of one that was killed."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from harmony_fleet.simulation.lives import Killed, SimulatedProcess
from harmony_fleet.simulation.loop import SimulatedLoop, TimeStandsStill

Main = Callable[[SimulatedProcess], Coroutine[Any, Any, int]]


class World:
    def __init__(self, thread_s: float = 0.0) -> None:
        self.loop = SimulatedLoop(lambda: thread_s)  # type: ignore[abstract]
        self.ends: list[int | None] = []
        self.did: list[str] = []
        self.steps_left = 0

    def process(self) -> SimulatedProcess:
        def before(_what: str) -> None:
            if self.steps_left:
                self.steps_left -= 1
                if not self.steps_left:
                    process.kill()

        process = SimulatedProcess(self.loop, "one", Random(1), self.ends.append, before)
        return process

    def act(self, process: SimulatedProcess, what: str) -> None:
        """Something outside of the process."""
        process.step(what)
        self.did.append(what)

    def play(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run(story())
        self.loop.finish()


def test_time_passes_only_where_somebody_waits_for_it() -> None:
    world = World()

    async def story() -> None:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(7200))

    world.play(story)
    assert world.loop.now_s == 7200


def test_what_is_due_at_one_moment_comes_in_the_order_in_which_it_was_asked_for() -> None:
    world = World()

    async def story() -> None:
        for number in range(5):
            world.loop.call_at(1.0, world.did.append, str(number))
        await asyncio.sleep(2)

    world.play(story)
    assert world.did == ["0", "1", "2", "3", "4"]


def test_an_instant_without_an_end_is_found() -> None:
    world = World()

    async def story() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(TimeStandsStill):
        world.loop.run(story())


def test_where_nobody_waits_for_a_moment_nothing_will_ever_happen() -> None:
    world = World()

    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeStandsStill):
        world.loop.run(story())


@pytest.mark.parametrize("thread_s", [0.0, 0.5])
def test_a_thread_does_its_work_also_where_nobody_waits_for_it_any_more(thread_s: float) -> None:
    world = World(thread_s)

    async def story() -> None:
        work = asyncio.ensure_future(asyncio.to_thread(world.did.append, "written"))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.sleep(1)

    world.play(story)
    assert world.did == ["written"]


def test_a_process_ends_with_the_status_that_its_main_returns() -> None:
    world = World()

    async def story() -> None:
        async def main() -> int:
            return 75

        world.process().start(main)
        await asyncio.sleep(1)

    world.play(story)
    assert world.ends == [75]


def test_a_task_that_leaves_takes_its_process_with_it_and_no_other() -> None:
    world = World()

    async def part() -> None:
        raise SystemExit(3)

    async def story() -> None:
        async def main() -> int:
            tasks = [asyncio.create_task(part())]
            await asyncio.wait(tasks)
            await asyncio.sleep(100)
            return 0

        async def other() -> int:
            await asyncio.sleep(5)
            return 0

        world.process().start(main)
        world.process().start(other)
        await asyncio.sleep(10)

    world.play(story)
    assert world.ends == [3, 0]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_process_that_is_killed_between_two_steps_reaches_nothing_any_more(steps: int) -> None:
    world = World()
    world.steps_left = steps

    async def story() -> None:
        process = world.process()

        async def main() -> int:
            try:
                for number in range(5):
                    world.act(process, f"step {number}")
                    await asyncio.sleep(0.1)
            finally:
                world.act(process, "cleaned up")
            return 0

        process.start(main)
        await asyncio.sleep(10)

    world.play(story)
    assert world.did == [f"step {number}" for number in range(steps - 1)]
    assert world.ends == [None]


def test_what_a_program_without_a_loop_does_ends_where_it_is_killed() -> None:
    world = World()
    world.steps_left = 2
    process = world.process()

    def program() -> int:
        for number in range(5):
            world.act(process, f"step {number}")
        return 0

    with pytest.raises(Killed):
        process.run(program)
    assert world.did == ["step 0"]


def test_a_process_that_fell_silent_is_still_there_until_it_is_killed() -> None:
    world = World()

    async def story() -> None:
        process = world.process()

        async def main() -> int:
            while True:
                await asyncio.sleep(1)
                world.act(process, "beat")

        process.start(main)
        await asyncio.sleep(2.5)
        process.silence()
        await asyncio.sleep(5)
        assert world.ends == []
        process.kill()
        await asyncio.sleep(1)

    world.play(story)
    assert world.did == ["beat", "beat"]
    assert world.ends == [None]


def test_an_error_that_nobody_handles_is_kept_and_ends_the_process_with_1() -> None:
    world = World()

    async def story() -> None:
        async def main() -> int:
            raise ValueError("a mistake of ours")

        world.process().start(main)
        await asyncio.sleep(1)

    world.play(story)
    assert world.ends == [1]
    assert "a mistake of ours" in world.loop.complaints[0]
