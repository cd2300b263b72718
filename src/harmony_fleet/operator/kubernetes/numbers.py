"""The numbers of all devices' history entries, which grow over all of them: `Numbers`. Pure.

Rules
1. An entry gets its number before it is written, and keeps it.
2. What is on its way may be stored after what got a higher number. Whoever reads on from a number
   is shown none above it until then, and so misses nothing.
3. Who leads after another goes on above it: the numbers begin at a multiple of the cluster's own
   version, which grows by every write, and no device's entries ever go back.
4. A device's number that cannot have come about so is somebody's, who edited its status. It is not
   counted on from: the numbers of all devices would end where the API server takes no higher ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ENTRIES: Final = 1000
"""For one version of the cluster: more than come with one write."""
MOST: Final = 2**53
"""That every reader of JSON keeps exactly."""


class Numbers:
    def __init__(self) -> None:
        self._last = 0
        self._on_their_way: set[int] = set()

    @contextmanager
    def given(self, count: int, version: int, last: int) -> Iterator[int]:
        """The first of so many; they are on their way until this is left.

        `version`: the newest that is known of the cluster; `last`: the device's own last number.
        """
        first = max(self._last, last if last < MOST else 0, version * ENTRIES) + 1
        self._last = first + count - 1
        these = {first} if count else set()
        self._on_their_way |= these
        try:
            yield first
        finally:
            self._on_their_way -= these

    def readable(self, number: int) -> bool:
        """Whether none below it is on its way."""
        return all(number < first for first in self._on_their_way)
