"""The operator's account may do what it needs, and nothing more."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import ACCOUNT, KubeFleet, in_fleet, role_rules

pytestmark = pytest.mark.kube

OURS = "harmony-fleet.dev"
LIST = (OURS, "devices", "list")
"""Only where the API server streams no lists."""
NEEDED = [
    (OURS, "devices", "get"),
    LIST,
    (OURS, "devices", "watch"),
    (OURS, "devices", "create"),
    (OURS, "devices", "patch"),
    (OURS, "devices/status", "update"),
    (OURS, "agentreleases", "get"),
    (OURS, "agentreleases", "list"),
    (OURS, "agentreleases", "watch"),
    (OURS, "agentreleases", "create"),
    (OURS, "agentreleases", "patch"),
    (OURS, "agentreleases/status", "update"),
    ("coordination.k8s.io", "leases", "get"),
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases", "update"),
    ("events.k8s.io", "events", "create"),
    ("events.k8s.io", "events", "patch"),
]


def test_its_role_holds_these_rights_and_no_other() -> None:
    found = sorted(
        (group, resource, verb)
        for rule in role_rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )
    assert found == sorted(NEEDED)


STREAMED = [one for one in NEEDED if one != LIST]


@pytest.mark.parametrize(
    ("group", "resource", "verb"), STREAMED, ids=[f"{verb} {what}" for _, what, verb in STREAMED]
)
def test_without_one_of_its_rights_something_fails_and_its_log_says_which(
    group: str, resource: str, verb: str, cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    in_fleet(cluster, namespace, tmp_path, without(group, resource, verb), "pi-1")


def test_an_older_api_server_is_asked_for_lists_which_needs_a_right(
    older_cluster: KubeCluster, tmp_path: Path
) -> None:
    in_fleet(older_cluster, "default", tmp_path, without(*LIST), "pi-1")


def without(group: str, resource: str, verb: str) -> Callable[[KubeFleet], Awaitable[None]]:
    refused = re.compile(rf'cannot {verb} resource \\?"{resource}\\?"')

    async def use(fleet: KubeFleet) -> None:
        await asyncio.to_thread(fleet.apply, "Device", "declared")
        await asyncio.to_thread(take_away, fleet, group, resource, verb)
        operator = fleet.operator()
        walking = asyncio.create_task(walk(fleet))
        try:
            await fleet.until(lambda: refused.search(operator.words()) is not None)
        finally:
            walking.cancel()
            await asyncio.gather(walking, return_exceptions=True)

    return use


async def walk(fleet: KubeFleet) -> None:
    """Through all that the operator does, in vain where something is not allowed."""
    await asyncio.to_thread(fleet.add_releases, ("3.0.0",))
    operator = fleet.operators[0]
    await fleet.until_leads(operator)
    for url in ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b"):
        file = {"url": url, "size_bytes": 5, "sha256": "a" * 64}
        await fleet.ask("PUT", "/releases/9.9.9/reference", file)
    await fleet.until(lambda: fleet.phase("pi-1") is None and fleet.device("pi-1") != {})
    for retry in ("one", "two"):
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="3.0.0", retry=retry)
        await fleet.until(lambda: fleet.phase("pi-1") == "RolledBack")


def take_away(fleet: KubeFleet, group: str, resource: str, verb: str) -> None:
    rules = [
        one
        for rule in role_rules()
        for one in _without(rule, group, resource, verb)
        if one["verbs"] and one["resources"]
    ]
    patch = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
    fleet.kubectl("patch", "role", ACCOUNT, "--type=json", "-p", patch)


def _without(rule: dict[str, Any], group: str, resource: str, verb: str) -> list[dict[str, Any]]:
    """One rule for each resource, so that the verb is taken from one of them alone."""
    if group not in rule["apiGroups"]:
        return [rule]
    return [
        {
            **rule,
            "resources": [one],
            "verbs": [v for v in rule["verbs"] if (one, v) != (resource, verb)],
        }
        for one in rule["resources"]
    ]
