"""A DeviceStore in memory that keeps the port's promises."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harmony_fleet.operator.ports import Clock, Conflict, ReleaseExists, StoreError, Versioned
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Release

EVENTS_KEPT = 1000
"""For each device, as the port's real adapters do at least."""


@dataclass
class FakeStore:
    clock: Clock
    broken: StoreError | None = None
    """While set, every call raises it and changes nothing."""
    _devices: dict[str, Versioned] = field(default_factory=dict)
    _events: list[DeviceEvent] = field(default_factory=list)
    _releases: dict[str, Release] = field(default_factory=dict)
    _told: int = 0
    _kept: dict[str, int] = field(default_factory=dict)
    """Events, by device."""

    async def load(self, device_id: str) -> Versioned | None:
        self._works()
        return self._devices.get(device_id)

    async def load_all(self) -> Sequence[Versioned]:
        self._works()
        return [self._devices[name] for name in sorted(self._devices)]

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        self._works()
        there = self._devices.get(record.device_id)
        if revision != (there.revision if there else 0):
            raise Conflict(f"{record.device_id} was written by another since it was read")
        self._devices[record.device_id] = Versioned(record, revision + 1)
        for happening in happenings:
            self._tell(record.device_id, happening)
        return revision + 1

    async def events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        self._works()
        wanted = (e for e in self._events if device_id is None or e.device_id == device_id)
        return [event for event in wanted if event.number > after][:limit]

    async def add_release(self, release: Release) -> Release:
        self._works()
        there = self._releases.setdefault(release.version, release)
        if there.sha256 != release.sha256:
            raise ReleaseExists(release.version)
        return there

    async def replace_release(self, release: Release) -> Release:
        there = await self.add_release(release)
        kept = self._releases[release.version] = replace(release, withdrawn=there.withdrawn)
        return kept

    async def withdraw_release(self, version: str, reason: str | None) -> Release | None:
        there = await self.release(version)
        if there is not None:
            there = self._releases[version] = replace(there, withdrawn=reason)
        return there

    async def release(self, version: str) -> Release | None:
        self._works()
        return self._releases.get(version)

    async def releases(self) -> Sequence[Release]:
        self._works()
        return list(self._releases.values())

    def remove(self, device_id: str) -> None:
        """As somebody does who deletes it beside the operator; its history stays."""
        self._devices.pop(device_id, None)

    def _works(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _tell(self, device_id: str, happening: Happening) -> None:
        self._told += 1
        what = (happening.kind, happening.sentence, happening.upgrade_id)
        self._events.append(DeviceEvent(self._told, device_id, self.clock.now(), *what))
        self._kept[device_id] = self._kept.get(device_id, 0) + 1
        if self._kept[device_id] > EVENTS_KEPT:
            self._events.remove(next(one for one in self._events if one.device_id == device_id))
            self._kept[device_id] -= 1
