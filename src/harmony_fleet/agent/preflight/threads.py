"""Work that blocks, in threads that the end of this process does not wait for.

A disk that hangs or a name that is not resolved must keep no agent from handing over.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    def __init__(self) -> None:
        self._begun: set[object] = set()
        """One of each work that has not ended. Both sides change it by single steps alone."""

    @property
    def busy(self) -> bool:
        """Something that was begun, however long ago, has not ended."""
        return bool(self._begun)

    async def run(self, work: Callable[[], T]) -> T:
        """Its result, or what it raises. Cancelled, the thread goes on to its end by itself."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._begun.add(result)

        def tell(say: Callable[[Any], None], value: object) -> None:
            self._begun.discard(result)  # first: whoever hears of it may begin the next at once
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(lambda: None if result.done() else say(value))

        def perform() -> None:
            try:
                value = work()
            except Exception as error:  # noqa: BLE001 - the waiter's to judge
                tell(result.set_exception, error)
            else:
                tell(result.set_result, value)

        threading.Thread(target=perform, daemon=True, name="preflight").start()
        return await result
