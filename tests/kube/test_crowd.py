"""Many devices at once: the operator writes at a capped rate, and goes on leading meanwhile."""

from pathlib import Path

import pytest
from tests.kube.api_server import KubeCluster
from tests.kube.fleet import KubeFleet, in_fleet
from tests.processes.nats_fixture import connected

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.messaging import keyvalue

pytestmark = pytest.mark.kube

CROWD = 400
"""More than may be written within the time in which a Lease has to be renewed."""
PUT_LIMIT_S = 5.0
INTERVAL_MS = 30_000


def test_a_crowd_of_new_devices_is_taken_in_by_one_leader(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    async def use(fleet: KubeFleet) -> None:
        operator = fleet.operator()
        await fleet.until(lambda: "pi-1" in names(fleet))
        await heard(fleet, [f"new-{number}" for number in range(CROWD)])
        await fleet.until(lambda: len(names(fleet)) == CROWD + 1)
        assert operator.words().count("leads now") == 1
        assert "leads no more" not in operator.words()

    in_fleet(cluster, namespace, tmp_path, use, "pi-1")


def names(fleet: KubeFleet) -> set[str]:
    found = fleet.kubectl("get", "devices", "-o", "name")
    return {line.partition("/")[2] for line in found.split()}


async def heard(fleet: KubeFleet, devices: list[str]) -> None:
    """One heartbeat of each."""
    async with connected(fleet.light.plane.operator_endpoint()) as plane:
        for name in devices:
            beat = Heartbeat(name, "1.0.0", Role.PRIMARY, "instance-1", "boot-1", 1, INTERVAL_MS)
            key, value = f"{name}.{Role.PRIMARY}", codec.encode(beat)
            await keyvalue.put(plane, subjects.HEARTBEAT_BUCKET, key, value, PUT_LIMIT_S)
