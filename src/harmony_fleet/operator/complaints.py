"""What devices say wrongly, logged now and then: a flood of nonsense must not fill the disk."""

import logging
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

QUIET_S: Final = 60.0
"""So long is nothing more said of one device."""


class Complaints:
    """Of each device its first wrong message, and then one in `QUIET_S` with the number of all."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._said_at_s: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def of(self, device_id: str, what: str) -> None:
        now_s, said_at_s = self._monotonic(), self._said_at_s.get(device_id)
        if said_at_s is not None and now_s - said_at_s < QUIET_S:
            self._since[device_id] = self._since.get(device_id, 0) + 1
            return
        more = self._since.pop(device_id, 0)
        self._said_at_s[device_id] = now_s
        logger.warning("%s%s", what, f" (and {more} more of its messages)" if more else "")
