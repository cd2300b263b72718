"""The Kubernetes store in a namespace of its own, as many users of it as are asked for."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

from lightkube import KubeConfig
from tests.kube.api_server import KubeCluster

from harmony_fleet.operator.kubernetes.cluster import Cluster
from harmony_fleet.operator.kubernetes.devices import Devices
from harmony_fleet.operator.kubernetes.mirror import Mirror
from harmony_fleet.operator.kubernetes.names import API_VERSION
from harmony_fleet.operator.kubernetes.objects import HISTORY_KEPT, Device
from harmony_fleet.operator.kubernetes.reflector import Collection, Reflector
from harmony_fleet.operator.kubernetes.store import KubernetesStore
from harmony_fleet.operator.ports import DeviceStore
from harmony_fleet.operator.system import SystemClock

LIMIT_S = 20.0
QUICK_RATE = 10_000.0


def connected(kube: KubeCluster, namespace: str) -> Cluster:
    """As one replica in that namespace would be; close it when done."""
    configuration = KubeConfig.from_file(kube.kubeconfig).get()
    assert configuration is not None
    configuration = configuration._replace(
        context=type(configuration.context)(
            cluster=configuration.context.cluster,
            user=configuration.context.user,
            namespace=namespace,
        )
    )
    return Cluster(configuration, SystemClock(), rate=QUICK_RATE)


class User:
    """One replica's view: its connection, its mirror, its store."""

    def __init__(self, kube: KubeCluster, namespace: str) -> None:
        self.cluster = connected(kube, namespace)
        self.devices = Devices(Mirror())
        path = f"/apis/{API_VERSION}/namespaces/{namespace}/devices"
        self.reflector = Reflector(self.cluster.http, Collection(path, Device), self.devices.mirror)
        self.store = KubernetesStore(self.cluster, self.devices, SystemClock())
        self._task = asyncio.create_task(self.reflector.run())

    async def synced(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.reflector.synced.wait()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.cluster.close()


class KubernetesWorld:
    events_kept = HISTORY_KEPT

    def __init__(self, kube: KubeCluster, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self._users: list[User] = []
        self.store: DeviceStore = self.another()

    def another(self) -> DeviceStore:
        self._users.append(User(self._kube, self._namespace))
        return self._users[-1].store

    async def synced(self) -> None:
        for user in self._users:
            await user.synced()

    async def settled(self) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while len({_versions(user) for user in self._users}) > 1:
            assert time.monotonic() < deadline_s, [_versions(user) for user in self._users]
            await asyncio.sleep(0.01)

    async def reopened(self) -> DeviceStore:
        await self.close()
        store = self.another()
        await self.synced()
        return store

    async def close(self) -> None:
        users, self._users = self._users, []
        async with AsyncExitStack() as stack:
            for user in users:
                stack.push_async_callback(user.close)


def _versions(user: User) -> frozenset[tuple[str, str]]:
    metadata = (one.metadata for one in user.devices.mirror)
    return frozenset((one.name, one.resource_version) for one in metadata)
