"""Who could not be taken in, and is not tried again at each of its words: `TurnedAway`.

Each time in a row the wait is twice as long, with jitter, so that a store which goes on refusing a
crowd is asked now and then.
"""

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from harmony_fleet.operator.backoff import doubling_s

K = TypeVar("K", bound=Hashable)

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 120.0


class TurnedAway(Generic[K]):
    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until_s: dict[K, float] = {}
        self._times: dict[K, int] = {}

    def __contains__(self, key: K) -> bool:
        """Whether it is too early to try it again."""
        return self._monotonic() < self._until_s.get(key, float("-inf"))

    def add(self, key: K) -> None:
        times = self._times.get(key, 0)
        self._times[key] = times + 1
        wait_s = doubling_s(times, FIRST_WAIT_S, LONGEST_WAIT_S)
        self._until_s[key] = self._monotonic() + wait_s

    def taken_in(self) -> None:
        """Somebody was: all others may be tried again."""
        self._times.clear()
        self._until_s.clear()
