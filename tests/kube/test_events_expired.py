"""What is said of a Device in Events of the cluster."""

import asyncio
import time
from contextlib import suppress

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.store_world import LIMIT_S, connected

from harmony_fleet.operator.kubernetes.objects import Device, Metadata
from harmony_fleet.operator.kubernetes.recorder import Recorder
from harmony_fleet.operator.records import Happening
from harmony_fleet.operator.system import SystemClock

pytestmark = pytest.mark.kube

SAID = Happening("stop_refused", "the stop was refused", None)
COUNTS = ("get", "events", "-o", "jsonpath={range .items[*]}{.reason}:{.series.count} {end}")


def test_what_is_said_again_is_counted_and_said_anew_once_its_event_has_gone(
    cluster: KubeCluster, namespace: str
) -> None:
    """As it goes by itself after an hour."""
    device = Device(metadata=Metadata("pi-1", namespace, "uid"))

    async def run() -> None:
        client = connected(cluster, namespace)
        recorder = Recorder(client, SystemClock(), "replica-1")
        running = asyncio.create_task(recorder.run())
        try:
            for shown in ("StopRefused: ", "StopRefused:2 "):
                recorder.told(device, [SAID])
                await until_shown(cluster, namespace, shown)
            cluster.kubectl("-n", namespace, "delete", "events", "--all")
            recorder.told(device, [SAID])
            await until_shown(cluster, namespace, "StopRefused: ")
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await client.close()

    asyncio.run(run())


async def until_shown(cluster: KubeCluster, namespace: str, wanted: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while (
        shown := (await asyncio.to_thread(cluster.kubectl, "-n", namespace, *COUNTS)).stdout
    ) != wanted:
        assert time.monotonic() < deadline_s, shown
        await asyncio.sleep(0.1)
