"""A second operator on the same store, which is asked about what it has not heard of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.processes.api_world import unreachable_plane
from tests.processes.fake_device import eventually, fake_device, fake_devices
from tests.processes.nats_fixture import MessagePlane, running_nats, until
from tests.processes.operator_world import (
    BASE_URL,
    KEEN,
    SHA256,
    CountedIds,
    QuickClock,
    World,
    in_world,
    operating,
)

from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, Desired
from harmony_fleet.operator.coordinator import Case, OrderRefused, step
from harmony_fleet.operator.events import AbortOrdered, Event, HeartbeatSeen, Ordered
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.ports import DeviceStore, StoreError
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.operator.results import UnknownDevice
from harmony_fleet.testing.fake_store import FakeStore

P = AgentUpgradePhase


@asynccontextmanager
async def deaf(nats: MessagePlane, store: DeviceStore, other: World) -> AsyncIterator[Operator]:
    """A second operator that hears nothing of what the first one does."""
    operator = Operator(store, unreachable_plane(), other.clock, CountedIds(2000), BASE_URL)
    running = asyncio.create_task(operator.run())
    try:
        await until(lambda: len(operator.sights()) == len(other.operator.sights()))
        yield operator
    finally:
        running.cancel()
        await asyncio.wait({running})


def with_a_deaf_one(
    folder: Path, use: Callable[[World, Operator], Awaitable[None]], *registered: str
) -> None:
    async def run() -> None:
        store = FakeStore(QuickClock())
        async with running_nats(folder) as nats, operating(nats, store) as world:
            for name in registered:
                await world.operator.register(name)
            async with deaf(nats, store, world) as other:
                await use(world, other)

    asyncio.run(run())


def test_an_operator_aborts_an_order_that_it_has_not_heard_of(tmp_path: Path) -> None:
    async def use(world: World, other: Operator) -> None:
        order = await world.upgrade()
        (result,) = await other.abort(["pi-1"])
        assert (result.reason, result.upgrade_id) == (None, order.upgrade_id)
        await eventually(lambda: stored_desire(world, Desired.ABORT))

    with_a_deaf_one(tmp_path, use, "pi-1")


async def stored_desire(world: World, desired: Desired) -> bool:
    found = await world.store.load("pi-1")
    return bool(found and found.record.order and found.record.order.desired is desired)


def test_an_operator_refuses_to_order_over_one_that_it_has_not_heard_of(tmp_path: Path) -> None:
    async def use(world: World, other: Operator) -> None:
        await world.upgrade()
        with pytest.raises(OrderRefused, match="already being upgraded to 2"):
            await other.upgrade(["pi-1"], "3.0.0", retry=False, replace=False)
        (result,) = await other.upgrade(["pi-1"], "3.0.0", retry=False, replace=True)
        assert result.reason is None
        found = await world.store.load("pi-1")
        assert found is not None
        assert [past.version for past in found.record.past] == ["2.0.0"]

    with_a_deaf_one(tmp_path, use, "pi-1")


def test_an_operator_orders_again_where_it_has_not_heard_that_the_last_order_ended(
    tmp_path: Path,
) -> None:
    async def use(world: World, other: Operator) -> None:
        await other.upgrade(["pi-1"], "2.0.0", retry=False, replace=False)
        await world.operator.abort(["pi-1"])
        async with fake_device(world.nats) as device:
            await device.report(await device.ordered(), P.FAILED)
            await world.phase(P.FAILED)
        for names in (["pi-1"], None):
            (result,) = await other.upgrade(names, "3.0.0", retry=False, replace=names is None)
            assert result.reason is None

    with_a_deaf_one(tmp_path, use, "pi-1")


def test_an_operator_orders_to_a_device_that_only_another_one_knows(tmp_path: Path) -> None:
    async def use(world: World, other: Operator) -> None:
        for name in ("pi-1", "pi-2"):
            await world.operator.register(name)
        (result,) = await other.upgrade(["pi-1"], "2.0.0", retry=False, replace=False)
        assert result.reason is None
        results = await other.upgrade(None, "2.0.0", retry=False, replace=True)
        assert [one.device_id for one in results if one.reason is None] == ["pi-1", "pi-2"]
        await other.abort(["pi-2"])
        with pytest.raises(UnknownDevice, match="pi-3"):
            await other.abort(["pi-3"])
        assert await world.store.load("pi-3") is None

    with_a_deaf_one(tmp_path, use)


def test_an_order_that_cannot_be_looked_up_is_given_to_nobody(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        assert isinstance(world.store, FakeStore)
        await world.operator.register("pi-1")
        world.store.broken = StoreError("no disk")
        with pytest.raises(StoreError, match="no disk"):
            await world.operator.abort(["pi-1"])

    in_world(tmp_path, use)


async def stored_by_one_that_died(world: World, device_id: str, event: Event) -> None:
    """In the store, and nothing of it done."""
    found = await world.store.load(device_id)
    case = Case(found.record) if found else Case(DeviceRecord(device_id))
    after, _ = step(case, event)
    await world.store.save(after.record, found.revision if found else 0)


def test_what_another_operator_stored_and_died_with_is_taken_up_and_done(tmp_path: Path) -> None:
    artifact = Artifact(f"{BASE_URL}/agent-2.0.0", 10, SHA256)
    order = Ordered("ab" * 16, "2.0.0", artifact, "now")

    async def use(world: World) -> None:
        async with fake_devices(world.nats, ["known", "unknown"]) as devices:
            await devices[0].beat()
            await until(lambda: world.knows("known"))
            for device in devices:
                await stored_by_one_that_died(world, device.device_id, order)
                await device.ordered(upgrade_id=order.upgrade_id)
                await stored_by_one_that_died(world, device.device_id, AbortOrdered())
                await device.ordered(desired=Desired.ABORT)
                await until(lambda name=device.device_id: world.aborted(name))  # type: ignore[misc]

    in_world(tmp_path, use, KEEN)


def test_a_loss_of_the_plane_while_a_newcomer_is_met_counts_for_it(tmp_path: Path) -> None:
    """Its order is another operator's, and what was seen of it before the loss is old."""
    order = Ordered("ab" * 16, "2.0.0", Artifact(f"{BASE_URL}/a", 10, SHA256), "now")

    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await stored_by_one_that_died(world, "pi-1", order)
            beat = Heartbeat("pi-1", "2.0.0", Role.CANDIDATE, "c", "b", 1, 1000, order.upgrade_id)
            world.operator._saw("pi-1", HeartbeatSeen(beat, live=True))
            world.operator._observer._forget()
            await until(lambda: world.knows("pi-1"))
            await device.beat()
            await until(lambda: world.case("pi-1").heartbeat is not None)
            assert world.case("pi-1").seen_upgrade is None

    in_world(tmp_path, use)
