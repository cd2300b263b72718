"""What a person orders, as one event for each device it is meant for. Nothing is given here.

Where devices are named, each order is tried on what the store holds before any is handed out: all
of them or none. Devices are looked up in the store, also those that only another operator knows.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.labels import Selector
from harmony_fleet.operator.coordinator import AlreadyRuns, Case, OrderRefused, step
from harmony_fleet.operator.events import AbortOrdered, Ordered, PauseOrdered
from harmony_fleet.operator.ports import Clock, DeviceStore, Ids, Versioned
from harmony_fleet.operator.records import DeviceRecord, Release
from harmony_fleet.operator.results import (
    NothingSelected,
    ReleaseRefused,
    ReleaseWithdrawn,
    UnknownRelease,
    Wanted,
)
from harmony_fleet.operator.way_back import way_back


@dataclass(frozen=True, slots=True)
class Trial:
    """An order that is not given."""

    record: DeviceRecord
    order: Ordered
    python: str
    """What the artifact needs, such as `>=3.11`; empty where nobody here read it."""
    refusal: str | None
    """Why it could not be given now."""
    needless: bool = False
    """The device runs that version already, and nothing else speaks against the order."""

    @classmethod
    def of(cls, case: Case, order: Ordered, python: str) -> "Trial":
        try:
            step(case, order)
        except AlreadyRuns:
            return cls(case.record, order, python, None, needless=True)
        except OrderRefused as refusal:
            return cls(case.record, order, python, str(refusal))
        return cls(case.record, order, python, None)


class Orders:
    """Every method raises StoreError, and NothingSelected for a selector without a device."""

    def __init__(
        self,
        store: DeviceStore,
        clock: Clock,
        ids: Ids,
        artifact_base_url: str,
        current: Callable[[str], Awaitable[Case]],
    ) -> None:
        """`current`: a device as the store has it now. Raises UnknownDevice, StoreError."""
        self._store, self._clock, self._ids, self._current = store, clock, ids, current
        self._artifact_base_url = artifact_base_url.rstrip("/")

    async def upgrades(
        self,
        wanted: Wanted | None,
        version: str,
        retry: bool,
        replace: bool,
        over: str | None = None,
    ) -> dict[str, Ordered]:
        """None: every device. Raises UnknownRelease, ReleaseWithdrawn, ReleaseRefused.

        For named devices UnknownDevice, OrderRefused as well; what is ordered of all devices, or
        of those selected, may still be refused by some.
        """
        artifact = self._file_of(await self._release(version))
        names = await self._names(wanted)
        orders = {name: self._order(version, artifact, retry, replace, over) for name in names}
        if wanted is not None and not isinstance(wanted, Selector):
            for name, order in orders.items():
                step(await self._current(name), order)
        return orders

    async def trials(self, wanted: Wanted | None, version: str) -> Sequence[Trial]:
        """What `upgrades` would order of each device, or why not. No order is to be given by it.

        Raises UnknownRelease, UnknownDevice.
        """
        release = await self._release(version)
        order = self._order(version, self._file_of(release), retry=False, replace=False)
        cases = [await self._current(name) for name in await self._names(wanted)]
        return [Trial.of(case, order, release.python) for case in cases]

    async def rollbacks(self, wanted: Wanted) -> dict[str, Ordered]:
        """Raises UnknownDevice, OrderRefused, UnknownRelease, also for devices selected."""
        orders = {}
        for name in await self._names(wanted):
            case = await self._current(name)
            version = way_back(case.record)
            release = await self._store.release(version)
            if release is None:
                raise UnknownRelease(
                    f"{name} ran {version} before, and there is no release {version} here: add it "
                    f"by `fleet release add FILE`, or choose another version with `fleet upgrade "
                    f"{name} --to VERSION`"
                )
            artifact = self._file_of(_usable(release))
            orders[name] = self._order(version, artifact, retry=False, replace=False)
            step(case, orders[name])
        return orders

    async def aborts(self, wanted: Wanted) -> dict[str, AbortOrdered]:
        """Of those selected, for whatever is under way, which some may still refuse.

        Raises OrderRefused: nothing is under way, or for a named device; UnknownDevice.
        """
        if isinstance(wanted, Selector):
            return dict.fromkeys(await self._busy(wanted), AbortOrdered())
        names = await self._names(wanted)
        for name in names:
            step(await self._current(name), AbortOrdered())
        return dict.fromkeys(names, AbortOrdered())

    async def pauses(self, wanted: Wanted | None, paused: bool) -> dict[str, PauseOrdered]:
        """None: every device. Raises UnknownDevice, for named devices alone."""
        names = await self._names(wanted)
        if wanted is not None and not isinstance(wanted, Selector):
            for name in names:
                await self._current(name)
        return dict.fromkeys(names, PauseOrdered(paused))

    async def select(self, selector: Selector) -> Sequence[Versioned]:
        """By the labels that the store holds now; none is no error here."""
        every = await self._store.load_all()
        return [one for one in every if selector.selects(one.record.labels)]

    async def _names(self, wanted: Wanted | None) -> Sequence[str]:
        if wanted is None:
            return [one.record.device_id for one in await self._store.load_all()]
        if not isinstance(wanted, Selector):
            return list(dict.fromkeys(wanted))
        names = [one.record.device_id for one in await self.select(wanted)]
        if not names:
            raise NothingSelected(wanted)
        return names

    async def _busy(self, selector: Selector) -> Sequence[str]:
        records = [one.record for one in await self.select(selector)]
        if not records:
            raise NothingSelected(selector)
        busy = [one.device_id for one in records if one.order and one.order.open]
        if not busy:
            raise OrderRefused(
                f"no device that {str(selector)!r} selects has an upgrade under way: there is "
                "nothing to abort"
            )
        return busy

    async def _release(self, version: str) -> Release:
        """Raises UnknownRelease, ReleaseWithdrawn, ReleaseRefused."""
        release = await self._store.release(version)
        if release is None:
            raise UnknownRelease(
                f"there is no release {version}: add it by `fleet release add FILE`, or see "
                "`fleet release list`"
            )
        return _usable(release)

    def _file_of(self, release: Release) -> Artifact:
        url = release.url_below(self._artifact_base_url)
        return Artifact(url, release.size_bytes, release.sha256)

    def _order(
        self, version: str, artifact: Artifact, retry: bool, replace: bool, over: str | None = None
    ) -> Ordered:
        upgrade_id, now = self._ids.upgrade_id(), self._clock.now()
        return Ordered(upgrade_id, version, artifact, now, retry, replace, over)


def _usable(release: Release) -> Release:
    """Raises ReleaseWithdrawn, ReleaseRefused."""
    if release.withdrawn is not None:
        raise ReleaseWithdrawn(release.version, release.withdrawn)
    if release.refused is not None:
        raise ReleaseRefused(release.version, release.refused)
    return release
