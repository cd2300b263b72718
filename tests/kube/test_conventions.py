"""What people expect who know kubectl: columns, selection, explanations, refusals."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet
from tests.kube.test_wishes import reason, up

pytestmark = pytest.mark.kube

FILE = {"url": "https://files.example/a", "sizeBytes": 5, "sha256": "a" * 64}


def document(kind: str, name: str, spec: dict[str, Any]) -> str:
    return json.dumps(
        {
            "apiVersion": "harmony-fleet.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def release(version: str, **changed: Any) -> dict[str, Any]:
    return {"version": version, "artifacts": [FILE | changed]}


def cells(table: str) -> list[list[str]]:
    """Of what `kubectl get` prints: the head, then the rows; a cell may be empty."""
    head, *rows = table.rstrip("\n").splitlines()
    starts = [i for i in range(len(head)) if head[i] != " " and (i == 0 or head[i - 1] == " ")]
    ends = [*starts[1:], None]
    return [
        [line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in (head, *rows)
    ]


@pytest.mark.parametrize(
    ("kind", "name", "spec", "sentence"),
    [
        ("Device", "pi-1", {"version": "v1.0"}, "spec.version: .* such as 1.4.0"),
        ("Device", "pi-1", {"labels": {"ring": "a b"}}, "a label's value is of letters"),
        ("Device", "pi-1", {"labels": {"a b": "c"}}, "a label's key is a name"),
        ("Device", "pi-1", {"labels": {"a/b/c": "c"}}, "a label's key is a name"),
        ("Device", "pi.1", {}, "say which device it is in spec.deviceId"),
        ("Device", "pi-1", {"deviceId": "PI"}, "a device id is of small letters"),
        ("Device", "pi-1", {"deviceId": "pi-2"}, "spec.deviceId: .* is called as its device"),
        ("Device", "pi-1", {"verson": "1.0.0"}, 'unknown field "spec.verson"'),
        ("AgentRelease", "a", release("1.0.0"), "spec.version: .* is called as its version"),
        ("AgentRelease", "1.0.0", release("1.0.0", sha256="A" * 64), "a SHA-256 is 64 digits"),
        ("AgentRelease", "1.0.0", release("1.0.0", url="ftp://a/b"), "http:// or https://"),
        ("AgentRelease", "1.0.0", release("1.0.0", file="../a"), "a file's name is of letters"),
        (
            "AgentRelease",
            "1.0.0",
            {"version": "1.0.0", "artifacts": [{"sizeBytes": 5, "sha256": "a" * 64}]},
            "say where the file is",
        ),
    ],
)
def test_a_bad_spec_is_refused_in_a_sentence(
    cluster: KubeCluster, namespace: str, kind: str, name: str, spec: dict[str, Any], sentence: str
) -> None:
    words = ("-n", namespace, "apply", "--dry-run=server", "-f", "-")
    done = cluster.kubectl(*words, document=document(kind, name, spec), check=False)
    assert done.returncode != 0
    assert_says(done.stderr, sentence)
    assert "should match" not in done.stderr, "a pattern is no sentence"


def assert_says(text: str, sentence: str) -> None:
    rest = text
    for part in sentence.split(".*"):
        assert part.strip() in rest, text
        rest = rest.partition(part.strip())[2]


def test_what_never_changes_is_refused_in_a_sentence(cluster: KubeCluster, namespace: str) -> None:
    def applied(kind: str, name: str, spec: dict[str, Any]) -> str:
        words = ("-n", namespace, "apply", "-f", "-")
        return cluster.kubectl(*words, document=document(kind, name, spec), check=False).stderr

    assert applied("AgentRelease", "1.0.0", release("1.0.0")) == ""
    assert applied("AgentRelease", "1.0.0", release("1.0.0", url="https://b.example/a")) == ""
    assert "build the new ones under a new version" in applied(
        "AgentRelease", "1.0.0", release("1.0.0", sha256="b" * 64)
    )
    assert applied("Device", "pi-1", {"labels": {"example.com/ring": "canary", "a": ""}}) == ""


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("device", "One device of the fleet"),
        ("device.spec.version", "such as 1.4.0"),
        ("device.spec.retry", "orders a version again"),
        ("device.spec.paused", "No new order starts"),
        ("device.spec.labels", "selectors choose the device by"),
        ("device.status.upgrade", "how far the device has come"),
        ("device.status.upgrade.error", "Why it ended"),
        ("device.status.heartbeat", "Lost where none came"),
        ("fdev.status.conditions", "kstatus"),
        ("agentrelease.spec.artifacts.sha256", "as sha256sum says it"),
        ("frel.spec.withdrawn", "no new order names it"),
        ("frel.status", "Whether it can be ordered"),
    ],
)
def test_kubectl_explains_each_field(cluster: KubeCluster, field: str, told: str) -> None:
    text = cluster.kubectl("explain", field).stdout
    assert told in " ".join(text.split())


async def fleet_of_many_states(fleet: KubeFleet) -> None:
    await up(fleet, "pi-1", "pi-2", "pi-3")
    for name, spec in (
        ("pi-1", {"version": "1.1.0"}),
        ("pi-2", {"version": "3.0.0"}),
        ("pi-3", {"version": "1.1.0", "paused": True}),
        ("pi-4", {"version": "1.1.0"}),
    ):
        await asyncio.to_thread(fleet.apply, "Device", name, **spec)
    await fleet.run("wait", "--for=condition=Ready", "device/pi-1", "--timeout=60s")
    await fleet.run("wait", "--for=condition=Stalled", "device/pi-2", "--timeout=60s")
    await fleet.run(
        *("wait", "--for=jsonpath={.status.conditions[0].reason}=Paused", "device/pi-3"),
        "--timeout=60s",
    )
    await fleet.run("wait", "--for=condition=Reconciling", "device/pi-4", "--timeout=60s")


def test_kubectl_shows_and_selects_what_people_look_for(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await fleet_of_many_states(fleet)
        assert [row[:-1] for row in cells(await fleet.run("get", "devices"))] == [
            ["NAME", "DESIRED", "CURRENT", "PHASE", "READY", "REASON", "ONLINE"],
            ["pi-1", "1.1.0", "1.1.0", "Succeeded", "True", "Running", "True"],
            ["pi-2", "3.0.0", "1.0.0", "RolledBack", "False", "RolledBack", "True"],
            ["pi-3", "1.1.0", "1.0.0", "", "False", "Paused", "True"],
            ["pi-4", "1.1.0", "", "", "False", "Unheard", "False"],
        ]
        await wide(fleet)
        await selected(fleet)
        await in_one_category(fleet)

    in_fleet(cluster, namespace, tmp_path, use, "pi-1", "pi-2", "pi-3")


async def wide(fleet: KubeFleet) -> None:
    head, *rows = cells(await fleet.run("get", "fdev", "-o", "wide"))
    assert head[-3:] == ["IN-PHASE", "PAUSED", "MESSAGE"]
    told = {row[0]: row[-2:] for row in rows}
    assert told["pi-1"] == ["false", "runs 1.1.0"]
    assert "crash_loop" in told["pi-2"][1]
    assert told["pi-3"] == ["true", "paused: 1.1.0 is not ordered; 1.0.0 runs"]


async def selected(fleet: KubeFleet) -> None:
    for selector, names in (
        ("status.upgrade.phase=RolledBack", ["pi-2"]),
        ("spec.version=1.1.0", ["pi-1", "pi-3", "pi-4"]),
        ("spec.version=1.1.0,status.currentVersion!=1.1.0", ["pi-3", "pi-4"]),
        ("spec.paused=true", ["pi-3"]),
        ("status.heartbeat=Fresh", ["pi-1", "pi-2", "pi-3"]),
    ):
        found = await fleet.run("get", "devices", "--field-selector", selector, "-o", "name")
        assert found.split() == [f"device.harmony-fleet.dev/{name}" for name in names], selector


async def in_one_category(fleet: KubeFleet) -> None:
    found: Sequence[str] = (await fleet.run("get", "harmony-fleet", "-o", "name")).split()
    assert "device.harmony-fleet.dev/pi-1" in found
    assert "agentrelease.harmony-fleet.dev/1.1.0" in found


def test_a_stalled_device_tells_its_cause_in_describe_and_one_event(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        await up(fleet, "pi-1")
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="3.0.0")
        await fleet.until(lambda: reason(fleet, "pi-1") == "RolledBack")
        await fleet.until(lambda: "crash_loop" in events(fleet.kubectl("describe", "fdev", "pi-1")))
        described = await fleet.run("describe", "device", "pi-1")
        status, told = described.partition("Events:")[0], events(described)
        assert "Type:                  Stalled" in status
        assert "Message:               3.0.0: RolledBack, crash_loop" in status
        assert told.count("Warning  RolledBack") == 1

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def events(described: str) -> str:
    return described.partition("Events:")[2]
