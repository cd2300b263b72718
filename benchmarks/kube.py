"""`make bench-kube`: what the operator costs in a cluster, beside the same upgrades on SQLite.

python -m benchmarks.kube [DEVICES [UPGRADES]]

A real API server with its etcd on this machine, the operator's own role, and light devices.
"""

import asyncio
import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from tests.kube.api_server import KubeCluster, kube_cluster
from tests.kube.fleet import KubeFleet, OperatorProcess, kube_fleet
from tests.kube.store_world import User

from benchmarks import fleet
from benchmarks.light import cpu_s, light_devices, rss_mib, until
from benchmarks.light_process import VERSIONS
from benchmarks.table import Figure, print_figure
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.records import DeviceRecord, Order

ROOT = Path(__file__).resolve().parents[1]
DEVICES, UPGRADES = 10_000, 1000
PROBATION_S = 5.0
LIMIT_S = 600.0
SIDE_BY_SIDE = 50
WRITES_GOAL = 4.0
_WRITTEN = re.compile(
    r'apiserver_request_total\{(?=[^}]*group="harmony-fleet.dev")(?=[^}]*verb="(?:POST|PUT|PATCH)")'
    r'(?=[^}]*resource="devices")[^}]*\} (\d+)'
)
_EVENTS = re.compile(
    r'apiserver_request_total\{(?=[^}]*group="events.k8s.io")(?=[^}]*verb="(?:POST|PATCH)")'
    r"[^}]*\} (\d+)"
)


@dataclass(frozen=True, slots=True)
class Written:
    """Requests that the API server has answered so far."""

    devices: int
    events: int


async def measure(devices: int, upgrades: int) -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with kube_cluster(folder / "kube", _programs()) as kube:
            kube.kubectl("apply", "-f", str(ROOT / "deploy/crds"))
            kube.kubectl("wait", "--for=condition=Established", "crd", "--all")
            async for figure in _start(kube, folder, devices):
                yield figure
            async for figure in _upgrades(kube, folder, upgrades):
                yield figure
    async for figure in fleet.measure(upgrades):
        if "ordered to all committed" in figure.what or "CPU per upgrade" in figure.what:
            yield Figure(f"SQLite, {figure.what}", figure.value, figure.unit, note=figure.note)


def _programs() -> Path:
    found = subprocess.run(
        [sys.executable, ROOT / "scripts/kube-assets"], check=True, capture_output=True, text=True
    )
    return Path(found.stdout.strip())


# Start


async def _start(kube: KubeCluster, folder: Path, number: int) -> AsyncIterator[Figure]:
    async with _fleet(kube, folder, "many") as one:
        began_s = time.monotonic()
        await _populate(kube, "many", number)
        note = "created, and their status written"
        yield Figure(f"{number} Devices made", time.monotonic() - began_s, "s", None, note)
        began_s = time.monotonic()
        operator = await asyncio.to_thread(one.operator)
        await _ready(operator)
        yield Figure(f"operator start to ready, {number} Devices", time.monotonic() - began_s, "s")
        assert operator.process is not None
        yield Figure("operator RSS then", rss_mib(operator.process.pid), "MiB")
        yield Figure("operator CPU until then", cpu_s(operator.process.pid), "s")


async def _populate(kube: KubeCluster, namespace: str, number: int) -> None:
    """Each as after one upgrade that succeeded."""
    user = User(kube, namespace)
    try:
        await user.synced()
        waiting = iter(range(number))

        async def work() -> None:
            for n in waiting:
                await user.store.save(_record(f"many-{n}"), 0)

        await asyncio.gather(*(work() for _ in range(SIDE_BY_SIDE)))
    finally:
        await user.close()


def _record(name: str) -> DeviceRecord:
    artifact = Artifact("https://files.example/agent", 5_000_000, "a" * 64)
    now = "2026-01-01T00:00:00.000Z"
    order = Order(
        sha256(name.encode()).hexdigest()[:32],
        1,
        VERSIONS[0],
        artifact,
        now,
        phase=AgentUpgradePhase.SUCCEEDED,
        since=now,
        from_version="1.0.0",
    )
    return DeviceRecord(name, VERSIONS[0], order, (), 1, "journal-1", 7)


async def _ready(operator: OperatorProcess) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:

        async def answers() -> bool:
            url = operator.url()
            if url is None:
                return False
            try:
                return (await http.get(f"{url}/readyz")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        ends_s = time.monotonic() + LIMIT_S
        while not await answers():
            if time.monotonic() > ends_s:
                raise TimeoutError(operator.words()[-2000:])
            await asyncio.sleep(0.05)


# Upgrades


async def _upgrades(kube: KubeCluster, folder: Path, number: int) -> AsyncIterator[Figure]:
    async with _fleet(kube, folder, "fleet") as one:
        await asyncio.to_thread(_releases, one)
        operator = await asyncio.to_thread(one.operator)
        accounts, url = one.light.server.accounts.folder, one.light.server.url
        async with light_devices(folder / "light", accounts, url, number, PROBATION_S):
            user = User(kube, "fleet")
            try:
                await until(lambda: _running(user, VERSIONS[0]) == number, LIMIT_S, operator.words)
                async for figure in _all_at_once(kube, user, operator, number):
                    yield figure
            finally:
                await user.close()


async def _all_at_once(
    kube: KubeCluster, user: User, operator: OperatorProcess, number: int
) -> AsyncIterator[Figure]:
    assert operator.process is not None
    pid = operator.process.pid
    before, cpu_before_s, began_s = _written(kube), cpu_s(pid), time.monotonic()
    await _ask_all(user, VERSIONS[1])
    asked_s = time.monotonic() - began_s
    await until(lambda: _succeeded(user) == number, LIMIT_S, lambda: operator.words()[-2000:])
    took_s = time.monotonic() - began_s
    after, cpu_after_s = _written(kube), cpu_s(pid)
    note = f"asked for in {asked_s:.1f} s, with {PROBATION_S:g} s of probation"
    yield Figure(f"Kubernetes: {number} upgrades to the last verdict", took_s, "s", None, note)
    spent_ms = 1000 * (cpu_after_s - cpu_before_s) / number
    yield Figure("Kubernetes: operator CPU per upgrade", spent_ms, "ms")
    # One of a Device's writes is the user's own.
    devices = (after.devices - before.devices) / number - 1
    events = (after.events - before.events) / number
    yield Figure(
        "Kubernetes: writes of the operator per upgrade",
        devices + events,
        "",
        WRITES_GOAL,
        f"{devices:.3g} of the Device, {events:.3g} of Events",
    )


async def _ask_all(user: User, version: str) -> None:
    waiting = iter(list(user.devices.mirror))

    async def work() -> None:
        for device in waiting:
            known = device.metadata
            patch = {"spec": {"version": version}}
            await user.cluster.merge(Device, known.namespace, known.name, patch)

    await asyncio.gather(*(work() for _ in range(SIDE_BY_SIDE)))


def _running(user: User, version: str) -> int:
    found = (one.status for one in user.devices.mirror)
    return sum(1 for one in found if one and one.current_version == version)


def _succeeded(user: User) -> int:
    found = (one.status.upgrade for one in user.devices.mirror if one.status)
    return sum(1 for one in found if one and one.phase == AgentUpgradePhase.SUCCEEDED)


def _releases(one: KubeFleet) -> None:
    for version in VERSIONS:
        content = version.encode()
        artifact: dict[str, Any] = {
            "url": f"http://127.0.0.1:1/{version}",
            "sizeBytes": len(content),
            "sha256": sha256(content).hexdigest(),
        }
        one.apply("AgentRelease", version, version=version, artifacts=[artifact])


def _written(kube: KubeCluster) -> Written:
    text = kube.kubectl("get", "--raw", "/metrics").stdout
    return Written(sum(map(int, _WRITTEN.findall(text))), sum(map(int, _EVENTS.findall(text))))


@asynccontextmanager
async def _fleet(kube: KubeCluster, folder: Path, namespace: str) -> AsyncIterator[KubeFleet]:
    """A namespace with the operator's account, a message plane, and no device yet."""
    kube.kubectl("create", "namespace", namespace)
    (folder / namespace).mkdir()
    async with kube_fleet(kube, namespace, folder / namespace) as made:
        yield made


async def _main() -> int:
    logging.disable(logging.WARNING)
    numbers = [int(text) for text in sys.argv[1:]] + [DEVICES, UPGRADES][len(sys.argv) - 1 :]
    missed = 0
    async for figure in measure(*numbers[:2]):
        print_figure(figure)
        missed += not figure.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
