"""One case of the matrix: an upgrade is stopped at a checkpoint, some of its parts are killed
there and come back as they would, and what became of the device is judged.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from tests.matrix.scene import NEW, OLD, ControlPlane, Device, eventually

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor


class Victim(StrEnum):
    STOPPED = "what stands at the checkpoint"
    CANDIDATE = "the candidate"
    MACHINE = "the device's machine"
    """Its supervisor is killed, and all that it started: a power cut, and a new boot."""
    OPERATOR = "the operator"
    NATS = "NATS"


Victims = tuple[Victim, ...]
ALONE: tuple[Victims, ...] = tuple((victim,) for victim in Victim)
PAIRS: tuple[Victims, ...] = tuple(
    pair
    for pair in combinations(Victim, 2)
    if pair not in {(Victim.STOPPED, Victim.MACHINE), (Victim.CANDIDATE, Victim.MACHINE)}
)
"""The machine takes its processes with it."""


@dataclass(frozen=True, slots=True)
class Case:
    plot: str
    checkpoint: str
    victims: Victims

    def __str__(self) -> str:
        return f"{self.plot}, {self.checkpoint}: {' and '.join(self.victims)}"


def cases(plot: str, checkpoints: list[str]) -> Iterator[Case]:
    """Each victim alone at each checkpoint; the pairs in turn, one at each."""
    for number, checkpoint in enumerate(checkpoints):
        for victims in (*ALONE, PAIRS[number % len(PAIRS)]):
            yield Case(plot, checkpoint, victims)


def kill(device: Device, victims: Victims) -> None:
    """All at once, and then whatever does not come back by itself is started again."""
    stopped = device.stopped()
    assert stopped is not None, "nothing is stopped"
    candidate = device.state().candidate_pid
    if Victim.NATS in victims:
        device.plane.kill_nats()
    if Victim.OPERATOR in victims:
        device.plane.kill()
    if Victim.MACHINE in victims:
        cut_power(device.root)
    if Victim.CANDIDATE in victims and candidate is not None:
        _signal(candidate, signal.SIGKILL)
    _signal(stopped, signal.SIGKILL if Victim.STOPPED in victims else signal.SIGCONT)
    if Victim.MACHINE in victims:
        spawn_supervisor(device.root)
    if Victim.OPERATOR in victims:
        device.plane.start()


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def play(device: Device, version: str, case: Case) -> Phase:
    """Order, stop, kill, and wait until the attempt has ended: how."""
    plane, name = device.plane, device.device_id
    device.stop_at(case.checkpoint)
    plane.order(name, version)
    eventually(lambda: device.stopped() is not None, "it is stopped")  # maybe after its end
    kill(device, case.victims)
    eventually(lambda: _ended(plane, name), f"it ended: {case}")
    return Phase(plane.phase(name) or "")


def _ended(plane: ControlPlane, name: str) -> bool:
    phase = plane.phase(name)
    return phase is not None and Phase(phase).final


def judge(device: Device, target: str, ended: Phase) -> None:
    assert ended in {Phase.SUCCEEDED, Phase.FAILED, Phase.ROLLED_BACK}, ended
    refuse_another_agent(device, target if ended is Phase.SUCCEEDED else OLD)


def refuse_another_agent(device: Device, wanted: str) -> None:
    """One right agent, nothing left over, and the record says what runs."""
    plane, name = device.plane, device.device_id
    # The timer may have told the verdict before the primary that clears up was started.
    eventually(lambda: device.state().candidate_pid is None, "the candidate is ended")
    eventually(lambda: device.running() == [wanted], f"{wanted} runs alone:", device.running)
    assert device.linked() == wanted, f"the link leads to {device.linked()}, not {wanted}"
    eventually(lambda: plane.view(name)["current_version"] == wanted, "the record says what runs")
    eventually(lambda: not device.left_over(), "nothing is left over:", device.left_over)


def must_succeed(case: Case) -> bool:
    """The device itself was not touched, and the upgrade was a good one."""
    return case.plot == NEW and set(case.victims) <= {Victim.OPERATOR, Victim.NATS}
