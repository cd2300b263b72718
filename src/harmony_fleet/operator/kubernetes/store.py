"""The DeviceStore on custom resources: what the operator runs on in a cluster.

Rules
1. A device's record is its Device's status, with `labels` and `paused` from the spec. It is
   compared by what it was written over, and set by the object's resourceVersion: what touches
   neither record nor spec is no conflict.
2. One device is read from the API server. All of them are read from the mirror, which may be late
   by what others have written a moment ago; never by what this process has.
3. An order names its version in the spec as well, whoever gave it: what is asked for is one thing.
   Only an order that the spec itself asked for gives way to what it asks for now.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from harmony_fleet.contracts.upgrade import Desired
from harmony_fleet.operator.kubernetes.cluster import Cluster
from harmony_fleet.operator.kubernetes.conditions import Obstacle
from harmony_fleet.operator.kubernetes.devices import Devices
from harmony_fleet.operator.kubernetes.mapping import (
    ObjectUnusable,
    events_of,
    last_number,
    record_of,
    revision_of,
)
from harmony_fleet.operator.kubernetes.names import FINALIZER, object_name
from harmony_fleet.operator.kubernetes.numbers import Numbers
from harmony_fleet.operator.kubernetes.objects import (
    SCHEMA,
    Device,
    DeviceSpec,
    DeviceStatus,
    DeviceUnderStatus,
    Metadata,
)
from harmony_fleet.operator.kubernetes.releases import KubernetesReleases
from harmony_fleet.operator.kubernetes.render import News, Outlook, left_alone, rendered
from harmony_fleet.operator.kubernetes.turns import Rank
from harmony_fleet.operator.ports import Clock, Conflict, NotDeclared, StoreError, Versioned
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Release

logger = logging.getLogger(__name__)

TRIES: Final = 5
"""Writes of one state, where others touch the object beside it."""

Told = Callable[[Device, Sequence[Happening]], None]
"""Of what has been stored. Must not block."""


def _nobody(_device: Device, _happenings: Sequence[Happening]) -> None:
    pass


class KubernetesStore:
    def __init__(
        self,
        cluster: Cluster,
        devices: Devices,
        clock: Clock,
        declared_only: bool = False,
        told: Told = _nobody,
    ) -> None:
        """`declared_only`: a device that nobody has declared is not taken in."""
        self._cluster, self._devices, self._clock = cluster, devices, clock
        self._declared_only, self._told = declared_only, told
        self._outlooks: dict[str, Outlook] = {}
        self._followed: dict[str, str] = {}
        self._numbers = Numbers()
        self._releases = KubernetesReleases(cluster, clock)

    async def load(self, device_id: str) -> Versioned | None:
        device = await self._find(device_id)
        return None if device is None else Versioned(record_of(device), revision_of(device))

    async def load_all(self) -> Sequence[Versioned]:
        """What cannot be used is left out, and told."""
        found = []
        for device in self._devices.all():
            try:
                found.append(Versioned(record_of(device), revision_of(device)))
            except ObjectUnusable as error:
                logger.error("%s", error)
        return found

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        if revision == 0:
            device = await self._create(record)
            revision = revision_of(device)
            if record_of(device) == record and not happenings:
                return revision
        else:
            device = await self._known(record.device_id)
        for _ in range(TRIES):
            if revision_of(device) != revision:
                break
            outlook = self._outlooks.get(record.device_id, Outlook())
            try:
                written = await self._write(device, News(record, outlook, happenings))
            except Conflict:
                device = await self._again(device)
                continue
            self._told(written, happenings)
            return revision_of(written)
        raise Conflict(f"{record.device_id} was written by another since it was read")

    def see(self, device_id: str, outlook: Outlook) -> None:
        """What is seen of a device beside its record: in its status with the next write of it."""
        self._outlooks[device_id] = outlook

    async def note(self, device_id: str) -> None:
        """Write what was seen last, where the status differs by it. Raises StoreError."""
        outlook = self._outlooks.get(device_id)
        if outlook is None:
            return
        device = self._devices.of(device_id)
        for _ in range(TRIES):
            if device is None:
                return
            status = rendered(device, News(record_of(device), outlook), self._clock.now())
            if status == device.status:
                return
            try:
                await self._put(device, status, Rank.NOTED)
                return
            except Conflict:
                device = await self._read(device.metadata)

    async def leave_alone(self, device: Device, obstacle: Obstacle) -> None:
        """Its status says why, and is written only where it does not say so yet.

        One that a newer operator has written is not touched. Raises Conflict, StoreError.
        """
        if device.status and device.status.schema > SCHEMA:
            return
        status = left_alone(device, obstacle, self._clock.now())
        if status != device.status:
            await self._put(device, status, Rank.NOTED)

    @contextmanager
    def following(self, device_id: str, version: str) -> Iterator[None]:
        """While that version is ordered because the spec asks for it.

        Where it asks for another one by then, that is not written over: the order is not stored,
        which raises StoreError.
        """
        self._followed[device_id] = version
        try:
            yield
        finally:
            del self._followed[device_id]

    def forget(self, device_id: str) -> None:
        self._outlooks.pop(device_id, None)

    async def let_go(self, device: Device) -> None:
        """It may be deleted now: nothing of ours holds it. Raises StoreError."""
        rest = [one for one in device.metadata.finalizers if one != FINALIZER]
        await self._patch(device, {"metadata": {"finalizers": rest}})

    async def hold(self, device: Device) -> Device:
        """It is not deleted before `let_go`. Raises StoreError."""
        if FINALIZER in device.metadata.finalizers or device.metadata.deletion_timestamp:
            return device
        all_of_them = [*device.metadata.finalizers, FINALIZER]
        return await self._patch(device, {"metadata": {"finalizers": all_of_them}})

    async def events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        one = self._devices.of(device_id) if device_id else None
        devices = self._devices.all() if device_id is None else filter(None, [one])
        found = (event for device in devices for event in events_of(device))
        newer = (e for e in found if e.number > after and self._numbers.readable(e.number))
        return sorted(newer, key=lambda e: e.number)[:limit]

    async def add_release(self, release: Release) -> Release:
        return await self._releases.add(release)

    async def replace_release(self, release: Release) -> Release:
        return await self._releases.replace(release)

    async def withdraw_release(self, version: str, reason: str | None) -> Release | None:
        return await self._releases.withdraw(version, reason)

    async def release(self, version: str) -> Release | None:
        return await self._releases.get(version)

    async def releases(self) -> Sequence[Release]:
        return await self._releases.all()

    # Objects

    async def _known(self, device_id: str) -> Device:
        device = self._devices.of(device_id) or await self._find(device_id)
        if device is None:
            raise Conflict(f"there is no Device for {device_id}")
        return device

    async def _find(self, device_id: str) -> Device | None:
        known = self._devices.of(device_id)
        if known is None:
            return await self._read(Metadata(object_name(device_id), self._cluster.namespace))
        return await self._read(known.metadata)

    async def _create(self, record: DeviceRecord) -> Device:
        """Raises Conflict, NotDeclared, StoreError."""
        if self._declared_only:
            raise NotDeclared(record.device_id)
        name = object_name(record.device_id)
        spec = DeviceSpec(
            device_id="" if name == record.device_id else record.device_id,
            labels={label.key: label.value for label in record.labels},
            paused=record.paused,
        )
        new = Metadata(name, self._cluster.namespace, finalizers=(FINALIZER,))
        try:
            device = await self._cluster.create(Device(metadata=new, spec=spec))
        except Conflict:
            await self._read(new)
            raise
        return self._devices.mirror.put(device)

    async def _read(self, known: Metadata) -> Device | None:
        """As it is now; None: it has gone."""
        found = await self._cluster.get(Device, known.namespace, known.name)
        return None if found is None else self._devices.mirror.put(found)

    async def _again(self, device: Device) -> Device:
        found = await self._read(device.metadata)
        if found is None:
            raise Conflict(f"the Device {device.metadata.name} is gone")
        return found

    async def _write(self, device: Device, news: News) -> Device:
        device = await self._ask_for(device, news.record)
        count, newest = len(news.happenings), self._devices.mirror.newest
        with self._numbers.given(count, newest, last_number(device)) as first:
            status = rendered(device, replace(news, first=first), self._clock.now())
            return await self._put(device, status, _rank(device, news.record))

    async def _ask_for(self, device: Device, record: DeviceRecord) -> Device:
        """The spec says what the record does: labels, `paused`, and the version last ordered."""
        spec, before = device.spec, record_of(device)
        wanted: dict[str, Any] = {}
        if record.labels != before.labels:
            labels: dict[str, str | None] = dict.fromkeys(spec.labels)
            wanted["labels"] = labels | {label.key: label.value for label in record.labels}
        if record.paused != before.paused:
            wanted["paused"] = record.paused
        order = record.order
        if order and _new(order.upgrade_id, device) and order.version != spec.version:
            if self._followed.get(record.device_id) == order.version:
                raise StoreError(f"{record.device_id} shall not run {order.version} any more")
            wanted["version"] = order.version
        return await self._patch(device, {"spec": wanted}) if wanted else device

    async def _patch(self, device: Device, patch: dict[str, Any]) -> Device:
        known = device.metadata
        metadata = {**patch.get("metadata", {}), "resourceVersion": known.resource_version}
        patch = {**patch, "metadata": metadata}
        found = await self._cluster.merge(Device, known.namespace, known.name, patch)
        return self._devices.mirror.put(found)

    async def _put(self, device: Device, status: DeviceStatus, rank: Rank) -> Device:
        known = device.metadata
        metadata = Metadata(
            known.name, known.namespace, known.uid, resource_version=known.resource_version
        )
        written = await self._cluster.replace(
            DeviceUnderStatus(metadata=metadata, spec=device.spec, status=status), rank
        )
        return self._devices.mirror.put(
            Device(metadata=written.metadata, spec=written.spec, status=written.status)
        )


def _rank(device: Device, record: DeviceRecord) -> Rank:
    order = record.order
    ordered = order is not None and _new(order.upgrade_id, device)
    asked = ordered or (order is not None and order.open and order.desired is Desired.ABORT)
    return Rank.ORDER if asked else Rank.TOLD


def _new(upgrade_id: str, device: Device) -> bool:
    known = device.status.upgrade if device.status else None
    return known is None or known.upgrade_id != upgrade_id
