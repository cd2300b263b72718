"""What an AgentRelease's status says, and what comes of one that is refused."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet
from tests.kube.store_world import LIMIT_S, connected
from tests.kube.test_wishes import reason, up
from tests.unit.kstatus import kstatus

from harmony_fleet.operator.kubernetes.intake import Intake
from harmony_fleet.operator.kubernetes.mirror import Mirror
from harmony_fleet.operator.kubernetes.names import API_VERSION, object_name
from harmony_fleet.operator.kubernetes.objects import AgentRelease
from harmony_fleet.operator.kubernetes.reflector import Collection, Reflector
from harmony_fleet.operator.system import SystemClock

pytestmark = pytest.mark.kube


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


def test_a_status_is_written_once_for_each_release_whoever_leads(
    cluster: KubeCluster, namespace: str
) -> None:
    """Counted as it is asked for: a write that changes nothing costs as much as another."""

    def applied(version: str) -> None:
        spec = {"version": version, "artifacts": [file_of(version)]}
        document = {
            "apiVersion": "harmony-fleet.dev/v1alpha1",
            "kind": "AgentRelease",
            "metadata": {"name": version, "namespace": namespace},
            "spec": spec,
        }
        cluster.kubectl("apply", "-f", "-", document=json.dumps(document))

    async def run() -> None:
        async with AsyncExitStack() as stack:
            connection = connected(cluster, namespace)
            stack.push_async_callback(connection.close)
            releases: Mirror[AgentRelease] = Mirror()
            path = f"/apis/{API_VERSION}/namespaces/{namespace}/agentreleases"
            collection = Collection(path, AgentRelease)
            await running(stack, Reflector(connection.http, collection, releases).run)
            for writes, version in enumerate(("1.0.0", "2.0.0", "3.0.0"), 1):
                async with AsyncExitStack() as leading:
                    intake = Intake(connection, Mirror(), releases, SystemClock())
                    await running(leading, intake.run)
                    await asyncio.to_thread(applied, version)
                    async with asyncio.timeout(LIMIT_S):
                        while not taken_in(releases.get((namespace, version))):
                            await asyncio.sleep(0.05)
                    assert connection.writes == writes

    asyncio.run(run())


async def running(stack: AsyncExitStack, part: Callable[[], Awaitable[None]]) -> None:
    async def live() -> None:
        await part()

    task = asyncio.create_task(live())

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)


def taken_in(one: AgentRelease | None) -> bool:
    conditions = one.status.conditions if one and one.status else ()
    return any(each.type == "Ready" and each.status == "True" for each in conditions)
