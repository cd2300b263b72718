"""What people ask of a Device and of an AgentRelease by kubectl, and what comes of it."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet
from tests.kube.store_world import connected

from harmony_fleet.operator.kubernetes.objects import Device

pytestmark = pytest.mark.kube

TURNS = 200
MOMENT_S = 0.01


async def up(fleet: KubeFleet, *devices: str) -> None:
    """Releases are there, and the devices were heard."""
    fleet.operator()
    await asyncio.to_thread(fleet.add_releases)
    for name in devices:
        await fleet.until_ready(name)


def reason(fleet: KubeFleet, name: str, kind: str = "Stalled") -> str | None:
    found = fleet.condition(name, kind)
    return found["reason"] if found.get("status") == "True" else None


def test_a_device_that_is_declared_first_is_upgraded_once_it_is_heard(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet)
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.until(lambda: reason(fleet, "pi-1", "Reconciling") == "Unheard")
        fleet.light.add("pi-1")
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.1.0"

    in_fleet(cluster, namespace, tmp_path, use)


def test_where_devices_must_be_declared_one_that_is_not_is_only_told(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        operator = fleet.operator(declared_only=True)
        await fleet.until(lambda: "nobody has declared it" in operator.words())
        assert "pi-1" not in await fleet.run("get", "devices")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1")
        await fleet.until_ready("pi-1")

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_nothing_is_ordered_of_a_paused_device_until_it_is_resumed(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0", paused=True)
        await fleet.until(lambda: fleet.condition("pi-1", "Ready").get("reason") == "Paused")
        assert fleet.phase("pi-1") is None
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0", paused=False)
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.1.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_a_release_that_is_withdrawn_is_not_ordered_and_one_that_comes_later_is(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        withdrawn = json.dumps({"spec": {"withdrawn": {"reason": "it eats the disk"}}})
        await fleet.run("patch", "agentrelease", "1.1.0", "--type=merge", "-p", withdrawn)
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.until(lambda: reason(fleet, "pi-1") == "ReleaseWithdrawn")
        assert "it eats the disk" in await fleet.run("describe", "device", "pi-1")
        await fleet.run("delete", "agentrelease", "1.2.0")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.2.0")
        await fleet.until(lambda: reason(fleet, "pi-1") == "UnknownRelease")
        await asyncio.to_thread(fleet.add_releases, ("1.2.0",))
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.2.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_what_has_failed_is_ordered_again_by_a_new_value_of_retry_alone(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="3.0.0")
        await fleet.until(lambda: reason(fleet, "pi-1") == "RolledBack")
        first = fleet.device("pi-1")["status"]["upgrade"]["upgradeId"]
        await fleet.run("annotate", "device", "pi-1", "note=looked-at")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="3.0.0", retry="again")
        await fleet.until(lambda: len(fleet.device("pi-1")["status"].get("past", [])) == 1)
        await fleet.until(lambda: reason(fleet, "pi-1") == "RolledBack")
        status = fleet.device("pi-1")["status"]
        assert status["past"][0]["upgradeId"] == first
        assert status["upgrade"]["retry"] is True
        assert status["upgrade"]["cause"]["kind"] == "crash_loop", "it was tried again"
        counts = ("get", "events", "-o", "jsonpath={.items[*].reason} {.items[*].series.count}")
        await fleet.until(lambda: fleet.kubectl(*counts) == "RolledBack 2")

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_a_version_asked_for_in_mid_upgrade_takes_the_place_of_the_one_before(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        let_go = fleet.hold("pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.until(lambda: fleet.phase("pi-1") == "Verifying")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.2.0")
        let_go.set()
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.2.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_asking_for_the_version_that_runs_takes_the_order_back(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        let_go = fleet.hold("pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.until(lambda: fleet.phase("pi-1") == "Verifying")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.0.0")
        let_go.set()
        await fleet.until(lambda: fleet.phase("pi-1") in {"Failed", "RolledBack"})
        await fleet.until_ready("pi-1")
        assert fleet.light.devices["pi-1"].running == "1.0.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_of_many_versions_asked_for_in_turn_the_last_one_is_what_stays(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    """An order that was asked for a moment ago does not write its version over another one."""

    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        user = connected(cluster, namespace)
        try:
            for number in range(TURNS):
                version = ("1.2.0", "1.1.0")[number % 2]
                await user.merge(Device, namespace, "pi-1", {"spec": {"version": version}})
                await asyncio.sleep(number % 7 * MOMENT_S)
        finally:
            await user.close()
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        found = await asyncio.to_thread(fleet.device, "pi-1")
        assert found["spec"]["version"] == "1.1.0"
        assert fleet.light.devices["pi-1"].running == "1.1.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")
