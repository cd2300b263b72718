"""What an upgrade costs the API server, by its own count. No times."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.kube.requests import Written, written
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import PATIENT, KubeFleet, in_fleet

from harmony_fleet.operator.write_behind import MOMENT_S

pytestmark = pytest.mark.kube

MOST = 4
LONG = replace(PATIENT, probation_s=MOMENT_S + 2.0)
"""As in production: a commit is stored before its probation has ended."""


def phases(fleet: KubeFleet, name: str) -> Callable[[str], bool]:
    """Whether its Device has shown that phase at any time: each write of it is looked at."""
    shown: set[str | None] = set()

    def seen(phase: str) -> bool:
        shown.add(fleet.phase(name))
        return phase in shown

    return seen


def test_an_upgrade_costs_the_api_server_at_most_four_writes(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    """The order, the commit, the verdict, and the Event that tells it."""

    async def use(fleet: KubeFleet) -> None:
        fleet.light.add("pi-1", limits=LONG)
        fleet.operator()
        await asyncio.to_thread(fleet.add_releases)
        await fleet.until(lambda: fleet.condition("pi-1", "Ready").get("status") == "True")
        await fleet.until(lambda: fleet.device("pi-1")["status"].get("journalId") is not None)
        before = await rested(fleet)
        await asyncio.to_thread(fleet.apply, "Device", "pi-1", version="1.1.0")
        shown = phases(fleet, "pi-1")
        await fleet.until(lambda: shown("Committed"))
        await fleet.until(lambda: shown("Succeeded"))
        await fleet.until(lambda: "Succeeded" in fleet.kubectl("get", "events.events.k8s.io"))
        wrote = (await rested(fleet)).since(before, asked=1)
        assert wrote.total <= MOST, wrote.told(1)
        assert wrote.by_kind["POST events"] == 1
        assert wrote.refused == 0

    in_fleet(cluster, namespace, tmp_path, use)


async def rested(fleet: KubeFleet) -> Written:
    """With all that the operator had still to write: it is ended in order, and another begins."""
    last = fleet.operators[-1]
    await asyncio.to_thread(last.stop)
    found = await asyncio.to_thread(written, fleet.kube)
    again = await asyncio.to_thread(fleet.operator)
    await fleet.until(lambda: "leads now" in again.words())
    return found
