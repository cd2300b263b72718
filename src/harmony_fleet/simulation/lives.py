"""A process of the simulated world: it runs until it leaves, is killed, or falls silent.

Whatever is outside a process asks `step` before it does something for it. So a process can end
between any two things that it does; and what is left of its code afterwards reaches nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from harmony_fleet.simulation.loop import LIFE, SimulatedLoop

PRUNE_ABOVE = 64


class Killed(BaseException):
    """The process that runs this code is no more. No code of ours may catch it."""


Ended = Callable[[int | None], None]
"""Told the exit status; None: it was killed."""


class SimulatedProcess:
    """A loop's `Life`."""

    def __init__(
        self,
        loop: SimulatedLoop,
        name: str,
        random: Random,
        ended: Ended,
        before: Callable[[str], None],
    ) -> None:
        """`before` is asked before each step with its name, and may kill this, or others."""
        self.name, self.alive = name, True
        self.chance = random.random
        self.tasks: list[asyncio.Task[Any]] = []
        self.loop, self._ended, self._before = loop, ended, before
        self._closing: list[Callable[[], None]] = []
        self._context = loop.outside.copy()
        self._context.run(LIFE.set, self)

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        if len(self.tasks) > PRUNE_ABOVE:
            self.tasks = [one for one in self.tasks if not one.done()]
        self.tasks.append(task)

    def start(self, main: Callable[[], Coroutine[Any, Any, int]]) -> None:
        self.loop.create_task(self._run(main), context=self._context)

    async def _run(self, main: Callable[[], Coroutine[Any, Any, int]]) -> None:
        try:
            status = await main()
        except Exception as error:  # noqa: BLE001 - an interpreter's last word, and status 1
            self.loop.complaints.append(f"{self.name} raised {error!r}")
            status = 1
        self.leaves(status)

    def at_end(self, close: Callable[[], None]) -> None:
        """What the kernel does for it, however it ends."""
        self._closing.append(close)

    def step(self, what: str) -> None:
        """Raises Killed where it is dead, or dies of this."""
        if not self.alive:
            raise Killed
        self._before(what)
        if not self.alive:
            raise Killed

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """As a signal handler does: soon, in the process."""
        if self.alive:
            self.loop.call_soon(callback, *args, context=self._context)

    def run(self, work: Callable[[], int]) -> int:
        """At once, a program without an event loop. Raises Killed."""
        return self._context.run(work)

    def leaves(self, status: object) -> None:
        self._end(status if isinstance(status, int) else 1)

    def kill(self) -> None:
        self._end(None)

    def silence(self) -> None:
        """It goes on to exist, and does nothing any more."""
        self.alive = False
        for task in self.tasks:
            task.cancel()

    def _end(self, status: int | None) -> None:
        ended, self._ended = self._ended, _nobody
        self.silence()
        self._leave_nothing()
        closing, self._closing = self._closing, []
        for close in closing:
            close()
        self.loop.call_soon(ended, status, context=self.loop.outside)

    def _leave_nothing(self) -> None:
        """That holds this one: else it would be the collector's work, and much of it."""
        self.tasks, self._before, self._context = [], _no_more, self.loop.outside


def _no_more(_what: str) -> None:
    """Nothing is asked for a process that has ended."""


def _nobody(_status: int | None) -> None:
    """It was told already."""


def chance_here() -> float:
    """Of the process whose code runs now."""
    process = LIFE.get()
    return process.chance() if isinstance(process, SimulatedProcess) else 0.0
