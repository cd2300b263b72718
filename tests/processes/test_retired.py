"""A device that is declared, learned of, deleted, or not to be taken in at all, on a real plane."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.fake_device import FakeDevice, fake_device, fake_devices
from tests.processes.nats_fixture import running_nats, until
from tests.processes.operator_world import (
    PATIENT,
    QuickClock,
    World,
    in_world,
    operating,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Desired
from harmony_fleet.labels import Label
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.ports import NotDeclared, StoreError, Versioned
from harmony_fleet.operator.records import DeviceRecord, Happening
from harmony_fleet.operator.results import UnknownDevice
from harmony_fleet.testing.fake_store import FakeStore

P = AgentUpgradePhase
AWAY = StoreError("the store does not answer")


class DeclaredOnly(FakeStore):
    """Creates nothing by itself, as where devices are declared by their owners."""

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        if revision == 0:
            raise NotDeclared(record.device_id)
        return await super().save(record, revision, happenings)

    async def declare(self, record: DeviceRecord) -> None:
        await super().save(record, 0)


class Full(FakeStore):
    """It takes no new device, as where a quota is used up."""

    full = True
    refused = 0

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        if self.full and revision == 0:
            self.refused += 1
            raise StoreError("exceeded quota")
        return await super().save(record, revision, happenings)


class ReadOnly(FakeStore):
    read_only = False
    listings = 0

    async def load_all(self) -> Sequence[Versioned]:
        self.listings += 1
        return await super().load_all()

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        if self.read_only:
            raise AWAY
        return await super().save(record, revision, happenings)


async def heard(world: World, device: FakeDevice) -> None:
    await device.beat()
    await world.known(device.device_id)


def store_of(world: World) -> FakeStore:
    assert isinstance(world.store, FakeStore)
    return world.store


async def stored(world: World, device_id: str = "pi-1") -> DeviceRecord:
    found = await world.store.load(device_id)
    assert found
    return found.record


async def retired(world: World, device_id: str) -> None:
    """Until a listing takes it in again, whose record still stands in the store."""
    await world.operator.retire(device_id)
    assert not world.knows(device_id)


async def listed(world: World) -> None:
    """None is due any more, as one is after a device was met."""
    await until(lambda: world.operator._observer._soon is None)


def test_one_that_is_retired_is_forgotten_and_met_anew_when_it_is_heard_again(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.operator.retire("pi-1")
            assert not world.knows("pi-1")
            with pytest.raises(UnknownDevice):
                world.operator.sight("pi-1")
            assert await device.marker() is None
            store_of(world).remove("pi-1")
            await heard(world, device)
            await until(lambda: world.case().record.current_version == "1.0.0")
            await world.operator.retire("pi-1")
            await world.operator.retire("pi-1")

    in_world(tmp_path, use)


@pytest.mark.parametrize("phase", [None, P.STAGING, P.CUTOVER_READY])
def test_what_it_was_told_is_taken_back_in_the_store_and_in_the_bucket(
    tmp_path: Path, phase: P | None
) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            if phase is not None:
                await device.report(marker, phase)
                await world.phase(phase)
            await world.operator.retire("pi-1")
            assert not world.knows("pi-1")
            order = (await stored(world)).order
            assert order
            assert order.desired is Desired.ABORT
            found = await device.marker()
            assert found == replace(marker, desired=Desired.ABORT)
            assert device.stops == []

    in_world(tmp_path, use)


def test_many_are_retired_at_once_though_each_ones_writer_is_at_it_as_well(tmp_path: Path) -> None:
    names = [f"pi-{number}" for number in range(30)]

    async def use(world: World) -> None:
        async with fake_devices(world.nats, names) as devices:
            for device in devices:
                await device.beat()
            await world.known(*names)
            markers = {}
            for device in devices:
                await world.upgrade(device.device_id)
                markers[device.device_id] = await device.ordered()
            await asyncio.gather(*(retired(world, name) for name in names))
            for device in devices:
                aborted = replace(markers[device.device_id], desired=Desired.ABORT)
                assert await device.marker() == aborted

    in_world(tmp_path, use)


def test_what_is_committed_is_left_to_end(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await device.report(marker, P.COMMITTED)
            await world.phase(P.COMMITTED)
            await world.operator.retire("pi-1")
            assert not world.knows("pi-1")
            assert await device.marker() == marker

    in_world(tmp_path, use)


def test_one_whose_order_cannot_be_taken_back_in_the_store_is_not_forgotten(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            await device.ordered()
            store_of(world).broken = AWAY
            with pytest.raises(StoreError):
                await world.operator.retire("pi-1")
            assert world.knows("pi-1")
            store_of(world).broken = None
            await world.operator.retire("pi-1")
            assert not world.knows("pi-1")
            assert (await device.ordered()).desired is Desired.ABORT

    in_world(tmp_path, use)


def test_one_that_cannot_be_told_is_not_forgotten_before_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        store = FakeStore(QuickClock())
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store) as world,
        ):
            async with fake_device(nats) as device:
                await heard(world, device)
                await world.upgrade()
                marker = await device.ordered()
            await nats.server.stop()
            await until(lambda: not world.operator.plane_connected)
            with pytest.raises(MessagingError):
                await world.operator.retire("pi-1")
            assert world.knows("pi-1")
            async with running_nats(tmp_path, nats.server.port) as again:
                await until(lambda: world.operator.plane_connected)
                await world.operator.retire("pi-1")
                assert not world.knows("pi-1")
                async with fake_device(again) as device:
                    assert await device.marker() == replace(marker, desired=Desired.ABORT)

    asyncio.run(run())


def test_one_whose_record_was_removed_beside_the_operator_is_forgotten(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            await device.ordered()
            store_of(world).remove("pi-1")
            await world.operator.retire("pi-1")
            assert not world.knows("pi-1")
            await heard(world, device)
            assert (await stored(world)).order is None

    in_world(tmp_path, use)


def test_what_was_told_before_it_was_removed_can_be_told_anew_above_it(tmp_path: Path) -> None:
    """The device has seen a generation, of which a new record knows nothing until it says so."""

    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await device.report(marker, P.FAILED)
            await world.phase(P.FAILED)
            store_of(world).remove("pi-1")
            await world.operator.retire("pi-1")
            await heard(world, device)
            await until(lambda: world.case().record.highest == marker.generation)
            order = await world.upgrade(version="3.0.0")
            assert order.generation > marker.generation

    in_world(tmp_path, use)


def test_what_somebody_else_has_stored_is_learned_at_once(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        declared = DeviceRecord("pi-1", labels=(Label("ring", "canary"),), paused=True)
        await world.store.save(declared, 0)
        found = await world.store.load("pi-1")
        assert found
        assert (await world.operator.learn(found)).case.record == declared
        assert world.knows("pi-1")
        with pytest.raises(OrderRefused, match="is paused"):
            await world.upgrade()
        await world.store.save(replace(declared, paused=False), found.revision)
        again = await world.store.load("pi-1")
        assert again
        await world.operator.learn(again)
        assert (await world.upgrade()).version == "2.0.0"

    in_world(tmp_path, use)


def test_a_pause_is_stored_and_told_and_holds_no_order_back_that_is_under_way(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            (result,) = await world.operator.pause(["pi-1"], True)
            assert (result.reason, result.upgrade_id) == (None, marker.upgrade_id)
            assert (await stored(world)).paused
            await device.cut_over(marker)
            await world.phase(P.COMMITTED)
            await device.finish(marker)
            await world.phase(P.SUCCEEDED)
            with pytest.raises(OrderRefused, match="is paused"):
                await world.upgrade(version="3.0.0")
            (result,) = await world.operator.pause(["pi-1"], False)
            assert (result.reason, result.upgrade_id) == (None, None)
            await world.upgrade(version="3.0.0")
            kinds = [event.kind for event in await world.store.events("pi-1", 0, 100)]
            assert (kinds.count("paused"), kinds.count("resumed")) == (1, 1)
            with pytest.raises(UnknownDevice):
                await world.operator.pause(["pi-1", "pi-2"], True)
            assert not (await stored(world)).paused

    in_world(tmp_path, use)


def test_one_that_nobody_has_declared_is_not_taken_in_and_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        store = DeclaredOnly(QuickClock())
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store, PATIENT) as world,
            fake_device(nats) as device,
            fake_device(nats, "pi-2") as declared,
        ):
            await store.declare(DeviceRecord("pi-2"))
            for _ in range(5):
                await device.beat()
                await device.say()
            await heard(world, declared)
            assert not world.knows("pi-1")
            assert await store.load("pi-1") is None
            with pytest.raises(NotDeclared, match="pi-1 is heard, and nobody has declared it"):
                await world.operator.register("pi-1")
            await store.declare(DeviceRecord("pi-1"))
            await heard(world, device)
            await until(lambda: world.case("pi-1").record.seq == 5)

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    complaints = [one for one in caplog.messages if one.startswith("pi-1 is heard")]
    assert len(complaints) == 1


def test_a_store_that_goes_on_refusing_a_newcomer_is_asked_now_and_then_until_it_takes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        store = Full(QuickClock())
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store, PATIENT) as world,
            fake_device(nats) as device,
        ):
            for _ in range(100):
                await device.beat()
                await device.say()
                await asyncio.sleep(0.02)
            assert 1 <= store.refused <= 6
            store.full = False
            while not world.knows("pi-1"):
                await device.beat()
                await asyncio.sleep(0.1)
            await until(lambda: world.case("pi-1").record.seq == 100)

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert len([one for one in caplog.messages if "is not taken in now" in one]) == 1


def test_while_the_store_goes_on_refusing_what_was_seen_all_is_listed_less_and_less_often(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        store = ReadOnly(QuickClock())
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store, PATIENT) as world,
            fake_device(nats) as device,
        ):
            await heard(world, device)
            store.read_only, store.listings = True, 0
            await device.say()
            await asyncio.sleep(7)
            assert 2 <= store.listings <= 4
            store.read_only = False
            await until(lambda: world.case("pi-1").record.seq == 1)

    asyncio.run(run())


def test_what_was_seen_and_not_stored_is_asked_for_again(tmp_path: Path) -> None:
    """As where what waited to be stored was dropped: somebody else had written the record."""

    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            before = await world.store.load("pi-1")
            await device.report(marker, P.STAGING)
            await world.phase(P.STAGING)
            await listed(world)
            now = await world.store.load("pi-1")
            assert before
            assert now
            await world.store.save(replace(before.record, paused=True), now.revision)
            await world.operator.look_up("pi-1")
            assert world.order().phase is P.PENDING
            world.operator.list_soon()
            await world.phase(P.STAGING)
            assert (await stored(world)).paused

    in_world(tmp_path, use)
