"""KubernetesStore keeps the contract of every store, on a real API server."""

import asyncio

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.store_world import KubernetesWorld

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
