"""What goes wrong in a cluster while a device is upgraded: nothing is lost, nothing runs hot."""

import asyncio
import http.client
import json
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import ACCOUNT, KubeFleet, in_fleet

pytestmark = pytest.mark.kube


async def ordered_and_held(fleet: KubeFleet, version: str = "1.1.0") -> asyncio.Event:
    """pi-1 is in the middle of its upgrade, and its Device says so."""
    await asyncio.to_thread(fleet.add_releases)
    await fleet.until_ready("pi-1")
    let_go = fleet.hold("pi-1")
    await asyncio.to_thread(fleet.apply, "Device", "pi-1", version=version)
    await fleet.until(lambda: fleet.phase("pi-1") == "Verifying")
    return let_go


async def succeeds(fleet: KubeFleet, device: str = "pi-1", version: str = "1.1.0") -> None:
    await fleet.run("wait", "--for=condition=Ready", f"device/{device}", "--timeout=90s")
    assert fleet.light.devices[device].running == version
    found = await asyncio.to_thread(fleet.device, device)
    assert found["status"]["upgrade"]["phase"] == "Succeeded"
    assert "past" not in found["status"], "ordered more than once"


def test_a_leader_that_is_killed_in_mid_upgrade_is_followed_by_the_other_replica(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        first = fleet.operator()
        await fleet.until_leads(first)
        second = fleet.operator()
        let_go = await ordered_and_held(fleet)
        first.stop(signal.SIGKILL)
        await fleet.until_leads(second)
        let_go.set()
        await succeeds(fleet)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_a_leader_that_slept_finds_that_it_leads_no_more(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        first = fleet.operator()
        await fleet.until_leads(first)
        second = fleet.operator()
        let_go = await ordered_and_held(fleet)
        first.signal(signal.SIGSTOP)
        await fleet.until_leads(second)
        first.signal(signal.SIGCONT)
        await fleet.until(lambda: "leads no more" in first.words())
        let_go.set()
        await succeeds(fleet)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_two_that_lead_at_once_order_what_is_asked_for_once_and_do_no_harm(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    """Each by a Lease of its own, as no election would ever have it."""

    async def use(fleet: KubeFleet) -> None:
        anything = ("--verb=*", "--resource=leases.coordination.k8s.io")
        await fleet.run("create", "role", "elections", *anything)
        account = f"--serviceaccount={namespace}:{ACCOUNT}"
        await fleet.run("create", "rolebinding", "elections", "--role=elections", account)
        for fleet.lease in ("one", "other"):
            await fleet.until_leads(fleet.operator())
        await asyncio.to_thread(fleet.add_releases)
        await fleet.until_ready("pi-1")
        for version in ("1.1.0", "1.2.0"):
            await asyncio.to_thread(fleet.apply, "Device", "pi-1", version=version)
            await fleet.until_running("pi-1", version)
            await fleet.until_ready("pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="3.0.0")
        await fleet.run("wait", "--for=condition=Stalled", "device/pi-1", "--timeout=60s")
        assert fleet.light.devices["pi-1"].running == "1.2.0"
        status = fleet.device("pi-1")["status"]
        assert [one["to"] for one in status["past"]] == ["1.1.0", "1.2.0"], "ordered once each"
        assert status["upgrade"]["cause"]["kind"] == "crash_loop"
        assert not any("leads no more" in operator.words() for operator in fleet.operators)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_the_api_server_and_its_store_may_die_in_mid_upgrade(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        fleet.operator()
        let_go = await ordered_and_held(fleet)
        cluster.etcd.stop(signal.SIGKILL)
        cluster.api_server.stop(signal.SIGKILL)
        let_go.set()
        await fleet.until_running("pi-1", "1.0.0")  # nobody gives the word meanwhile
        cluster.etcd.start()
        cluster.api_server.start()
        await asyncio.to_thread(cluster.wait_ready)
        await succeeds(fleet)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def test_what_changed_while_a_watch_was_too_old_to_go_on_is_found(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    """An API server that begins anew knows no versions from before: it answers 410."""

    async def use(fleet: KubeFleet) -> None:
        operator = fleet.operator()
        await asyncio.to_thread(fleet.add_releases)
        for name in ("pi-1", "gone"):
            await asyncio.to_thread(fleet.apply, "Device", name)
        await fleet.until_ready("pi-1")
        operator.signal(signal.SIGSTOP)
        await fleet.run("patch", "device", "gone", "--type=merge", "-p", NO_FINALIZERS)
        await fleet.run("delete", "device", "gone")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await asyncio.to_thread(compact, cluster)
        cluster.restart(cluster.api_server)
        await asyncio.to_thread(cluster.wait_ready)
        operator.signal(signal.SIGCONT)
        await succeeds(fleet)
        await fleet.until(lambda: "gone" not in fleet.kubectl("get", "devices", "-o", "name"))

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


NO_FINALIZERS = json.dumps({"metadata": {"finalizers": None}})


def compact(cluster: KubeCluster) -> None:
    """All versions but the newest are forgotten, as happens every five minutes."""
    found = cluster.raw("/apis/harmony-fleet.dev/v1alpha1/devices")
    cluster.compact(int(found["metadata"]["resourceVersion"]))


def test_a_device_deleted_in_mid_upgrade_is_told_to_end_it_and_appears_again(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        fleet.operator()
        let_go = await ordered_and_held(fleet)
        before = (await asyncio.to_thread(fleet.device, "pi-1"))["metadata"]["uid"]
        await fleet.run("delete", "device", "pi-1", "--timeout=60s")
        let_go.set()
        await fleet.until(lambda: uid_of(fleet, "pi-1") not in {None, before})
        await fleet.until_ready("pi-1")
        assert fleet.light.devices["pi-1"].running == "1.0.0"
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        await succeeds(fleet)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def uid_of(fleet: KubeFleet, name: str) -> str | None:
    words = ("get", "device", name, "-o", "jsonpath={.metadata.uid}")
    found = fleet.kubectl(*words, check=False)
    return None if "NotFound" in found else found


def test_a_status_of_a_newer_version_is_left_as_it_is(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await asyncio.to_thread(fleet.add_releases)
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        newer = json.dumps({"status": {"schema": 2, "seq": 7}})
        await fleet.run(
            "patch", "device", "pi-1", "--subresource=status", "--type=merge", "-p", newer
        )
        operator = fleet.operator()
        await asyncio.to_thread(fleet.apply, "Device", "pi-2", version="1.1.0")
        await succeeds(fleet, "pi-2")
        found = await asyncio.to_thread(fleet.device, "pi-1")
        assert (found["status"]["schema"], found["status"]["seq"]) == (2, 7)
        assert found["status"]["observedGeneration"] == -1
        assert fleet.light.devices["pi-1"].running == "1.0.0"
        assert "run the newer one" in operator.words()

    in_fleet(cluster, namespace, tmp_path, use, "pi-1", "pi-2")


def test_an_operator_that_is_put_off_by_the_api_server_waits_as_long_as_it_says(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        operator = fleet.operator()
        let_go = await ordered_and_held(fleet)
        with put_off(fleet):
            let_go.set()
            await fleet.until(lambda: "the Lease cannot be had now" in operator.words())
        await succeeds(fleet)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


@contextmanager
def put_off(fleet: KubeFleet) -> Iterator[None]:
    """Every request of the operator's account is answered with 429: it may have one at a time,
    and one is under way whose body does not come.
    """
    flow = {"apiVersion": "v1", "kind": "List", "items": no_concurrency(fleet)}
    fleet.kubectl("apply", "-f", "-", document=flow)
    fleet.kubectl("wait", "--for=condition=Dangling=false", f"flowschema/{fleet.namespace}")
    token = fleet.kubectl("create", "token", ACCOUNT).strip()
    api = urlsplit(fleet.kube.url)
    trust = ssl.create_default_context(cafile=str(fleet.kube.pki.ca))
    held = http.client.HTTPSConnection(str(api.hostname), api.port, context=trust)
    try:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{fleet.namespace}/leases"
        held.putrequest("POST", path)
        for header in (("Authorization", f"Bearer {token}"), ("Content-Length", "9")):
            held.putheader(*header)
        held.endheaders(b"{")
        yield
    finally:
        held.close()
        fleet.kubectl("delete", "flowschema,prioritylevelconfiguration", fleet.namespace)


def no_concurrency(fleet: KubeFleet) -> list[dict[str, Any]]:
    """A priority level of no concurrency, for the operator's account alone."""
    api = "flowcontrol.apiserver.k8s.io/v1"
    limited = {
        "nominalConcurrencyShares": 0,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    account = {"name": ACCOUNT, "namespace": fleet.namespace}
    anything = {
        "verbs": ["*"],
        "apiGroups": ["*"],
        "resources": ["*"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    subjects = [{"kind": "ServiceAccount", "serviceAccount": account}]
    level = {"type": "Limited", "limited": limited}
    schema = {
        "priorityLevelConfiguration": {"name": fleet.namespace},
        "matchingPrecedence": 100,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": subjects, "resourceRules": [anything]}],
    }
    metadata = {"name": fleet.namespace}
    return [
        {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}
        for kind, spec in (("PriorityLevelConfiguration", level), ("FlowSchema", schema))
    ]
