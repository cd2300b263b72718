"""What the operator's account may do by the chart's roles: what it needs, where it needs it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.chart import PLANE, Values, as_list, rendered
from tests.kube.fleet import KubeFleet, kube_fleet

pytestmark = pytest.mark.kube

RBAC = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
ANYBODY = {"selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"}

DEVICES = {
    "devices.harmony-fleet.dev": "get list patch watch",
    "devices.harmony-fleet.dev/status": "update",
    "events.events.k8s.io": "create patch",
}
"""Wherever Devices may be."""
OWN = {
    "agentreleases.harmony-fleet.dev": "create get list patch watch",
    "agentreleases.harmony-fleet.dev/status": "update",
    "leases.coordination.k8s.io": "create",
    "leases.coordination.k8s.io harmony-fleet": "get update",
}
"""In its own namespace alone."""
CREATE = {"devices.harmony-fleet.dev": "create get list patch watch"}

Allowed = dict[str, str]


def allowed(kube: KubeCluster, account: str, namespace: str) -> Allowed:
    """As `kubectl auth can-i --list` asks: verbs by resource, and by name where one is said."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    done = kube.kubectl(
        *("create", "--validate=false", "-o", "json", "-f", "-"),
        document=json.dumps(review),
        kubeconfig=kube.kubeconfig_of_account(account, "harmony-fleet"),
    )
    found: dict[str, set[str]] = {}
    for rule in json.loads(done.stdout)["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in set(rule["resources"]) - ANYBODY:
                name, _, below = resource.partition("/")
                key = f"{name}.{group}/{below}" if below else f"{name}.{group}"
                for only in rule.get("resourceNames", [""]):
                    verbs = found.setdefault(f"{key} {only}".strip(), set())
                    verbs |= set(rule["verbs"])
    return {key: " ".join(sorted(verbs)) for key, verbs in found.items()}


def grant(kube: KubeCluster, namespace: str, values: Values) -> None:
    """The chart's roles and its service account."""
    documents = rendered(kube, namespace, {"plane": PLANE, **values})
    wanted = [one for one in documents if one["kind"] in {*RBAC, "ServiceAccount"}]
    kube.kubectl("apply", "-f", "-", document=as_list(wanted))


@pytest.mark.parametrize(
    ("values", "own", "others"),
    [
        ({}, DEVICES | CREATE | OWN, {}),
        ({"devices": {"allNamespaces": True}}, DEVICES | CREATE | OWN, DEVICES),
        ({"devices": {"declaredOnly": True}}, DEVICES | OWN, {}),
        ({"devices": {"allNamespaces": True, "declaredOnly": True}}, DEVICES | OWN, DEVICES),
    ],
    ids=["namespaced", "cluster-wide", "declared only", "cluster-wide, declared only"],
)
def test_the_account_may_do_this_and_nothing_more(
    cluster: KubeCluster, namespace: str, values: Values, own: Allowed, others: Allowed
) -> None:
    grant(cluster, namespace, values)
    assert allowed(cluster, namespace, namespace) == own
    assert allowed(cluster, namespace, "default") == others


def test_a_cluster_wide_operator_upgrades_a_device_of_another_namespace(
    cluster: KubeCluster, namespace: str, new_namespace: Callable[[], str], tmp_path: Path
) -> None:
    """By names of their own: other tests' devices are seen too, and two of one name are none."""

    async def run() -> None:
        async with kube_fleet(cluster, namespace, tmp_path, ("far-1", "far-2")) as fleet:
            await asyncio.to_thread(grant, cluster, namespace, {"devices": {"allNamespaces": True}})
            await upgrade_elsewhere(fleet, await asyncio.to_thread(new_namespace))

    asyncio.run(run())


async def upgrade_elsewhere(fleet: KubeFleet, elsewhere: str) -> None:
    await asyncio.to_thread(fleet.add_releases)
    device = {
        "apiVersion": "harmony-fleet.dev/v1alpha1",
        "kind": "Device",
        "metadata": {"name": "far-1", "namespace": elsewhere},
        "spec": {"version": "1.1.0"},
    }
    fleet.operator(all_namespaces=True)
    await asyncio.to_thread(fleet.kubectl, "apply", "-f", "-", "-n", elsewhere, document=device)
    where = ("-n", elsewhere)
    await fleet.run("wait", "--for=condition=Ready", "device/far-1", "--timeout=60s", *where)
    assert fleet.light.devices["far-1"].running == "1.1.0"
    # Nobody has declared this one: it appears beside the operator.
    await fleet.until(lambda: "far-2" in fleet.kubectl("get", "devices", "-o", "name"))
    await fleet.until(lambda: "Succeeded" in fleet.kubectl("get", "events", *where))
    assert "does not allow" not in fleet.operators[0].words()
