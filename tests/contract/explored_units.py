"""The service manager that the explorer assumes, as `unit_player` plays on it: move by move.

Of the ways in which an end may come the explorer knows one: there is no process then. So it is told
here that it ended, and not how. `moves` must offer exactly one move by each name that is played.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.contract.simulated_units import OPEN
from tests.contract.unit_player import CANNOT, FAILS, GONE, NEW, OLD, UP, Line, Told, play

from harmony_fleet.agent.upgrade.effects import StartCandidate
from harmony_fleet.agent.upgrade.events import ExpiryMark
from harmony_fleet.agent.upgrade.guard import GuardPorts, guard
from harmony_fleet.simulation.disk import JOURNAL, LINK, PREVIOUS, Disk, Value, file_of
from harmony_fleet.simulation.explore import device as explored
from harmony_fleet.simulation.explore.device import Devices, Step, device_files, fresh_device
from harmony_fleet.simulation.explore.world import Device, Kind, Watch, digest

ATTEMPT = replace(OPEN.attempt, target_sha256=digest(OLD)) if OPEN.attempt else None


class Behaving(Devices):
    """Whatever runs next behaves as the script says."""

    next_behaviour = Kind.GOOD

    def behaviour(self, version: str) -> Kind:
        return self.next_behaviour


@dataclass
class ExploredUnits:
    """A `Units`, but for what is done by hand other than a restart."""

    events: list[str] = field(default_factory=list)
    seen: int = 0
    _guarded: list[str] = field(default_factory=list)
    _next_guard: str = ""
    _cut_off: bool = False
    """The unit is restarted while its guard hangs."""

    def __post_init__(self) -> None:
        self._free, self._faulty = Behaving(Kind.GOOD, False), Behaving(Kind.GOOD, True)
        self._device = fresh_device(plain=False)
        self._next_candidate = Kind.GOOD
        self._put(file_of(NEW), digest(NEW))
        self.previous(OLD)

    def guard(self, ports: GuardPorts, mark: ExpiryMark | None) -> None:
        """The shipped one, seen."""
        guard(ports, mark)
        self._guarded.append(f"guard {ports.running}")

    # Moves

    def _take(self, label: str, faulty: bool = False) -> None:
        """The move that begins so; where it may go in several ways they are faults, and the first
        stands for all."""
        self._guarded.clear()
        steps = [step for step in self._moves(faulty) if step.label.startswith(label)]
        assert steps, f"no move is offered by the name of: {label}"
        assert faulty or len(steps) == 1, [step.label for step in steps]
        self._now(steps[0].reaction.device)

    def _moves(self, faulty: bool) -> Sequence[Step]:
        return (self._faulty if faulty else self._free).own(self._device)

    def _now(self, after: Device) -> None:
        before, self._device = self._device, after
        if before.process is not None and after.process is None:
            self.events.append(f"ended {before.process.running}")
        if before.candidate is not None and before.candidate != after.candidate:
            self.events.append(f"candidate {before.candidate.version} ends")
        if after.candidate is not None and before.candidate != after.candidate:
            self.events.append(f"candidate {after.candidate.version}")

    def _unit_starts(self) -> None:
        what, self._next_guard = self._next_guard, ""
        if what:
            self._put(JOURNAL, replace(OPEN, attempt=ATTEMPT))
        if what in {"fail", "hang"}:
            self._cut_off_guard(what)
            return
        self._take("the unit starts")
        self.events += self._guarded
        self._started()

    def _cut_off_guard(self, what: str) -> None:
        self.events.append(FAILS)
        if what == "hang" and self._cut_off:
            self._take("the unit starts; killed before", faulty=True)
        else:
            self._take("the unit starts; the guard is killed before", faulty=True)
        if self._device.process is not None:
            self._started()
        self._put(JOURNAL, None)

    def _started(self) -> None:
        process, place = self._device.process, self._seen(LINK)
        if process is not None:
            self.events += [f"start {process.running}", f"ready {process.running}"]
        elif place not in device_files(self._device):
            self.events.append(CANNOT)
        else:
            self.events += [f"start {place}", f"ended {place}"]
            self._free.next_behaviour = Kind.GOOD

    # What is waited for

    async def until(self, event: str) -> None:
        for _ in range(9):
            if event in self.events[self.seen :]:
                self.seen = self.events.index(event, self.seen) + 1
                return
            assert self._device.process is None, f"it never came to: {event}"
            self._unit_starts()
        raise AssertionError(f"it never came to: {event}")

    async def until_guarding(self) -> None:
        self._cut_off = True

    async def moment(self) -> None:
        if self._device.process is None:
            self._unit_starts()

    # Its disk, and its programs

    def _seen(self, name: str) -> Value:
        return Disk.of(self._device.disk).seen(name)

    def _put(self, name: str, value: Value) -> None:
        disk = Disk.of(self._device.disk)
        disk.names[name] = (value,)
        if value is None:
            del disk.names[name]
        self._device = replace(self._device, disk=disk.image())

    def link(self, version: str) -> None:
        """Its file may have been pruned."""
        self._put(LINK, version)
        if version != GONE:
            self._put(file_of(version), digest(version))

    def previous(self, version: str) -> None:
        self._put(PREVIOUS, version)

    def next_guard(self, what: str) -> None:
        self._next_guard = what
        if what == "swap":
            self.link(NEW)

    def next_start(self, what: str) -> None:
        self._free.next_behaviour = Kind.CRASHES_AT_ONCE

    def next_candidate(self, what: str) -> None:
        self._next_candidate = Kind.NEVER_READY if what == "hang" else Kind.DIES_AS_CANDIDATE

    async def tell(self, what: str) -> None:
        """However it ends. What does not end it the explorer has no move for."""
        assert what.split(maxsplit=1)[0] in {"exit", "kill"}, what
        self._take("the agent is killed", faulty=True)

    async def tell_candidate(self, what: str) -> None:
        self._take("the candidate is killed", faulty=True)

    # What people and the machine do

    async def restart(self) -> None:
        if self._device.process is not None:
            self._take("the unit is restarted", faulty=True)
        elif self._next_guard:
            self._unit_starts()
            self._cut_off = False

    async def reboot(self) -> None:
        self._take("the machine is rebooted", faulty=True)
        self.events.append(UP)

    async def cut_power(self) -> None:
        told = len(self.events)
        self._take("the power is cut", faulty=True)
        self.events[told:] = [UP]  # nobody sees a process end

    # The candidate

    async def start_candidate(self, version: str, shortly: bool = False) -> bool:
        assert self._device.process is not None
        if version != GONE:  # it may have been pruned
            self._put(file_of(version), digest(version))
        work = StartCandidate(version, "1" * 32)
        process = replace(self._device.process, work=work, watch=Watch.NOT_YET)
        self._device = replace(self._device, process=process)
        self._free.next_behaviour, self._next_candidate = self._next_candidate, Kind.GOOD
        self._take("the candidate starts")
        if self._free.next_behaviour is Kind.DIES_AS_CANDIDATE:
            self._take("the candidate dies")
        ready = "the candidate is READY"
        ready = ready if any(move.label == ready for move in self._moves(False)) else ""
        self._take(ready or "the candidate is not READY in time")
        self._free.next_behaviour = Kind.GOOD
        return bool(ready)

    async def stop_candidate(self) -> None:
        """As the primary's effect does, which a test of its own shows."""
        self._now(replace(self._device, candidate=None))

    async def candidate_runs(self) -> bool:
        return self._device.candidate is not None

    # What the explorer leaves out

    def let_end(self) -> None:
        raise NotImplementedError

    async def until_told(self) -> None:
        raise NotImplementedError

    async def state(self) -> str:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self, wait: bool = True) -> None:
        raise NotImplementedError

    async def try_restart(self) -> None:
        raise NotImplementedError


def on_the_explorer(patching: pytest.MonkeyPatch, lines: Sequence[Line]) -> Told:
    units = ExploredUnits()
    patching.setattr(explored, "guard", units.guard)
    return asyncio.run(play(units, lines))
