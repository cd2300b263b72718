"""What happens to the machine, in order: from outside, from clocks, and from the work under way."""

import asyncio
from collections.abc import Callable, Coroutine

from harmony_fleet.agent.upgrade.events import (
    Event,
    WorkEnded,
)

Post = Callable[[Event], None]


class Inbox:
    """Events from outside and from work, in their order; those of cancelled work are dropped."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[Event | BaseException, int | None]] = asyncio.Queue()
        self._work: asyncio.Task[None] | None = None
        self._number = 0

    def post(self, event: Event) -> None:
        self._queue.put_nowait((event, None))

    def put_later(self, event: Event, seconds: float) -> None:
        """The event that was just taken, again after a while; one of work is still that work's."""
        again = (event, self._number if isinstance(event, WorkEnded) else None)
        asyncio.get_running_loop().call_later(seconds, self._queue.put_nowait, again)

    async def get(self) -> Event:
        """Raises what ended the work under way, where that was no event but a fault of ours."""
        while True:
            event, number = await self._queue.get()
            if number is None or number == self._number:
                if isinstance(event, BaseException):
                    raise event
                return event

    def begin_work(self, work: Callable[[Post], Coroutine[None, None, None]]) -> None:
        """Start a piece of work; what it posts counts until it is cancelled."""
        self._number += 1
        number = self._number

        def post(event: Event) -> None:
            self._queue.put_nowait((event, number))

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._queue.put_nowait((error, number))

        self._work = asyncio.create_task(work(post))
        self._work.add_done_callback(ended)

    async def cancel_work(self) -> None:
        """None runs when this returns, and nothing of it is read any more."""
        self._number += 1
        work, self._work = self._work, None
        if work is not None and not work.done():
            work.cancel()
            await asyncio.wait([work])
