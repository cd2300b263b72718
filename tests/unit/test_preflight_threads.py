"""Work that blocks: its result comes back, and nobody waits for it who does not want to."""

import asyncio
import subprocess
import sys
import threading

import pytest

from harmony_fleet.agent.preflight.threads import Threads

SOON_S = 10.0


def test_a_result_and_an_error_come_back_from_another_thread() -> None:
    async def run() -> None:
        threads = Threads()
        assert await threads.run(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)

    asyncio.run(run())


def test_who_has_a_result_may_begin_the_next_work_at_once() -> None:
    async def run() -> None:
        threads = Threads()
        for number in range(200):
            assert await threads.run(lambda one=number: one) == number  # type: ignore[misc]
            assert not threads.busy

    asyncio.run(run())


def test_what_nobody_waits_for_any_more_goes_on_and_is_known_to() -> None:
    async def run() -> None:
        threads, end = Threads(), threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(lambda: end.wait(SOON_S))
        assert threads.busy
        end.set()
        async with asyncio.timeout(SOON_S):
            while threads.busy:
                await asyncio.sleep(0.001)

    asyncio.run(run())


HANGING = """
import asyncio, threading
from harmony_fleet.agent.preflight.threads import Threads

async def run():
    begun = threading.Event()
    asyncio.ensure_future(Threads().run(lambda: (begun.set(), threading.Event().wait())))
    while not begun.is_set():
        await asyncio.sleep(0.001)

asyncio.run(run())
"""


def test_a_process_ends_whatever_hangs_in_it() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], timeout=SOON_S, capture_output=True)
    assert ended.returncode == 0, ended.stderr


def test_a_result_that_comes_after_the_loop_has_ended_is_nobodys() -> None:
    end, last = threading.Event(), threading.Event()

    def work() -> None:
        end.wait(SOON_S)
        last.set()

    async def run() -> None:
        begun.append(asyncio.ensure_future(threads.run(work)))
        await asyncio.sleep(0)

    threads = Threads()
    begun: list[asyncio.Future[None]] = []
    asyncio.run(run())
    end.set()
    assert last.wait(SOON_S)
    for thread in threading.enumerate():
        if thread.name == "preflight":
            thread.join(SOON_S)
    assert not threads.busy
