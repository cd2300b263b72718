"""Time that passes only where somebody waits for it: an event loop that never really sleeps.

    run(main())  # asyncio.sleep(3600) in it returns at once, an hour later

Rules
1. Where nothing is ready to run, time jumps to the next moment that somebody waits for.
2. Threads are none: what is given to `asyncio.to_thread` runs at once, in this one, in order.
3. Where nobody waits for a moment and nothing is ready, nothing will ever happen; where something
   is ready again and again, time never passes: both raise TimeStandsStill.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from harmony_fleet.agent.upgrade.boot_time import BootTime

P = ParamSpec("P")
T = TypeVar("T")

TURNS = 20_000
"""Of the loop in one instant: more than any story needs."""


class TimeStandsStill(RuntimeError):
    """Everybody waits for somebody else, or they keep each other busy for ever."""


class _Jump(selectors.DefaultSelector):
    """Waits for nothing but what is ready now; else moves the clock by the time it should wait."""

    now_s = 0.0
    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.turns += 1
        if not ready and timeout is None:
            raise TimeStandsStill("nothing is ready, and nobody waits for a moment to come")
        if self.turns > TURNS:
            self.turns = 0
            raise TimeStandsStill(f"after {TURNS} turns there is still something to do at once")
        if not ready and timeout:
            self.now_s += timeout
            self.turns = 0
        return ready


class _AtOnce(ThreadPoolExecutor):
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is whoever waits for the future that handles it
            future.set_exception(error)
        return future


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.set_default_executor(_AtOnce())

    def time(self) -> float:
        return self._jump.now_s

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """There are no threads to wait for."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in a time of its own that begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


@dataclass
class FakeClock:
    """A ports.Clock whose time is the running loop's, and passes between boots as you say."""

    boot_id: str = "boot-1"
    seconds: float = 0.0
    """Since boot, when the loop's time was 0; without a loop, now."""

    def boot_time(self) -> BootTime:
        return BootTime(self.boot_id, self.seconds + _loop_s())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _loop_s() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0
