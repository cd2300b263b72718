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

from tests.matrix.checkpoints import CANDIDATE
from tests.matrix.scene import OLD, ControlPlane, Device, eventually

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind as Kind
from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor

SILENT, CRASHING = "1.2.0", "1.3.0"


class Victim(StrEnum):
    STOPPED = "what stands at the checkpoint"
    CANDIDATE = "the candidate"
    MACHINE = "the device's machine"
    """Its supervisor is killed, and all that it started: a power cut, and a new boot."""
    OPERATOR = "the operator"
    NATS = "NATS"


Victims = tuple[Victim, ...]
DEVICE = (Victim.STOPPED, Victim.CANDIDATE, Victim.MACHINE)
OUTSIDE = (Victim.OPERATOR, Victim.NATS)
ALONE: tuple[Victims, ...] = tuple((victim,) for victim in Victim)
PAIRS: tuple[Victims, ...] = tuple(
    pair
    for pair in combinations(Victim, 2)
    if pair not in {(Victim.STOPPED, Victim.MACHINE), (Victim.CANDIDATE, Victim.MACHINE)}
)
"""The machine takes its processes with it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Passed by an upgrade that nobody disturbs.

    What is no part of the device is killed after each step, which is before the next one.
    """

    name: str
    candidate: bool
    """There is one, or it is being started."""
    since: "Since"

    def victims(self, with_outside: bool) -> Iterator[Victims]:
        """Each alone."""
        outside = OUTSIDE if with_outside and ": after " in self.name else ()
        for victims in ALONE:
            if self.can_hit(victims) and victims[0] in {*DEVICE, *outside}:
                yield victims

    @property
    def comes_again(self) -> bool:
        return self.name.endswith(")")

    def can_hit(self, victims: Victims) -> bool:
        return self.candidate or Victim.CANDIDATE not in victims


class Since(StrEnum):
    """What is durable when a checkpoint is reached."""

    NOTHING = "nothing is cut over"
    CUTOVER = "the cutover"
    COMMIT = "the commit"
    REVERT = "the revert"


_MARKS = {
    f"primary {OLD}: after write cutover": Since.CUTOVER,
    f"primary {OLD}: after write committed": Since.COMMIT,
    f"primary {OLD}: after write reverting": Since.REVERT,
    "guard: after write reverting": Since.REVERT,
}


def recorded(log: list[str]) -> Iterator[Checkpoint]:
    since = Since.NOTHING
    for line in log:
        name = line.removesuffix(CANDIDATE)
        since = _MARKS.get(name, since)
        starting = ": during start_candidate" in name
        yield Checkpoint(name, line.endswith(CANDIDATE) or starting, since)


@dataclass(frozen=True, slots=True)
class Case:
    plot: str
    checkpoint: Checkpoint
    victims: Victims

    def __str__(self) -> str:
        return f"{self.plot}, {self.checkpoint.name}: {' and '.join(self.victims)}"


def cases(plot: str, checkpoints: list[Checkpoint]) -> Iterator[Case]:
    """Each victim alone at each checkpoint where it lives; the pairs in turn, one at each.

    A bad version takes long to be found bad: there a pair stands at every other checkpoint, and
    what is no part of the device is killed in pairs alone.
    """
    bad = plot in BAD
    for number, checkpoint in enumerate(checkpoints):
        pairs = [pair for pair in PAIRS if checkpoint.can_hit(pair)]
        pair = () if bad and number % 2 else (pairs[number // (1 + bad) % len(pairs)],)
        for victims in (*checkpoint.victims(with_outside=not bad), *pair):
            yield Case(plot, checkpoint, victims)


def kill(device: Device, victims: Victims) -> None:
    """All at once, and then whatever does not come back by itself is started again."""
    stopped = device.stopped()
    assert stopped is not None, "nothing is stopped"
    if Victim.CANDIDATE in victims:
        eventually(lambda: device.state().candidate_pid is not None, "there is a candidate")
        _kill_candidate(device)  # before it can get any further
    if Victim.NATS in victims:
        device.plane.kill_nats()
    if Victim.OPERATOR in victims:
        device.plane.kill()
    if Victim.MACHINE in victims:
        cut_power(device.root)
    _signal(stopped, signal.SIGKILL if Victim.STOPPED in victims else signal.SIGCONT)
    if Victim.MACHINE in victims:
        spawn_supervisor(device.root)
    if Victim.OPERATOR in victims:
        device.plane.start()


def _kill_candidate(device: Device) -> None:
    candidate = device.state().candidate_pid
    assert candidate is not None, "the candidate is gone"
    try:
        os.kill(candidate, signal.SIGKILL)
    except ProcessLookupError as error:
        raise AssertionError("the candidate has ended by itself") from error


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class NotPassed(Exception):
    """The upgrade ended without that step: one that comes again and again came less often."""


def play(device: Device, version: str, case: Case) -> Phase:
    """Order, stop, kill, and wait until the attempt has ended: how. Raises NotPassed."""
    plane, name = device.plane, device.device_id
    device.stop_at(case.checkpoint.name)
    plane.order(name, version)
    try:
        eventually(lambda: device.stopped() is not None, "it is stopped")  # maybe after its end
    except AssertionError:
        if case.checkpoint.comes_again and _ended(plane, name):
            raise NotPassed from None
        raise
    kill(device, case.victims)
    eventually(lambda: _ended(plane, name), f"it ended: {case}")
    return Phase(plane.phase(name) or "")


def _ended(plane: ControlPlane, name: str) -> bool:
    phase = plane.phase(name)
    return phase is not None and Phase(phase).final


def judge(device: Device, case: Case, ended: Phase) -> None:
    upgrade = device.plane.view(device.device_id)["upgrade"]
    found = (ended, (upgrade["cause"] or {}).get("kind"))
    why = device.plane.why(device.device_id)
    assert found in ends(case), f"it ended {found}, not as one of {ends(case)}: {why}"
    refuse_another_agent(device, case.plot if ended is Phase.SUCCEEDED else OLD)


def refuse_another_agent(device: Device, wanted: str) -> None:
    """One right agent, nothing left over, and the record says what runs."""
    plane, name = device.plane, device.device_id
    # The timer may have told the verdict before the primary that clears up was started.
    eventually(lambda: device.state().candidate_pid is None, "the candidate is ended")
    eventually(lambda: device.running() == [wanted], f"{wanted} runs alone:", device.running)
    assert device.linked() == wanted, f"the link leads to {device.linked()}, not {wanted}"
    eventually(lambda: plane.view(name)["current_version"] == wanted, "the record says what runs")
    eventually(lambda: not device.left_over(), "nothing is left over:", device.left_over)


End = tuple[Phase, Kind | None]
DONE: End = (Phase.SUCCEEDED, None)
INTERRUPTED: End = (Phase.ROLLED_BACK, Kind.INTERRUPTED)
NOT_READY: End = (Phase.ROLLED_BACK, Kind.CANDIDATE_START_FAILED)
DIED: End = (Phase.ROLLED_BACK, Kind.CANDIDATE_DIED)
BAD: dict[str, End] = {
    SILENT: (Phase.ROLLED_BACK, Kind.CANDIDATE_SILENT),
    CRASHING: (Phase.ROLLED_BACK, Kind.CRASH_LOOP),
}


def ends(case: Case) -> set[End]:
    """What the protocol promises of this case, with the one kill that it is.

    Until the cutover is durable a device that comes back begins again, as it may three times. From
    then on until the commit is durable a primary that is started again goes back. The commit
    stands: a kill, of the machine too, is one more start of the new version, at most the third, and
    its guard lets three pass; the candidate is needed no more.
    """
    restarted = not {Victim.STOPPED, Victim.MACHINE}.isdisjoint(case.victims)
    bad = BAD.get(case.plot)
    if case.checkpoint.since is Since.CUTOVER:
        if restarted:
            return {INTERRUPTED}
        if Victim.CANDIDATE in case.victims and not bad:
            return _without_candidate(case.checkpoint)
    return {bad or DONE}


def _without_candidate(checkpoint: Checkpoint) -> set[End]:
    """It may have been heard for long enough, and the stop have come, before its end is seen."""
    if "start_candidate" not in checkpoint.name:
        return {DONE}
    if "during" in checkpoint.name:
        return {NOT_READY, DIED}  # it may have been ready a moment before
    return {DIED, DONE}
