"""Names that have to be looked at, each by one worker at a time: `WorkQueue`.

Rules, as client-go's work queue has them:
1. A name that waits already is not added twice. One that is added while it is being looked at is
   looked at once more afterwards.
2. What is added to be looked at first, is: before all that waits otherwise.
3. One whose work failed comes back later, each time in a row twice as late, with jitter; success
   forgets that.
https://pkg.go.dev/k8s.io/client-go/util/workqueue
"""

import asyncio
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from harmony_fleet.operator.backoff import doubling_s

K = TypeVar("K", bound=Hashable)

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 60.0


class WorkQueue(Generic[K]):
    def __init__(self) -> None:
        self._first: dict[K, None] = {}
        self._waiting: dict[K, None] = {}
        self._busy: set[K] = set()
        self._again: dict[K, bool] = {}
        """Whether first."""
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._first) + len(self._waiting)

    def add(self, key: K, first: bool = False) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._busy:
            self._again[key] = first or self._again.get(key, False)
            return
        if first:
            self._waiting.pop(key, None)
            self._first[key] = None
        elif key not in self._first:
            self._waiting[key] = None
        self._some.set()

    def add_later(self, key: K, wait_s: float) -> None:
        """Where it is not added sooner."""
        if key in self._first or key in self._waiting or key in self._timers:
            return
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(wait_s, self.add, key)

    async def take(self) -> K:
        """The one that waits longest, of those that are first. `done` or `failed` must follow."""
        while not len(self):
            self._some.clear()
            await self._some.wait()
        waiting = self._first or self._waiting
        key = next(iter(waiting))
        del waiting[key]
        self._busy.add(key)
        return key

    def done(self, key: K) -> None:
        self._failures.pop(key, None)
        self._free(key)

    def failed(self, key: K) -> None:
        """It comes back by itself."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._free(key)
        self.add_later(key, doubling_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S))

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _free(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._again:
            self.add(key, self._again.pop(key))
