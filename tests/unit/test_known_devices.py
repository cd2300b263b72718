"""What an operator knows of devices: read again where somebody else has written, and forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest
from tests.unit.coordinator_cases import FIRST, HEARD, SECOND, after, candidate, ordered, ready
from tests.unit.lease_world import OwnClock

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.events import SightForgotten
from harmony_fleet.operator.known import KnownDevices
from harmony_fleet.operator.ports import NotDeclared, Versioned
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.operator.results import UnknownDevice
from harmony_fleet.testing.fake_store import FakeStore

PLAIN: Final = DeviceRecord("pi-1", "1.0.0", journal_id="journal-1", seq=3)


def played(story: Callable[[FakeStore, KnownDevices], Awaitable[None]]) -> None:
    async def run() -> None:
        store = FakeStore(OwnClock())
        await story(store, KnownDevices(store, OwnClock()))

    asyncio.run(run())


def test_a_device_is_adopted_once_and_found_by_its_name() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        assert "pi-1" not in devices
        assert devices.get("pi-1") is None
        first = await devices.adopt("pi-1")
        assert await devices.adopt("pi-1") is first
        assert list(devices) == ["pi-1"]
        assert devices.known("pi-1") is first
        assert devices.sight("pi-1").heard_age_s is None
        found = await store.load("pi-1")
        assert found
        assert found.record == DeviceRecord("pi-1")

    played(story)


def test_one_that_another_adopts_at_the_same_time_is_read() -> None:
    class Raced(FakeStore):
        async def load(self, device_id: str) -> Versioned | None:
            found = await super().load(device_id)
            if found is None:
                await super().save(PLAIN, 0)
            return found

    async def run() -> None:
        device = await KnownDevices(Raced(OwnClock()), OwnClock()).adopt("pi-1")
        assert device.case.record == PLAIN

    asyncio.run(run())


def test_where_only_declared_devices_are_taken_in_nothing_is_known_of_another() -> None:
    class DeclaredOnly(FakeStore):
        async def save(self, record: DeviceRecord, revision: int, happenings: object = ()) -> int:
            raise NotDeclared(record.device_id)

    async def run() -> None:
        devices = KnownDevices(DeclaredOnly(OwnClock()), OwnClock())
        with pytest.raises(NotDeclared, match=r"pi-1 is heard, and nobody has declared it"):
            await devices.adopt("pi-1")
        assert "pi-1" not in devices

    asyncio.run(run())


def test_what_the_store_held_at_the_start_was_said_before_and_what_it_holds_later_may_not() -> None:
    async def story(_store: FakeStore, devices: KnownDevices) -> None:
        assert devices.take_in(Versioned(PLAIN, 1)).case.heard == ("journal-1", 3)
        unheard = replace(PLAIN, device_id="pi-2", journal_id=None)
        assert devices.take_in(Versioned(unheard, 1)).case.heard is None
        devices.hearing = True
        later = replace(PLAIN, device_id="pi-3")
        assert devices.take_in(Versioned(later, 1)).case.heard is None

    played(story)


def test_what_somebody_else_has_stored_is_learned_and_what_was_seen_stays_seen() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        case = after(HEARD, ordered(), candidate())
        revision = await store.save(case.record, 0)
        device = devices.take_in(Versioned(case.record, revision))
        device.case = case
        theirs = after(case, ready()).record
        again = Versioned(theirs, await store.save(theirs, revision))
        sight = await devices.as_stored(again)
        assert sight.case.record == theirs
        assert sight.case.seen_upgrade == FIRST
        assert device.revision == again.revision
        assert await devices.as_stored(again) == sight

    played(story)


def test_a_store_that_was_set_back_takes_no_generation_from_who_has_seen_it() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        device = await devices.adopt("pi-1")
        newer = await store.save(replace(PLAIN, highest=7), device.revision)
        await devices.looked_again("pi-1")
        older = await store.save(replace(PLAIN, highest=6, seq=2), newer)
        assert (await devices.looked_again("pi-1")).record.highest == 7
        await store.save(replace(PLAIN, highest=1, journal_id="journal-2"), older)
        assert (await devices.looked_again("pi-1")).record.highest == 1

    played(story)


def test_a_stop_of_an_order_that_somebody_else_has_replaced_is_no_more_on_its_way() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        case = after(HEARD, ordered(), ready(), candidate())
        assert case.stop_in_flight
        revision = await store.save(case.record, 0)
        device = devices.take_in(Versioned(case.record, revision))
        device.case = case
        await store.save(after(case, ordered(SECOND, "3.0.0", replace=True)).record, revision)
        assert not (await devices.looked_again("pi-1")).stop_in_flight

    played(story)


def test_a_loss_that_waits_for_its_turn_counts_already() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        case = after(HEARD, ordered(), ready(), candidate())
        device = devices.take_in(Versioned(case.record, await store.save(case.record, 0)))
        device.case = case
        assert (await devices.looked_again("pi-1")).seen_upgrade == FIRST
        device.waiting.put(SightForgotten())
        assert (await devices.looked_again("pi-1")).seen_upgrade is None

    played(story)


def test_one_whose_record_was_removed_is_forgotten_and_may_be_met_anew() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        case = after(HEARD, ordered())
        devices.take_in(Versioned(case.record, await store.save(case.record, 0)))
        store.remove("pi-1")
        with pytest.raises(UnknownDevice):
            await devices.looked_again("pi-1")
        assert "pi-1" not in devices
        with pytest.raises(UnknownDevice):
            await devices.current("pi-1")
        anew = await devices.adopt("pi-1")
        assert anew.case.record == DeviceRecord("pi-1")

    played(story)


def test_one_that_only_another_operator_has_adopted_is_looked_up() -> None:
    async def story(store: FakeStore, devices: KnownDevices) -> None:
        record = after(HEARD, ordered()).record
        await store.save(record, 0)
        found = await devices.current("pi-1")
        assert found.record == record
        assert found.record.order
        assert found.record.order.phase is AgentUpgradePhase.PENDING

    played(story)


def test_forgetting_what_is_not_known_is_nothing() -> None:
    async def story(_store: FakeStore, devices: KnownDevices) -> None:
        devices.forget("pi-1")
        with pytest.raises(UnknownDevice):
            devices.known("pi-1")

    played(story)
