"""What has to be looked at: each name by one worker at a time, once, and later where it failed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.operator.kubernetes.work_queue import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    WorkQueue,
)
from harmony_fleet.testing import fake_clock

Queue = WorkQueue[str]


def played(story: Callable[[Queue], Awaitable[None]]) -> None:
    async def run() -> None:
        queue = Queue()
        try:
            await story(queue)
        finally:
            queue.close()

    fake_clock.run(run())


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def taken(queue: Queue) -> list[str]:
    """All that waits now, each done at once."""
    found = []
    while len(queue):
        found.append(await queue.take())
        queue.done(found[-1])
    return found


def test_names_come_in_the_order_in_which_they_were_added_and_none_twice() -> None:
    async def story(queue: Queue) -> None:
        for name in ("b", "a", "b", "c", "a"):
            queue.add(name)
        assert len(queue) == 3
        assert await taken(queue) == ["b", "a", "c"]
        queue.add("a")
        assert await taken(queue) == ["a"], "what was done may come again"

    played(story)


def test_what_is_first_comes_before_all_that_waited_longer() -> None:
    async def story(queue: Queue) -> None:
        for name in "abc":
            queue.add(name)
        queue.add("c", first=True)
        queue.add("d", first=True)
        queue.add("d")
        assert len(queue) == 4
        assert await taken(queue) == ["c", "d", "a", "b"]
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("b")
        queue.add("a", first=True)
        queue.add("a")
        queue.done("a")
        assert await taken(queue) == ["a", "b"], "also where it was added while it was looked at"

    played(story)


def test_who_waits_for_a_name_gets_the_next_one() -> None:
    async def story(queue: Queue) -> None:
        workers = [asyncio.create_task(queue.take()) for _ in range(3)]
        await asyncio.sleep(1)
        queue.add("a")
        queue.add("b")
        await asyncio.wait(workers, timeout=1)
        assert sorted(one.result() for one in workers if one.done()) == ["a", "b"]
        workers[2].cancel()

    played(story)


def test_a_worker_that_is_cancelled_while_it_waits_takes_no_name_with_it() -> None:
    async def story(queue: Queue) -> None:
        gone = asyncio.create_task(queue.take())
        await asyncio.sleep(1)
        queue.add("a")
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        assert await queue.take() == "a"

    played(story)


def test_what_is_added_while_it_is_looked_at_is_looked_at_once_more_afterwards() -> None:
    async def story(queue: Queue) -> None:
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0, "not by another at the same time"
        queue.done("a")
        assert await taken(queue) == ["a"]

    played(story)


def test_what_failed_comes_back_each_time_later_and_success_forgets_that() -> None:
    async def waits_s(queue: Queue, times: int) -> list[float]:
        found = []
        for _ in range(times):
            began_s = now_s()
            await queue.take()
            found.append(now_s() - began_s)
            queue.failed("a")
        return found

    async def story(queue: Queue) -> None:
        queue.add("a")
        first, *rest = await waits_s(queue, 14)
        assert first == 0
        for failures, wait_s in enumerate(rest, 1):
            longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**failures)
            assert longest_s / 2 <= wait_s <= longest_s
        await queue.take()
        queue.done("a")
        queue.add("a")
        await queue.take()
        queue.failed("a")
        assert (await waits_s(queue, 1))[0] <= FIRST_WAIT_S * 2

    played(story)


def test_the_wait_is_bounded_however_often_it_fails() -> None:
    async def story(queue: Queue) -> None:
        queue.add("a")
        for _ in range(2000):
            await queue.take()
            queue.failed("a")
        began_s = now_s()
        await queue.take()
        assert LONGEST_WAIT_S / 2 <= now_s() - began_s <= LONGEST_WAIT_S

    played(story)


def test_what_is_added_anew_need_not_wait_for_its_time() -> None:
    async def story(queue: Queue) -> None:
        queue.add_later("a", 50.0)
        queue.add("a")
        assert await taken(queue) == ["a"]
        await asyncio.sleep(100)
        assert len(queue) == 0, "and does not come a second time then"

    played(story)


def test_what_failed_and_was_added_meanwhile_comes_at_once() -> None:
    async def story(queue: Queue) -> None:
        queue.add("a")
        await queue.take()
        queue.add("a")
        queue.failed("a")
        assert await taken(queue) == ["a"]
        await asyncio.sleep(100)
        assert len(queue) == 0

    played(story)


def test_later_is_not_sooner_than_what_waits_already() -> None:
    async def story(queue: Queue) -> None:
        queue.add_later("a", 5.0)
        queue.add_later("a", 1.0)
        began_s = now_s()
        await queue.take()
        assert now_s() - began_s == pytest.approx(5.0)
        queue.done("a")
        queue.add("b")
        queue.add_later("b", 1.0)
        assert await taken(queue) == ["b"]
        await asyncio.sleep(10)
        assert len(queue) == 0

    played(story)


def test_what_comes_at_its_time_while_it_is_looked_at_comes_again_afterwards() -> None:
    async def story(queue: Queue) -> None:
        queue.add("a")
        await queue.take()
        queue.add_later("a", 1.0)
        await asyncio.sleep(2)
        assert len(queue) == 0
        queue.done("a")
        assert await taken(queue) == ["a"]

    played(story)


def test_after_the_end_nothing_comes_back() -> None:
    async def story(queue: Queue) -> None:
        queue.add("a")
        await queue.take()
        queue.failed("a")
        queue.close()
        await asyncio.sleep(100)
        assert len(queue) == 0

    played(story)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=20),
    st.lists(st.tuples(st.floats(0, 2), st.booleans()), min_size=1, max_size=20),
    st.integers(1, 3),
)
def test_every_name_is_looked_at_after_it_was_added_last_and_by_one_worker_at_a_time(
    added: list[tuple[str, float]], looks: list[tuple[float, bool]], workers: int
) -> None:
    last: dict[str, float] = {}
    looked: dict[str, float] = {}
    busy: Counter[str] = Counter()
    turns = iter(looks * 20)

    async def work(queue: Queue) -> None:
        while True:
            name = await queue.take()
            busy[name] += 1
            assert busy[name] == 1
            looked[name] = now_s()
            seconds, good = next(turns, (0.0, True))
            await asyncio.sleep(seconds)
            busy[name] -= 1
            (queue.done if good else queue.failed)(name)

    async def story(queue: Queue) -> None:
        working = [asyncio.create_task(work(queue)) for _ in range(workers)]
        for name, wait_s in added:
            await asyncio.sleep(wait_s)
            queue.add(name)
            last[name] = now_s()
        await asyncio.sleep(10_000)
        for one in working:
            assert not one.done()
            one.cancel()

    played(story)
    assert looked.keys() == last.keys()
    assert all(looked[name] >= last[name] for name in last)
