"""A Device that the operator leaves alone says why, and is taken up once that is mended."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet, kube_fleet
from tests.kube.test_permissions import grant
from tests.kube.test_wishes import reason, up
from tests.unit.kstatus import kstatus

from harmony_fleet.operator.kubernetes.names import object_name

pytestmark = pytest.mark.kube


def device(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "harmony-fleet.dev/v1alpha1",
        "kind": "Device",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def test_a_device_under_a_name_that_is_not_its_own_is_stalled_and_says_the_right_one(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet)
        await asyncio.to_thread(
            lambda: fleet.apply("Device", "shop", deviceId="shop_1", version="1.1.0")
        )
        await fleet.until(lambda: reason(fleet, "shop") == "Unusable")
        assert object_name("shop_1") in await fleet.run("describe", "device", "shop")
        assert kstatus(fleet.device("shop")) == "Failed"
        assert "finalizers" not in fleet.device("shop")["metadata"], "nothing holds it"

    in_fleet(cluster, namespace, tmp_path, use)


def test_of_two_devices_for_one_the_younger_is_stalled_until_the_older_has_gone(
    cluster: KubeCluster, namespace: str, new_namespace: Callable[[], str], tmp_path: Path
) -> None:
    """Cluster-wide, so by a name of its own: the devices of other tests are seen as well."""

    async def run() -> None:
        async with kube_fleet(cluster, namespace, tmp_path, ("twin-1",)) as fleet:
            await asyncio.to_thread(grant, cluster, namespace, {"devices": {"allNamespaces": True}})
            fleet.operator(all_namespaces=True)
            await fleet.until_ready("twin-1")
            await younger(fleet, await asyncio.to_thread(new_namespace))

    asyncio.run(run())


async def younger(fleet: KubeFleet, elsewhere: str) -> None:
    here, fleet.namespace = fleet.namespace, elsewhere
    twin = device("twin-1", elsewhere)
    await asyncio.to_thread(fleet.kubectl, "apply", "-f", "-", document=twin)
    await fleet.until(lambda: reason(fleet, "twin-1") == "Twin")
    assert f"in {here} is older" in await fleet.run("describe", "device", "twin-1")
    await fleet.light.devices["twin-1"].power_cut()  # so that no heartbeat makes it looked at
    await fleet.run("delete", "device", "twin-1", "-n", here)
    await fleet.until(lambda: reason(fleet, "twin-1") is None)
