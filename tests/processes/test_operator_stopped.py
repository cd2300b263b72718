"""`fleet up` is stopped for longer than every deadline, with all that it remembers, and goes on."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.matrix.killing import refuse_another_agent
from tests.matrix.scene import (
    NEW,
    OLD,
    SOON_S,
    ControlPlane,
    Device,
    build_stoppable,
    control_plane,
    device,
    eventually,
)
from tests.processes.nats_fixture import connected
from tests.processes.test_probation import configure

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind, Status
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Endpoint, Plane

STOP_LIMIT_S = 1.5
PATIENT_S = 20.0
SELF_TEST_LIMIT_S = 1.3
"""So that one without contact gives up after a second."""
TESTING = f"primary {OLD}: after write verifying"
READYING = f"primary {OLD}: after swap_link {NEW}"
ARMING = f"primary {OLD}: after start_candidate {NEW}"
PROVING = f"primary {NEW}: before stop_candidate"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("stopped")
    with control_plane(folder / "data") as plane:
        plane.add(NEW, build_stoppable(folder))
        yield plane


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stoppable(tmp_path_factory.mktemp("old"), version=OLD)


@contextmanager
def stopped(plane: ControlPlane) -> Iterator[None]:
    pid = json.loads((plane.data / "up.json").read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def history(plane: ControlPlane, device_id: str) -> list[str]:
    with FleetClient.of(plane.data) as client:
        found = json.loads(client.events(device_id, 0, 1000))["events"]
    return [event["sentence"] for event in found]


def stand_at(checkpoints: dict[str, Device]) -> None:
    """Each in its upgrade, at its checkpoint."""
    for checkpoint, one in checkpoints.items():
        one.stop_at(checkpoint)
        one.plane.order(one.device_id, NEW)
    for checkpoint, one in checkpoints.items():
        eventually(lambda: one.stopped() is not None, f"it stands at {checkpoint}")  # noqa: B023


def go_on(one: Device) -> None:
    pid = one.stopped()
    assert pid is not None
    os.kill(pid, signal.SIGCONT)


def journaled(one: Device) -> str | None:
    """How its last attempt has ended; None while it is under way."""
    journal = json.loads((one.machine.state / "journal.json").read_bytes())
    stage = (journal.get("attempt") or {}).get("stage")
    return stage if stage in {"succeeded", "failed", "rolled_back"} else None


def shown(one: Device) -> Phase:
    return Phase(one.plane.phase(one.device_id) or Phase.UNKNOWN)


def refuse_another_end(one: Device, phase: Phase, kind: CauseKind | None, runs: str) -> None:
    eventually(lambda: shown(one).final, "it ends")
    upgrade = one.plane.view(one.device_id)["upgrade"]
    assert (upgrade["phase"], (upgrade["cause"] or {}).get("kind")) == (phase, kind)
    refuse_another_agent(one, runs)


async def much_is_said(plane: ControlPlane, device_id: str) -> None:
    """Once that device is armed: more than an operator that wakes up reads at once."""
    accounts = Accounts.open(plane.data / "nats/accounts")
    url = json.loads((plane.data / "up.json").read_text())["nats_url"]
    endpoint = Endpoint((url,), accounts.operator_credentials, "others", "_INBOX_operator")
    async with connected(endpoint) as others, asyncio.timeout(SOON_S):
        while not await is_armed(others, device_id):
            await asyncio.sleep(0.02)
        for _ in range(200):
            await others.publish(f"{subjects.SEEN_HEARTBEAT}.another.primary", b"x" * 1000)
        await others.flush(SOON_S)


async def is_armed(plane: Plane, device_id: str) -> bool:
    entry = await keyvalue.get(plane, subjects.STATUS_BUCKET, device_id, SOON_S)
    return entry is not None and codec.decode(Status, entry.value).phase is Phase.CUTOVER_READY


def test_an_operator_that_was_stopped_for_longer_than_every_deadline_ends_nobody_too_late(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    with (
        device(plane, tmp_path / "armed", program, "armed", STOP_LIMIT_S) as armed,
        device(plane, tmp_path / "proving", program, "proving", STOP_LIMIT_S) as proving,
    ):
        stand_at({ARMING: armed, PROVING: proving})
        seen = f"heartbeat of {NEW} seen from the candidate"
        eventually(lambda: seen in history(plane, "armed"), "the candidate is heard")
        with stopped(plane):
            go_on(armed)
            go_on(proving)
            asyncio.run(much_is_said(plane, "armed"))
            eventually(lambda: journaled(armed) == "rolled_back", "its own deadline ends it")
            eventually(lambda: journaled(proving) == "succeeded", "it proves itself")
        refuse_another_end(armed, Phase.ROLLED_BACK, CauseKind.NO_DECISION, OLD)
        refuse_another_end(proving, Phase.SUCCEEDED, None, NEW)
        assert f"{NEW}: the device took the stop" not in history(plane, "armed")
        assert f"{NEW}: committed, in probation" not in history(plane, "armed")


def test_without_plane_and_operator_a_self_test_blames_nobody_and_a_candidate_is_ready(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    with (
        device(plane, tmp_path / "testing", program, "testing", PATIENT_S) as testing,
        device(plane, tmp_path / "readying", program, "readying", PATIENT_S) as readying,
    ):
        configure(testing.machine, "upgrade", self_test_limit_s=SELF_TEST_LIMIT_S)
        stand_at({TESTING: testing, READYING: readying})
        with stopped(plane):
            plane.kill_nats()
            go_on(testing)
            go_on(readying)
            eventually(lambda: journaled(testing) == "failed", "its self-test gives up")
            eventually(lambda: ARMING in readying.passed(), "the candidate is ready")
        refuse_another_end(testing, Phase.FAILED, CauseKind.PLANE_UNREACHABLE, OLD)
        refuse_another_end(readying, Phase.SUCCEEDED, None, NEW)
        plane.order("testing", NEW)
        refuse_another_end(testing, Phase.SUCCEEDED, None, NEW)
