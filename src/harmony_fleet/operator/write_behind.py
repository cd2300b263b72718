"""A DeviceStore over another one, that writes less often: what devices say is stored in one go.

An upgrade's phases follow each other within seconds, and a cluster's API server is not made for
each of them. Nothing is decided by a stored phase that a device would not say again, so:

Rules
1. What is ordered, and every end of an upgrade, is stored when `save` returns.
2. What a device merely says waits for a moment, for what it says next. Until it is stored it is
   read from here, under the revision of before: to whoever uses this store nothing has changed.
3. Where such a write is refused, another operator was faster: what waited is dropped, and `lost`
   is called. The device says it again, to whoever lists its status.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from harmony_fleet.operator.ports import Clock, Conflict, DeviceStore, StoreError, Versioned
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Release

MOMENT_S: Final = 3.0
AT_ONCE: Final = 4
"""Writes of what was said; the others wait, and are of what is said until then."""
MOST_TOLD: Final = 500
"""Of one device, that wait to be stored: one that says ever new things fills no memory."""
LONGEST_WAIT_S: Final = 60.0
"""Between two tries to store what is refused again and again."""

logger = logging.getLogger(__name__)


async def _at_once() -> None:
    pass


@dataclass
class _Known:
    """One device, as the user of this store knows it, and as the store below does."""

    record: DeviceRecord
    revision: int
    below: int
    """The revision there, of which everything but what waits is."""
    told: list[Happening] = field(default_factory=list)
    waits: bool = False

    @property
    def versioned(self) -> Versioned:
        return Versioned(self.record, self.revision)


class WriteBehind:
    def __init__(
        self,
        store: DeviceStore,
        clock: Clock,
        room: Callable[[], Awaitable[None]] = _at_once,
        moment_s: float = MOMENT_S,
    ) -> None:
        """`room`: waits until a write would go out at once. Nobody is kept from a device for it."""
        self._store, self._clock, self._moment_s = store, clock, moment_s
        self._room, self._lanes = room, asyncio.Semaphore(AT_ONCE)
        self.lost: Callable[[], None] = _nobody
        """Called where what devices said was dropped: it has to be asked for again."""
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def load(self, device_id: str) -> Versioned | None:
        async with self._lock(device_id):
            found = await self._store.load(device_id)
            if found is None:
                self._drop(device_id)
                return None
            known = self._known.get(device_id)
            if known is None or known.below != found.revision:
                known = self._learn(device_id, found)
            return known.versioned

    async def load_all(self) -> Sequence[Versioned]:
        return [self.as_known(found) for found in await self._store.load_all()]

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        async with self._lock(record.device_id):
            known = self._known.get(record.device_id)
            if known is None or revision == 0:
                return await self._create(record, revision, happenings)
            if known.revision != revision:
                raise Conflict(f"{record.device_id} was written by another since it was read")
            if merely_said(known.record, record):
                known.told = [*known.told, *happenings][-MOST_TOLD:]
                known.record, known.waits = record, True
                self._store_soon(record.device_id)
                return revision
            return await self._write(known, record, happenings)

    async def close(self) -> None:
        """What waits is stored, if it can be at once. A write under way comes to its end."""
        for device_id in tuple(self._locks):
            async with self._lock(device_id):
                if task := self._tasks.pop(device_id, None):
                    task.cancel()
                try:
                    await self._flush(device_id)
                except StoreError as error:
                    logger.warning("what %s said last is not stored: %s", device_id, error)

    def waits(self, device_id: str) -> bool:
        """Whether something of this device is still to be stored, and will be."""
        known = self._known.get(device_id)
        return known is not None and known.waits

    async def settled(self, device_id: str) -> None:
        """Returns once no write of this device is on its way."""
        async with self._lock(device_id):
            pass

    async def events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        return await self._store.events(device_id, after, limit)

    async def add_release(self, release: Release) -> Release:
        return await self._store.add_release(release)

    async def replace_release(self, release: Release) -> Release:
        return await self._store.replace_release(release)

    async def withdraw_release(self, version: str, reason: str | None) -> Release | None:
        return await self._store.withdraw_release(version, reason)

    async def release(self, version: str) -> Release | None:
        return await self._store.release(version)

    async def releases(self) -> Sequence[Release]:
        return await self._store.releases()

    # What is known

    def _lock(self, device_id: str) -> asyncio.Lock:
        return self._locks.setdefault(device_id, asyncio.Lock())

    def _learn(self, device_id: str, found: Versioned) -> _Known:
        """Somebody else wrote it, or it is read for the first time."""
        if self._drop(device_id):
            self.lost()
        known = _Known(found.record, found.revision, below=found.revision)
        self._known[device_id] = known
        return known

    def _drop(self, device_id: str) -> bool:
        """Whether something waited."""
        known = self._known.pop(device_id, None)
        return known is not None and known.waits

    def as_known(self, found: Versioned) -> Versioned:
        """What the store below holds, with what waits here, under its revision here.

        Without the device's lock: a write of our own, on its way, may be in it already.
        """
        device_id = found.record.device_id
        known = self._known.get(device_id)
        if known is None:
            return self._learn(device_id, found).versioned
        return (
            known.versioned
            if self._lock(device_id).locked() or (known.below == found.revision)
            else found
        )

    # Writes, each under the device's lock

    async def _create(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening]
    ) -> int:
        below = await self._store.save(record, revision, happenings)
        return self._learn(record.device_id, Versioned(record, below)).revision

    async def _write(
        self, known: _Known, record: DeviceRecord, happenings: Sequence[Happening]
    ) -> int:
        below = await self._store.save(record, known.below, [*known.told, *happenings])
        self._known[record.device_id] = _Known(record, below, below)
        return below

    def _store_soon(self, device_id: str) -> None:
        if device_id not in self._tasks:
            self._tasks[device_id] = asyncio.create_task(self._store_later(device_id))

    async def _store_later(self, device_id: str) -> None:
        wait_s = self._moment_s
        try:
            while True:
                await self._clock.sleep(wait_s)
                wait_s = min(wait_s * 2, max(LONGEST_WAIT_S, self._moment_s))
                try:
                    async with self._lanes:
                        await self._room()
                        async with self._lock(device_id):
                            return await self._flush(device_id)
                except StoreError as error:
                    logger.warning("what %s says cannot be stored yet: %s", device_id, error)
        finally:
            if self._tasks.get(device_id) is asyncio.current_task():
                del self._tasks[device_id]

    async def _flush(self, device_id: str) -> None:
        known = self._known.get(device_id)
        if known is None or not known.waits:
            return
        told, known.told = known.told, []
        try:
            known.below = await self._store.save(known.record, known.below, told)
            known.waits = False
        except Conflict:
            self._drop(device_id)
            self.lost()
        except BaseException:
            known.told = told
            raise


def _nobody() -> None:
    pass


def merely_said(before: DeviceRecord, after: DeviceRecord) -> bool:
    """Whether nothing but a device's own words differs, and no upgrade has ended by them."""
    if (before.past, before.labels, before.paused) != (after.past, after.labels, after.paused):
        return False
    if before.order is None or after.order is None:
        return before.order is after.order
    was, now = before.order, after.order
    if now.phase.final and not was.phase.final:
        return False
    return was == replace(
        now,
        phase=was.phase,
        since=was.since,
        cause=was.cause,
        attempt=was.attempt,
        from_version=was.from_version,
    )
