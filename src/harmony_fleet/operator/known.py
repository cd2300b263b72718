"""The devices that an operator knows: what the store holds of each, and what only memory does.

A record is read again wherever somebody else may have written it. What was seen stays seen: it is
remembered for one upgrade_id, and counts for no other. Nothing is decided here.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.ports import Clock, Conflict, DeviceStore, Versioned
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.operator.results import UnknownDevice
from harmony_fleet.operator.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Sight:
    case: Case
    heard_age_s: float | None
    """Seconds since the primary was last heard by this operator; None: never."""


@dataclass
class KnownDevice:
    case: Case
    revision: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    heard_at_s: float | None = None
    waiting: Waiting = field(default_factory=Waiting)
    """Sightings that a later one must not overtake; each has a task that takes the oldest."""

    @property
    def free(self) -> bool:
        return not self.waiting and not self.lock.locked()


class KnownDevices:
    """Every method that is awaited raises StoreError."""

    def __init__(self, store: DeviceStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._devices: dict[str, KnownDevice] = {}
        self.hearing = False
        """Set once devices are heard: what the store holds of one is then no older word of its."""

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._devices

    def __iter__(self) -> Iterator[str]:
        """Device ids, by which each was met."""
        return iter(self._devices)

    def get(self, device_id: str) -> KnownDevice | None:
        return self._devices.get(device_id)

    def known(self, device_id: str) -> KnownDevice:
        """Raises UnknownDevice."""
        device = self._devices.get(device_id)
        if device is None:
            raise UnknownDevice(device_id)
        return device

    def sight(self, device_id: str) -> Sight:
        """Raises UnknownDevice."""
        device = self.known(device_id)
        heard = device.heard_at_s
        return Sight(device.case, None if heard is None else self._clock.monotonic() - heard)

    def forget(self, device_id: str) -> None:
        """Idempotent."""
        self._devices.pop(device_id, None)

    async def adopt(self, device_id: str) -> KnownDevice:
        """A device that was declared, or that shows itself with credentials of this fleet.

        Raises NotDeclared.
        """
        stored = await self._store.load(device_id)
        if stored is None:
            record = DeviceRecord(device_id)
            try:
                stored = Versioned(record, await self._store.save(record, 0))
            except Conflict:
                return await self.adopt(device_id)
        return self.take_in(stored)

    def take_in(self, stored: Versioned) -> KnownDevice:
        """The device that is known by that name, as it is; else a new one."""
        record = stored.record
        told = None if self.hearing or not record.journal_id else (record.journal_id, record.seq)
        new = KnownDevice(Case(record, heard=told), stored.revision)
        return self._devices.setdefault(stored.record.device_id, new)

    async def reload(self, device: KnownDevice) -> None:
        """Take what the store holds, where somebody else has written it since. Under the lock.

        Raises UnknownDevice: somebody has removed it, and it is forgotten; what is heard of it from
        now on is of a new one.
        """
        case = device.case
        stored = await self._store.load(case.record.device_id)
        if stored is None:
            self.forget(case.record.device_id)
            raise UnknownDevice(case.record.device_id)
        if stored.revision == device.revision:
            return
        device.revision, device.case = stored.revision, read_again(case, stored.record)

    async def looked_again(self, device_id: str) -> Case:
        """What the store wants of this device now. Raises UnknownDevice."""
        device = self.known(device_id)
        async with device.lock:
            await self.reload(device)
        # A loss of the plane that waits for its turn counts already: what was seen is old.
        return replace(device.case, seen_upgrade=None) if device.waiting.loss else device.case

    async def as_stored(self, found: Versioned) -> Sight:
        """Read again only where another revision is held here."""
        device = self.take_in(found)
        if device.revision != found.revision:
            async with device.lock:
                await self.reload(device)
        return self.sight(found.record.device_id)

    async def current(self, device_id: str) -> Case:
        """Looked up in the store, also where only another operator has adopted the device.

        Raises UnknownDevice.
        """
        if device_id not in self._devices:
            if await self._store.load(device_id) is None:
                raise UnknownDevice(device_id)
            await self.adopt(device_id)
        return await self.looked_again(device_id)


def read_again(case: Case, stored: DeviceRecord) -> Case:
    """What is known of a device whose record somebody else has written."""
    record = _above(case.record.highest, case.record.journal_id, stored)
    if _order_id(stored) != _order_id(case.record):
        case = replace(case, stop_in_flight=False, unanswered=0)
    return replace(case, record=record)


def _above(highest: int, journal_id: str | None, stored: DeviceRecord) -> DeviceRecord:
    """A device never forgets a generation of its journal, and ignores an order that is not above.

    So neither does who has seen it, where a store was set back: restored from a backup, or edited.
    """
    if stored.journal_id != journal_id or stored.highest >= highest:
        return stored
    return replace(stored, highest=highest)


def _order_id(record: DeviceRecord) -> str | None:
    return record.order.upgrade_id if record.order else None
