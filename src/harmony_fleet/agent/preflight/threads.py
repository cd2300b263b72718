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
        self._begun: list[threading.Thread] = []

    @property
    def busy(self) -> bool:
        """Something that was begun, however long ago, has not ended."""
        self._begun = [one for one in self._begun if one.is_alive()]
        return bool(self._begun)

    async def run(self, work: Callable[[], T]) -> T:
        """Its result, or what it raises. Cancelled, the thread goes on to its end by itself."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def tell(say: Callable[[Any], None], value: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(lambda: None if result.done() else say(value))

        def perform() -> None:
            try:
                value = work()
            except Exception as error:  # noqa: BLE001 - the waiter's to judge
                tell(result.set_exception, error)
            else:
                tell(result.set_result, value)

        thread = threading.Thread(target=perform, daemon=True, name="preflight")
        self._begun.append(thread)
        thread.start()
        return await result
