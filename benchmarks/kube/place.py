"""A real API server for measuring, and fleets in it: each in a namespace with its operators."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx
from tests.kube.api_server import KubeCluster, kube_cluster
from tests.kube.fleet import KubeFleet, OperatorProcess, kube_fleet
from tests.kube.store_world import User

from benchmarks.light import light_devices
from benchmarks.light_process import VERSIONS
from harmony_fleet.operator.kubernetes.objects import Device

ROOT = Path(__file__).resolve().parents[2]
SIDE_BY_SIDE = 50
START_LIMIT_S = 120.0
LOOK_AGAIN_S = 0.05


class NoPrograms(Exception):
    """There is no API server to measure with. The text says why."""


def programs() -> Path:
    """Built where they are missing. Raises NoPrograms."""
    argv = [sys.executable, str(ROOT / "scripts/kube-assets")]
    found = subprocess.run(argv, check=False, capture_output=True, text=True)
    if found.returncode:
        raise NoPrograms(found.stderr.strip().splitlines()[-1])
    return Path(found.stdout.strip())


@contextmanager
def cluster(folder: Path, built: Path) -> Iterator[KubeCluster]:
    """With our definitions."""
    folder.mkdir()
    with kube_cluster(folder, built) as kube:
        kube.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy/kustomize/crds"))
        kube.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield kube


@dataclass(frozen=True, slots=True)
class Grounds:
    """A fleet's namespace, as its operators and a user see it."""

    kube: KubeCluster
    fleet: KubeFleet
    user: User
    folder: Path

    async def operator(self) -> OperatorProcess:
        """One more replica, which answers that it is ready."""
        made = self.fleet.operator()  # not in a thread: an interrupt would leave it running
        await ready(made)
        return made

    @asynccontextmanager
    async def devices(self, number: int, probation_s: float) -> AsyncIterator[None]:
        server = self.fleet.light.server
        where = self.folder / "devices", server.accounts.folder, server.url
        async with light_devices(*where, number, probation_s):
            yield

    async def ask(self, names: list[str], version: str) -> None:
        """As a user would: the spec of each says it."""
        waiting = iter(names)

        async def work() -> None:
            for name in waiting:
                patch = {"spec": {"version": version}}
                await self.user.cluster.merge(Device, self.fleet.namespace, name, patch)

        await asyncio.gather(*(work() for _ in range(SIDE_BY_SIDE)))


@asynccontextmanager
async def grounds(kube: KubeCluster, namespace: str, folder: Path) -> AsyncIterator[Grounds]:
    """No operator yet, no device; the releases of the light devices. All ended afterwards."""
    kube.kubectl("create", "namespace", namespace)
    folder = folder / namespace
    folder.mkdir()
    async with kube_fleet(kube, namespace, folder) as fleet:
        await asyncio.to_thread(add_releases, fleet)
        user = User(kube, namespace)
        try:
            await user.synced()
            yield Grounds(kube, fleet, user, folder)
        finally:
            await user.close()


def add_releases(fleet: KubeFleet) -> None:
    for version in VERSIONS:
        content = version.encode()
        artifact = {
            "url": f"http://127.0.0.1:1/{version}",
            "sizeBytes": len(content),
            "sha256": sha256(content).hexdigest(),
        }
        fleet.apply("AgentRelease", version, version=version, artifacts=[artifact])


async def ready(operator: OperatorProcess) -> None:
    """As its readiness probe sees it. Raises TimeoutError, which says what it said last."""
    async with httpx.AsyncClient(trust_env=False) as http:

        async def answers() -> bool:
            url = operator.url()
            if url is None:
                return False
            try:
                return (await http.get(f"{url}/readyz")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        ends_s = time.monotonic() + START_LIMIT_S
        while not await answers():
            if time.monotonic() > ends_s:
                raise TimeoutError(f"an operator is not ready: {last_words(operator)()}")
            await asyncio.sleep(LOOK_AGAIN_S)


def last_words(operator: OperatorProcess) -> Callable[[], str]:
    return lambda: operator.words()[-2000:]


def pid_of(operator: OperatorProcess) -> int:
    assert operator.process is not None
    return operator.process.pid
