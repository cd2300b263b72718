"""A release that was withdrawn is named by no new order, however the order comes about."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest
from tests.unit.lease_world import OwnClock
from tests.unit.operator_cases import ARTIFACT

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.labels import Label, selector
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.events import AbortOrdered
from harmony_fleet.operator.orders import Orders
from harmony_fleet.operator.records import DeviceRecord, Order
from harmony_fleet.operator.results import ReleaseRefused, ReleaseWithdrawn, UnknownRelease, Wanted
from harmony_fleet.testing.fake_store import FakeStore
from harmony_fleet.testing.store_suite import release

URL: Final = "http://127.0.0.1:7700/artifacts"
CANARIES: Final = selector("ring=canary")
WHY: Final = "it eats memory"
BEFORE: Final = Order("1" * 32, 1, "2.0.0", ARTIFACT, "", phase=AgentUpgradePhase.SUCCEEDED)
RUNS_TWO: Final = DeviceRecord(
    "pi-1",
    "2.0.0",
    replace(BEFORE, from_version="1.0.0"),
    labels=(Label("ring", "canary"),),
    highest=1,
)


class Ids:
    def upgrade_id(self) -> str:
        return "f" * 32

    def nonce(self) -> str:
        return "f" * 16


def played(story: Callable[[FakeStore, Orders], Awaitable[None]]) -> None:
    """Of one device, which runs 2.0.0, and ran 1.0.0 before."""

    async def run() -> None:
        clock = OwnClock()
        store = FakeStore(clock)

        async def current(device_id: str) -> Case:
            found = await store.load(device_id)
            assert found
            return Case(found.record)

        for version in ("1.0.0", "2.0.0", "3.0.0"):
            await store.add_release(release(version))
        await store.save(RUNS_TWO, 0)
        await story(store, Orders(store, clock, Ids(), URL, current))

    asyncio.run(run())


async def withdraw(store: FakeStore, version: str, reason: str | None = WHY) -> None:
    assert await store.withdraw_release(version, reason)


@pytest.mark.parametrize("wanted", [["pi-1"], None, CANARIES], ids=["named", "all", "selected"])
def test_no_upgrade_leads_to_it_and_the_reason_is_said(wanted: Wanted | None) -> None:
    async def story(store: FakeStore, orders: Orders) -> None:
        assert await orders.upgrades(wanted, "3.0.0", retry=False, replace=False)
        await withdraw(store, "3.0.0")
        for retry in (False, True):
            with pytest.raises(ReleaseWithdrawn, match=f"release 3.0.0 was withdrawn: {WHY}"):
                await orders.upgrades(wanted, "3.0.0", retry=retry, replace=True)
        await withdraw(store, "3.0.0", reason=None)
        assert await orders.upgrades(wanted, "3.0.0", retry=False, replace=False)

    played(story)


def test_nor_is_anything_ordered_by_one_that_the_store_refuses() -> None:
    async def story(store: FakeStore, orders: Orders) -> None:
        await store.replace_release(replace(release("3.0.0"), refused="other bytes ran"))
        with pytest.raises(ReleaseRefused, match=r"release 3\.0\.0 cannot be ordered: other bytes"):
            await orders.upgrades(["pi-1"], "3.0.0", retry=False, replace=True)

    played(story)


def test_no_rollback_leads_to_it() -> None:
    async def story(store: FakeStore, orders: Orders) -> None:
        assert (await orders.rollbacks(["pi-1"]))["pi-1"].version == "1.0.0"
        await withdraw(store, "1.0.0")
        with pytest.raises(ReleaseWithdrawn, match=f"release 1.0.0 was withdrawn: {WHY}"):
            await orders.rollbacks(["pi-1"])

    played(story)


def test_no_trial_is_made_of_it() -> None:
    async def story(store: FakeStore, orders: Orders) -> None:
        await withdraw(store, "3.0.0")
        with pytest.raises(ReleaseWithdrawn):
            await orders.trials(["pi-1"], "3.0.0")

    played(story)


def test_what_is_under_way_may_be_aborted_although_its_release_was_withdrawn() -> None:
    async def story(store: FakeStore, orders: Orders) -> None:
        found = await store.load("pi-1")
        assert found
        under_way = replace(BEFORE, phase=AgentUpgradePhase.STAGING, version="3.0.0")
        await store.save(replace(RUNS_TWO, order=under_way), found.revision)
        await withdraw(store, "3.0.0")
        assert await orders.aborts(["pi-1"]) == {"pi-1": AbortOrdered()}

    played(story)


def test_one_that_is_not_there_is_another_matter() -> None:
    async def story(_store: FakeStore, orders: Orders) -> None:
        with pytest.raises(UnknownRelease):
            await orders.upgrades(["pi-1"], "9.0.0", retry=False, replace=False)

    played(story)
