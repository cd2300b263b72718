"""An event loop whose time passes only where somebody waits for it, and whose order is its own.

Rules
1. Where nothing is ready, time jumps to the next moment that somebody waits for. What is due at one
   instant comes in the order in which it was asked for: the same calls give the same story.
2. There are no threads: what is given to one runs in this, at once, or a moment later, so that what
   happens meanwhile can overtake it.
3. Every task belongs to the `Life` in whose context it was made, which can end it without a word.
4. Where one instant has no end, `TimeStandsStill` is raised.
"""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

TURNS = 200_000
"""In one instant: more than any story needs."""


class TimeStandsStill(RuntimeError):
    """Somebody is kept busy for ever, and no time passes."""


class Life(Protocol):
    """A process, to the loop."""

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """It was made in this process."""

    def leaves(self, status: object) -> None:
        """Its code has raised SystemExit."""


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)


class Handle:
    """Something to be called; `cancel` keeps it from being."""

    __slots__ = ("_args", "_callback", "_context", "_when")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: Context,
        when: float = 0.0,
    ) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args, self._context, self._when = args, context, when

    def cancel(self) -> None:
        self._callback, self._args = None, ()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)


Ready = tuple[Callable[..., object], tuple[object, ...], Context]
Timer = tuple[float, int, Handle | None, Callable[..., object], tuple[object, ...], Context]
"""When, in which order, and what; by which it can be cancelled, if it can."""
_DONE: Final = Handle(bool, (), Context())


class SimulatedLoop(asyncio.AbstractEventLoop):
    """What asyncio's tasks, futures and time-outs ask of a loop, and no more."""

    def __init__(self, thread_s: Callable[[], float] = lambda: 0.0) -> None:
        """`thread_s`: how long the next piece of work of a thread takes."""
        self.now_s = 0.0
        self.outside = Context()
        """Nobody's."""
        self.complaints: list[str] = []
        """Errors of tasks that nobody took."""
        self._thread_s = thread_s
        self._ready: deque[Ready] = deque()
        self._timers: list[Timer] = []
        self._number = 0

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Until `main` has ended; what else there is stays where it was."""
        events._set_running_loop(self)
        try:
            task = self.create_task(main)
            self._run_until(task)
            return task.result()
        finally:
            events._set_running_loop(None)

    def finish(self) -> None:
        """What is ready still runs, and whatever that makes ready; nobody waits for a moment."""
        events._set_running_loop(self)
        try:
            while self._ready:
                callback, args, context = self._ready.popleft()
                context.run(callback, *args)
        finally:
            events._set_running_loop(None)
        self._timers.clear()

    def _run_until(self, task: "asyncio.Task[Any]") -> None:
        ready, timers = self._ready, self._timers
        turns = 0
        while not task.done():
            if not ready:
                if not timers:
                    raise TimeStandsStill("nothing is ready, and nobody waits for a moment to come")
                when, _, handle, callback, args, context = heappop(timers)
                if handle is not None and handle._callback is None:
                    continue
                if when > self.now_s:
                    self.now_s, turns = when, 0
            else:
                callback, args, context = ready.popleft()
            turns += 1
            if turns > TURNS:
                raise TimeStandsStill(f"after {TURNS} turns there is still something to do at once")
            try:
                context.run(callback, *args)
            except SystemExit as leaving:
                life = context.get(LIFE)
                if life is None:
                    raise
                life.leaves(leaving.code)

    # What asyncio asks

    def time(self) -> float:
        return self.now_s

    get_debug = staticmethod(bool)
    """False; asked for each future."""

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Handle:
        if context is not None:  # tasks and futures, which never cancel it
            self._ready.append((callback, args, context))
            return _DONE
        handle = Handle(callback, args, copy_context())
        self._ready.append((handle.run, (), handle._context))
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> Handle:
        if context is None:
            context = copy_context()
        handle = Handle(callback, args, context, when)
        self._number += 1
        heappush(self._timers, (when, self._number, handle, callback, args, context))
        return handle

    def post(
        self, when: float, context: Context, callback: Callable[..., object], *args: object
    ) -> None:
        """As `call_at`, for good."""
        self._number += 1
        heappush(self._timers, (when, self._number, None, callback, args, context))

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> Handle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: object = None,  # noqa: ARG002 - counting names would cost more than they tell
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        task = asyncio.Task(coro, loop=self, name="task", context=context)
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is not None:
            life.adopt(task)
        return task

    def run_in_executor(
        self,
        executor: object,  # noqa: ARG002 - there is none
        func: Callable[..., T],
        *args: object,
    ) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self.create_future()
        seconds = self._thread_s()
        if seconds:
            self.call_later(seconds, self._in_thread, future, func, args)
        else:
            self._in_thread(future, func, args)
        return future

    def _in_thread(
        self, future: "asyncio.Future[T]", func: Callable[..., T], args: tuple[object, ...]
    ) -> None:
        """It runs whether or not somebody still waits for it, as in a thread."""
        try:
            result = func(*args)
        except BaseException as error:  # noqa: BLE001 - whoever waits for it handles it
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None or isinstance(error, Exception):
            self.complaints.append(f"{context.get('message')}: {error!r}")
