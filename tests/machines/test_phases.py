"""At every step of an upgrade on real systemd, whatever a device and its people do to it.

The agent is stopped at the step by a checkpoint that is laid over it for tests; then it is hit.
After each, exactly one right agent runs, as the protocol says of that step, and nothing is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.machines.conftest import Install
from tests.machines.control_plane import ControlPlane
from tests.machines.device import UNIT, Device, eventually
from tests.machines.image import DEBIAN_12, DEBIAN_13
from tests.machines.machine import Kind
from tests.matrix.checkpoints import ON_SYSTEMD

from harmony_fleet.contracts.upgrade import CauseKind as Kinds

pytestmark = pytest.mark.machines

FROM, TO = "1.0.1", "1.1.1"
CANDIDATE = "fleet-agent-candidate.service"


@dataclass(frozen=True, slots=True)
class Step:
    checkpoint: str
    cut_over: bool = False
    committed: bool = False
    candidate: bool = False


STEPS = (
    Step(f"primary {FROM}: during stage {TO}"),
    Step(f"primary {FROM}: before self_test {TO}"),
    Step(f"primary {FROM}: after write cutover", cut_over=True),
    Step(f"primary {FROM}: after swap_link {TO}", cut_over=True),
    Step(f"primary {FROM}: after start_candidate {TO}", cut_over=True, candidate=True),
    Step(f"primary {FROM}: before write committed", cut_over=True, candidate=True),
    Step(f"primary {FROM}: after write committed", committed=True, candidate=True),
    Step(f"primary {TO}: before write succeeded", committed=True),
)


def kill_the_agent(device: Device, pid: int) -> None:
    device.machine.run("kill", "-9", str(pid))


def cut_the_power(device: Device, pid: int) -> None:
    device.machine.cut_power()
    device.machine.boot()


def reboot(device: Device, pid: int) -> None:
    device.machine.reboot()


def restart_the_unit(device: Device, pid: int) -> None:
    device.machine.systemctl("restart", UNIT)


def stop_the_unit_for_a_while(device: Device, pid: int) -> None:
    """The dead-man timer leaves alone what was stopped by hand."""
    device.machine.systemctl("stop", UNIT)
    assert [unit for unit, _ in device.agents() if unit == UNIT] == []
    device.machine.systemctl("start", UNIT)


def restart_the_operator(device: Device, pid: int) -> None:
    device.plane.kill()
    device.machine.run("kill", "-CONT", str(pid))
    device.plane.start()


def kill_the_candidate(device: Device, pid: int) -> None:
    device.machine.run("systemctl", "kill", "-s", "KILL", CANDIDATE)
    device.machine.run("kill", "-CONT", str(pid))


Hit = Callable[[Device, int], None]
HITS: tuple[Hit, ...] = (
    kill_the_agent,
    cut_the_power,
    reboot,
    restart_the_unit,
    stop_the_unit_for_a_while,
    restart_the_operator,
)
CASES = [(step, hit) for step in STEPS for hit in HITS]
CASES += [(step, kill_the_candidate) for step in STEPS if step.candidate]


def name_of(word: object) -> str:
    return word.checkpoint if isinstance(word, Step) else getattr(word, "__name__", str(word))


@pytest.fixture(scope="session", autouse=True)
def _releases(plane: ControlPlane) -> None:
    for version in (FROM, TO):
        plane.add_stoppable(version)


@pytest.mark.parametrize(
    ("step", "hit", "recipe"),
    [
        pytest.param(*case, (DEBIAN_12, DEBIAN_13)[number % 2], id=" ".join(map(name_of, case)))
        for number, case in enumerate(CASES)
    ],
)
def test_an_upgrade_that_is_hit_ends_as_the_protocol_says(
    step: Step, hit: Hit, recipe: object, install: Install
) -> None:
    device = install(Kind(recipe), FROM)  # type: ignore[arg-type]
    pid = stopped_at(device, step.checkpoint)
    hit(device, pid)
    device.wait_ended()
    assert device.cause() in endings(step, hit), device.story()
    succeeded = device.cause() is None
    assert device.phase() == ("Succeeded" if succeeded else "RolledBack"), device.story()
    device.settled(TO if succeeded else FROM)


def stopped_at(device: Device, checkpoint: str) -> int:
    """Order the upgrade, and wait until the agent stands there: its pid."""
    device.machine.write(f"{ON_SYSTEMD}/stop", checkpoint)
    device.machine.systemctl("restart", UNIT)
    device.order(TO)
    script = f"cat {ON_SYSTEMD}/stopped 2>/dev/null || :"

    def stands() -> str:
        return device.machine.run("sh", "-c", script).strip()

    eventually(lambda: bool(stands()), f"it stands at {checkpoint}:", device.story)
    return int(stands())


def endings(step: Step, hit: Hit) -> set[str | None]:
    """The causes with which it may be rolled back; None: it may succeed.

    Who stops a unit lets the agent go on: it hears of that and of the operator's stop at once, and
    either may be first. So it is with a candidate's death.
    """
    if step.committed or not step.cut_over or hit is restart_the_operator:
        return {None}
    orderly = hit in {reboot, restart_the_unit, stop_the_unit_for_a_while}
    if step.checkpoint.endswith("before write committed") and (
        orderly or hit is kill_the_candidate
    ):
        return {None}  # it has taken the stop
    if hit is kill_the_candidate:
        return {Kinds.CANDIDATE_DIED, None}
    causes: set[str | None] = {Kinds.INTERRUPTED}
    if orderly:
        causes.add(Kinds.SERVICE_STOPPED)
    if hit is reboot:
        causes.add(Kinds.DEVICE_FAULT)  # a systemd that goes down starts no candidate any more
    if orderly and step.candidate:
        causes.add(None)
    return causes
