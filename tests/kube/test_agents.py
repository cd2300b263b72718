"""Real agents, as processes under the local supervisor: releases good and bad, driven by kubectl.

Only the control plane's programs are between kubectl and the agents: the API server, the operator
under its service account, NATS, and a web server with the releases' files.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from benchmarks.files import served
from demo.processes import processes_of
from demo.releases import build_release
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import TOKEN, KubeFleet, in_fleet

from harmony_fleet.embedded.local_device import stop_supervisor
from harmony_fleet.embedded.start_local import QUICK, Enrolment, LocalDevices, Program
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.release.build import artifact_name
from harmony_fleet.release.manifest import describe

pytestmark = pytest.mark.kube

TIMING = replace(
    QUICK,
    interval_s=0.5,
    quick_interval_s=0.25,
    probation_s=4.0,
    stop_limit_s=20.0,
    starts_allowed=3,
)
OLD, GOOD, MUTE, CRASHING = "1.0.0", "1.1.0", "2.0.0", "3.0.0"
RELEASES = {OLD: None, GOOD: None, MUTE: "never_heartbeats", CRASHING: "crashes_as_primary"}
WAIT = "--timeout=90s"


@dataclass
class Plane:
    """The control plane as `start_local` wants to see it, over the operator's API."""

    url: str

    def register(self, device_id: str, public_key: str) -> Enrolment:
        answer = httpx.post(
            f"{self.url}/api/v1/devices",
            json={"device_id": device_id, "public_key": public_key},
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )
        answer.raise_for_status()
        given = answer.json()
        return Enrolment(given["jwt"], given["nats_url"])

    def heard(self) -> dict[str, str | None]:
        raise NotImplementedError  # kubectl tells here who is heard


@dataclass
class Scene:
    fleet: KubeFleet
    devices: LocalDevices

    def run_by(self, name: str) -> str | None:
        """The version that the device's permanent process runs, read off the process."""
        device = processes_of(self.devices.root(name))
        found = device.scan()
        for agent in found:
            os.close(agent.descriptor)
        return next((agent.version for agent in found if not agent.candidate), None)

    async def wants(self, name: str, version: str) -> None:
        await asyncio.to_thread(self.fleet.apply, "Device", name, version=version)

    async def wait_ready(self, name: str) -> None:
        await self.fleet.run("wait", "--for=condition=Ready", f"device/{name}", WAIT)

    async def wait_stalled(self, name: str) -> str:
        """What kubectl describes then."""
        await self.fleet.run("wait", "--for=condition=Stalled", f"device/{name}", WAIT)
        return await self.fleet.run("describe", "device", name)


@contextmanager
def released(fleet: KubeFleet) -> Iterator[Path]:
    """The releases' files, and an AgentRelease of each."""
    folder = fleet.folder / "releases"
    folder.mkdir()
    with served(folder) as url:
        for version, overlay in RELEASES.items():
            file = build_release(version, folder, overlay)
            made = describe(file)
            artifact = {
                "url": f"{url}/{file.name}",
                "sizeBytes": made.size_bytes,
                "sha256": made.sha256,
            }
            fleet.apply("AgentRelease", version, version=version, artifacts=[artifact])
        yield folder


async def start(scene: Scene, name: str, files: Path) -> None:
    """A device of the old version, with a credential that the operator has signed."""
    operator = scene.fleet.operators[0]
    await scene.fleet.until_leads(operator)
    plane = Plane(str(operator.url()))
    old = Program(OLD, files / artifact_name(OLD))
    make = scene.devices.make
    await asyncio.to_thread(make, plane, name, old, TIMING, plain_file=False)


def test_kubectl_upgrades_real_agents_and_waits_until_they_really_run_it(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        fleet.operator()
        scene = Scene(fleet, LocalDevices(tmp_path / "devices"))
        try:
            with released(fleet) as files:
                await scene.wants("declared", GOOD)
                for name in ("declared", "appears"):
                    await start(scene, name, files)
                await told(scene)
        finally:
            for name in scene.devices.names():
                stop_supervisor(scene.devices.root(name))

    in_fleet(cluster, namespace, tmp_path, use)


async def told(scene: Scene) -> None:
    # Declared first: it is upgraded as soon as it is heard.
    await scene.wait_ready("declared")
    assert scene.run_by("declared") == GOOD
    # One that appears by itself: nothing is asked of it but to be there.
    await scene.fleet.until(lambda: scene.fleet.device("appears") != {})
    await scene.wait_ready("appears")
    assert scene.run_by("appears") == OLD
    # Bad releases: rolled back, and the device goes on with what it ran.
    for version, cause in ((MUTE, "candidate_silent"), (CRASHING, "crash_loop")):
        await scene.wants("appears", version)
        described = await scene.wait_stalled("appears")
        assert f"{cause}: version {version}" in " ".join(described.split())
        assert scene.run_by("appears") == OLD
    assert (await condition(scene, "appears", "Ready")) == "False"
    await scene.wants("appears", GOOD)
    await scene.wait_ready("appears")
    assert scene.run_by("appears") == GOOD
    assert MachineRoot(scene.devices.root("appears")).link.resolve().name.endswith(GOOD)


async def condition(scene: Scene, name: str, kind: str) -> str:
    path = f'jsonpath={{.status.conditions[?(@.type=="{kind}")]}}'
    found: dict[str, str] = json.loads(await scene.fleet.run("get", "device", name, "-o", path))
    return found["status"]
