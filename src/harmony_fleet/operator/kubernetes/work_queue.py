"""Names that have to be looked at, each by one worker at a time: `WorkQueue`.

Rules, as client-go's work queue has them:
1. A name that waits already is not added twice. One that is added while it is being looked at is
   looked at once more afterwards.
2. One whose work failed comes back later, each time in a row twice as late, with jitter; success
   forgets that.
https://pkg.go.dev/k8s.io/client-go/util/workqueue
"""

import asyncio
import random
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 60.0
_DOUBLINGS: Final = 16


class WorkQueue(Generic[K]):
    def __init__(self) -> None:
        self._waiting: dict[K, None] = {}
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._busy:
            self._again.add(key)
            return
        self._waiting[key] = None
        self._some.set()

    def add_later(self, key: K, wait_s: float) -> None:
        """Where it is not added sooner."""
        if key in self._waiting or key in self._timers:
            return
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(wait_s, self.add, key)

    async def take(self) -> K:
        """The one that waits longest. `done` or `failed` must follow."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._busy.add(key)
        return key

    def done(self, key: K) -> None:
        self._failures.pop(key, None)
        self._free(key)

    def failed(self, key: K) -> None:
        """It comes back by itself."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(failures, _DOUBLINGS))
        self._free(key)
        self.add_later(key, random.uniform(longest / 2, longest))

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _free(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
