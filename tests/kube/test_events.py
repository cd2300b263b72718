"""Events, as the API server takes them and `kubectl` shows them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.store_world import connected

from harmony_fleet.operator.kubernetes.objects import Device, Metadata
from harmony_fleet.operator.kubernetes.recorder import Recorder
from harmony_fleet.operator.records import Happening
from harmony_fleet.operator.system import SystemClock

pytestmark = pytest.mark.kube

LIMIT_S = 20.0
TOLD = [Happening("duplicate_identity", "two machines answer as pi-1")]


class WholeSeconds(SystemClock):
    """An instant in a thousand has no fraction."""

    def now(self) -> str:
        return "2026-01-01T00:00:00.000Z"


def test_what_is_said_again_is_counted_in_its_event_at_a_whole_second_too(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    def events() -> list[dict[str, Any]]:
        found = cluster.get("events.events.k8s.io", "-n", namespace)["items"]
        return [one for one in found if one["reason"] == "DuplicateIdentity"]

    async def run() -> None:
        here = connected(cluster, namespace)
        recorder = Recorder(here, WholeSeconds(), "one")
        running = asyncio.create_task(recorder.run())
        device = Device(metadata=Metadata("pi-1", namespace, "1" * 8))
        try:
            async with asyncio.timeout(LIMIT_S):
                for times in (1, 2, 3):
                    recorder.told(device, TOLD)
                    while [one.get("series", {}).get("count", 1) for one in events()] != [times]:
                        await asyncio.sleep(0.05)
        finally:
            running.cancel()
            await asyncio.wait({running})
            await here.close()

    asyncio.run(run())
    assert events()[0]["note"] == "two machines answer as pi-1"
