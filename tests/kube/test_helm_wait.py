"""Helm waits for a Device as for a Deployment, by kstatus: `helm upgrade --install --wait`."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet
from tests.kube.test_wishes import up
from tests.unit.kstatus import kstatus

pytestmark = pytest.mark.kube

TEMPLATE = """
apiVersion: harmony-fleet.dev/v1alpha1
kind: Device
metadata:
  name: pi-1
spec:
  version: {{ .Values.version }}
"""


def chart_in(folder: Path) -> Path:
    """Of one Device."""
    chart = folder / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(json.dumps({"apiVersion": "v2", "name": "a", "version": "1"}))
    (chart / "templates/device.yaml").write_text(TEMPLATE)
    return chart


async def installed(
    fleet: KubeFleet, chart: Path, version: str
) -> subprocess.CompletedProcess[str]:
    """Once helm has ended, whatever it says. The Device is there already: it has appeared."""
    return await asyncio.to_thread(
        fleet.kube.helm,
        *("upgrade", "--install", "pi", str(chart), "-n", fleet.namespace, "--timeout=60s"),
        *("--wait=watcher", "--set", f"version={version}", "--take-ownership"),
        check=False,
    )


def test_helm_waits_until_the_device_runs_it_and_no_longer(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        chart, pi = chart_in(tmp_path), fleet.light.devices["pi-1"]
        done = await installed(fleet, chart, "1.0.0")
        assert done.returncode == 0, done.stderr
        let_go = asyncio.Event()
        pi.executor.holds["self_test"] = let_go
        waiting = asyncio.create_task(installed(fleet, chart, "1.1.0"))
        await fleet.until(lambda: fleet.phase("pi-1") == "Verifying")
        assert kstatus(fleet.device("pi-1")) == "InProgress"
        assert not waiting.done()
        let_go.set()
        done = await waiting
        assert done.returncode == 0, done.stderr
        assert (pi.running, kstatus(fleet.device("pi-1"))) == ("1.1.0", "Current")

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_helm_fails_on_a_bad_release_with_its_cause_and_long_before_its_time_is_up(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        chart = chart_in(tmp_path)
        done = await installed(fleet, chart, "3.0.0")
        assert done.returncode != 0
        assert "status: Failed" in done.stderr
        assert "crash_loop" in done.stderr
        assert "deadline" not in done.stderr
        assert fleet.light.devices["pi-1"].running == "1.0.0"
        assert kstatus(fleet.device("pi-1")) == "Failed"
        done = await installed(fleet, chart, "1.1.0")
        assert done.returncode == 0, done.stderr
        assert fleet.condition("pi-1", "Ready")["status"] == "True"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_helm_waits_for_a_release_that_comes_a_moment_after_its_device(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        await fleet.run("delete", "agentrelease", "1.2.0")
        waiting = asyncio.create_task(installed(fleet, chart_in(tmp_path), "1.2.0"))
        await fleet.until(lambda: fleet.condition("pi-1", "Ready").get("reason") == "Ordering")
        await asyncio.to_thread(fleet.add_releases, ("1.2.0",))
        done = await waiting
        assert done.returncode == 0, done.stderr
        assert fleet.light.devices["pi-1"].running == "1.2.0"

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")
