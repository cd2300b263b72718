"""KubernetesLease keeps the contract of every Lease, on a real API server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.store_world import connected

from harmony_fleet.operator.kubernetes.lease import Elector, Timing
from harmony_fleet.operator.kubernetes.leases import KubernetesLease
from harmony_fleet.operator.system import SystemClock
from harmony_fleet.testing import lease_suite

pytestmark = pytest.mark.kube

NAME = "harmony-fleet"
WHOLE, NEXT = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"
LIMIT_S = 60.0


class KubernetesWorld:
    def __init__(self, kube: KubeCluster, namespace: str, stack: AsyncExitStack) -> None:
        self._kube, self._namespace, self._stack = kube, namespace, stack
        self.lease = self.another()

    def another(self, address: str = "https://10.0.0.1:7700") -> KubernetesLease:
        cluster = connected(self._kube, self._namespace)
        self._stack.push_async_callback(cluster.close)
        return KubernetesLease(cluster, NAME, 4.0, address)

    def edit(self, **spec: str | int | None) -> None:
        """By hand."""
        words = ("patch", "lease", NAME, "--type=merge", "-p", json.dumps({"spec": spec}))
        self._kube.kubectl("-n", self._namespace, *words)

    async def delete(self) -> None:
        self._kube.kubectl("-n", self._namespace, "delete", "lease", NAME)

    def shown(self) -> dict[str, str | int]:
        """As kubectl shows its spec."""
        shown = self._kube.kubectl("-n", self._namespace, "get", "lease", NAME, "-o", "json")
        found: dict[str, str | int] = json.loads(shown.stdout)["spec"]
        return found


def in_world(
    kube: KubeCluster, namespace: str, use: Callable[[KubernetesWorld], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack, asyncio.timeout(LIMIT_S):
            await use(KubernetesWorld(kube, namespace, stack))

    asyncio.run(run())


@pytest.mark.parametrize("case", lease_suite.CASES, ids=lease_suite.name)
def test_the_lease_keeps_the_contract(
    case: lease_suite.Case, cluster: KubeCluster, namespace: str
) -> None:
    in_world(cluster, namespace, case)


def test_it_tells_the_others_where_the_holder_answers_and_nobody_once_it_is_given_up(
    cluster: KubeCluster, namespace: str
) -> None:
    async def use(world: KubernetesWorld) -> None:
        other = world.another("https://10.0.0.2:7700")
        ours = await world.lease.write(lease_suite.held("one"))
        await other.read()
        assert other.leader_address == "https://10.0.0.1:7700"
        await world.lease.write(replace(ours, holder=""))
        await other.read()
        assert other.leader_address == ""

    in_world(cluster, namespace, use)


def test_it_is_renewed_at_a_whole_second_too(cluster: KubeCluster, namespace: str) -> None:
    """An instant in a thousand has no fraction, and a MicroTime must have one."""

    async def use(world: KubernetesWorld) -> None:
        whole = replace(lease_suite.held("one"), acquired_at=WHOLE, renewed_at=WHOLE)
        first = await world.lease.write(whole)
        again = await world.lease.write(replace(first, renewed_at=NEXT))
        assert again.version != first.version

    in_world(cluster, namespace, use)


def test_two_replicas_hand_it_over_as_people_see_with_kubectl(
    cluster: KubeCluster, namespace: str
) -> None:
    async def use(world: KubernetesWorld) -> None:
        timing = Timing(duration_s=4.0, renew_limit_s=2.5, retry_s=0.2)
        leading: asyncio.Queue[str] = asyncio.Queue()

        def standing(identity: str) -> asyncio.Task[None]:
            async def lead() -> None:
                await leading.put(identity)
                await asyncio.Event().wait()

            elector = Elector(world.another(), identity, SystemClock(), timing)
            return asyncio.create_task(elector.run(lead))

        one = standing("one")
        assert await leading.get() == "one"
        two = standing("two")
        before = world.shown()
        assert (before["holderIdentity"], before["leaseDurationSeconds"]) == ("one", 4)
        one.cancel()
        assert await leading.get() == "two"
        after = world.shown()
        assert after["holderIdentity"] == "two"
        assert after["leaseTransitions"] == int(before["leaseTransitions"]) + 1
        two.cancel()
        await asyncio.wait({one, two})

    in_world(cluster, namespace, use)


@pytest.mark.parametrize(
    "edited",
    [{"acquireTime": None, "renewTime": None}, {"leaseTransitions": 2**31 - 1}],
    ids=["its times are taken out", "no more transitions can be counted"],
)
def test_one_that_somebody_has_edited_is_renewed_and_taken_over_all_the_same(
    cluster: KubeCluster, namespace: str, edited: dict[str, int | None]
) -> None:
    async def use(world: KubernetesWorld) -> None:
        await world.lease.write(lease_suite.held("one"))
        world.edit(**edited)
        found = await world.lease.read()
        free = await world.lease.write(replace(found, holder=""))
        taken = replace(free, holder="two", transitions=free.transitions + 1)
        assert (await world.another().write(taken)).holder == "two"

    in_world(cluster, namespace, use)
