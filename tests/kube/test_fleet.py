"""The operator in a cluster, driven by kubectl, with real agents behind a real message plane."""

import asyncio
from pathlib import Path

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet

pytestmark = pytest.mark.kube


def test_a_device_appears_by_itself_and_runs_what_its_spec_says(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        fleet.operator()
        await asyncio.to_thread(fleet.add_releases)
        await fleet.until(lambda: "pi-1" in fleet.kubectl("get", "devices", "-o", "name"))
        await fleet.until_ready("pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.1.0"
        status = fleet.device("pi-1")["status"]
        assert status["currentVersion"] == "1.1.0"
        assert status["upgrade"]["phase"] == "Succeeded"
        assert status["heartbeat"] == "Fresh"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_a_bad_release_ends_stalled_with_its_cause(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        fleet.operator()
        await asyncio.to_thread(fleet.add_releases)
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="3.0.0")
        await fleet.run("wait", "--for=condition=Stalled", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.0.0"
        described = await fleet.run("describe", "device", "pi-1")
        assert "crash_loop" in described
        assert fleet.condition("pi-1", "Ready")["status"] == "False"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")
