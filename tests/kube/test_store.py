"""KubernetesStore keeps the contract of every store, on a real API server."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.store_world import KubernetesWorld, User

from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.operator.records import DeviceRecord, Order
from harmony_fleet.testing import store_suite


@pytest.mark.parametrize("case", store_suite.CASES, ids=store_suite.name)
def test_the_store_keeps_the_contract(
    case: store_suite.Case, cluster: KubeCluster, namespace: str
) -> None:
    async def run() -> None:
        world = KubernetesWorld(cluster, namespace)
        try:
            await world.synced()
            await case(world)
        finally:
            await world.close()

    asyncio.run(run())


def test_an_order_that_the_spec_asked_for_gives_way_to_what_it_asks_for_by_then(
    cluster: KubeCluster, namespace: str
) -> None:
    """One by the API does not: it is written into the spec."""
    artifact = Artifact("http://127.0.0.1:1/a", 1, sha256(b"a").hexdigest())
    order = Order("a" * 32, 1, "1.1.0", artifact, "2026-01-01T00:00:00Z")

    async def run() -> None:
        user = User(cluster, namespace)
        try:
            await user.synced()
            await user.store.save(DeviceRecord("pi-1"), 0)
            await user.cluster.merge(Device, namespace, "pi-1", {"spec": {"version": "1.2.0"}})
            found = await user.store.load("pi-1")
            assert found
            record = replace(found.record, order=order)
            with pytest.raises(StoreError), user.store.following("pi-1", "1.1.0"):
                await user.store.save(record, found.revision)
            assert await user.store.load("pi-1") == found
            await user.store.save(record, found.revision)
            device = await user.cluster.get(Device, namespace, "pi-1")
            assert device
            assert device.spec.version == "1.1.0"
        finally:
            await user.close()

    asyncio.run(run())
