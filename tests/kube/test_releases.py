"""What an AgentRelease's status says, and what comes of one that is refused."""

import asyncio
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet
from tests.kube.test_wishes import reason, up
from tests.unit.kstatus import kstatus

from harmony_fleet.operator.kubernetes.names import object_name


def found(fleet: KubeFleet, name: str) -> dict[str, Any]:
    one: dict[str, Any] = json.loads(fleet.kubectl("get", "agentrelease", name, "-o", "json"))
    return one


def told(fleet: KubeFleet, name: str) -> str:
    """Its kstatus, and why it is, or is not, Ready."""
    one = found(fleet, name)
    ready = [each for each in one["status"].get("conditions", ()) if each["type"] == "Ready"]
    return f"{kstatus(one)} {ready[0]['reason'] if ready else ''}".strip()


def file_of(text: str) -> dict[str, Any]:
    digest = sha256(text.encode()).hexdigest()
    return {"url": "http://127.0.0.1:1/a", "sizeBytes": len(text), "sha256": digest}


def test_a_release_is_ready_once_the_operator_has_taken_it_in_and_stays_so_withdrawn(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await asyncio.to_thread(fleet.add_releases, ("1.1.0",))
        assert told(fleet, "1.1.0") == "InProgress", "nobody has looked at it"
        fleet.operator()
        await fleet.run("wait", "--for=condition=Ready", "agentrelease/1.1.0", "--timeout=60s")
        assert told(fleet, "1.1.0") == "Current Available"
        withdrawn = json.dumps({"spec": {"withdrawn": {"reason": "it eats the disk"}}})
        await fleet.run("patch", "agentrelease", "1.1.0", "--type=merge", "-p", withdrawn)
        await fleet.until(lambda: told(fleet, "1.1.0") == "Current Withdrawn")
        assert "it eats the disk" in await fleet.run("get", "frel", "1.1.0", "-o", "wide")

    in_fleet(cluster, namespace, tmp_path, use)


def test_bytes_that_changed_behind_a_version_are_refused_and_no_device_gets_them(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1", "pi-2")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
        await replaced(fleet, "1.1.0", file_of("others"))
        await fleet.run("wait", "--for=condition=Stalled", "agentrelease/1.1.0", "--timeout=60s")
        assert told(fleet, "1.1.0") == "Failed BytesChanged"
        assert "ran on pi-1 with other bytes" in await fleet.run("describe", "frel", "1.1.0")
        await asyncio.to_thread(fleet.apply, "Device", "pi-2", version="1.1.0")
        await fleet.until(lambda: reason(fleet, "pi-2") == "ReleaseRefused")
        assert fleet.phase("pi-2") is None
        await replaced(fleet, "1.1.0", file_of("1.1.0"))
        await fleet.run("wait", "--for=condition=Ready", "device/pi-2", "--timeout=60s")
        assert fleet.light.devices["pi-2"].running == "1.1.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1", "pi-2")


async def replaced(fleet: KubeFleet, version: str, file: dict[str, Any]) -> None:
    await fleet.run("delete", "agentrelease", version)
    await asyncio.to_thread(fleet.apply, "AgentRelease", version, version=version, artifacts=[file])


def test_a_release_that_nothing_would_find_says_how_it_has_to_be_called(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        fleet.operator()
        spec = {"version": "2.0.0-RC1", "artifacts": [file_of("a")]}
        await asyncio.to_thread(lambda: fleet.apply("AgentRelease", "candidate", **spec))
        await fleet.until(lambda: told(fleet, "candidate") == "Failed Misnamed")
        name = object_name("2.0.0-RC1")
        assert name in await fleet.run("describe", "agentrelease", "candidate")
        await asyncio.to_thread(lambda: fleet.apply("AgentRelease", name, **spec))
        await fleet.until(lambda: told(fleet, name) == "Current Available")

    in_fleet(cluster, namespace, tmp_path, use)


def test_a_status_is_written_where_it_changes_and_not_again_by_the_next_leader(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet)
        await fleet.until(has_all_taken_in(fleet))
        before = versions(fleet)
        fleet.operators[0].stop()
        second = fleet.operator()
        await fleet.until(lambda: "leads now" in second.words())
        await asyncio.to_thread(
            fleet.apply, "AgentRelease", "9.9.9", version="9.9.9", artifacts=[file_of("a")]
        )
        await fleet.until(lambda: told(fleet, "9.9.9") == "Current Available")
        assert versions(fleet) == before | {"9.9.9": versions(fleet)["9.9.9"]}

    in_fleet(cluster, namespace, tmp_path, use)


def has_all_taken_in(fleet: KubeFleet) -> Callable[[], bool]:
    return lambda: all(told(fleet, name) == "Current Available" for name in versions(fleet))


def versions(fleet: KubeFleet) -> dict[str, str]:
    items = json.loads(fleet.kubectl("get", "agentreleases", "-o", "json"))["items"]
    return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in items}
