"""Whether the message plane stores what is put, and not only answers.

A server whose disk was full may go on refusing every write after there is room again, until it is
restarted. Devices cannot tell anyone then: their statuses are what is not stored. So a value of
the operator's own is put beside theirs now and then.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from harmony_fleet.contracts.subjects import STATUS_BUCKET
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.ports import Clock
from harmony_fleet.operator.streams import PROBE

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 15.0
PUT_LIMIT_S: Final = 5.0
PATIENCE: Final = 3
"""Puts that fail in a row before somebody is called; and again after as many more."""


async def _nobody() -> None:
    """Nobody can restart a plane that is not this process's own."""


class Storing:
    def __init__(
        self,
        plane: Plane,
        clock: Clock,
        broken: Callable[[], Awaitable[None]] = _nobody,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`broken` is called where the plane is connected and stores nothing for a while."""
        self._plane, self._clock, self._broken = plane, clock, broken
        self._interval_s = interval_s
        self._failures = 0

    @property
    def stores(self) -> bool:
        """As far as is known."""
        return self._failures == 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            if self._plane.connected:
                await self._try()

    async def _try(self) -> None:
        now, connection = self._clock.now().encode(), self._plane.epoch
        try:
            await keyvalue.put(self._plane, STATUS_BUCKET, PROBE, now, PUT_LIMIT_S)
        except MessagingError as error:
            if not self._plane.connected or self._plane.epoch != connection:
                return  # it was cut off, which says nothing of the disk
            self._failures += 1
            logger.error("the message plane answers and stores nothing: %s; see its disk", error)
            if self._failures % PATIENCE == 0:
                await self._call()
            return
        if self._failures:
            logger.info("the message plane stores again")
        self._failures = 0

    async def _call(self) -> None:
        try:
            await self._broken()
        except Exception:  # the runner: whoever was called must not end the probing
            logger.exception("nothing could be done about it")
