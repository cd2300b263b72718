"""The simulator's service manager, as `unit_player` plays on it.

The guard, the candidate and all that starts, watches and ends are the simulator's own. In place of
the agent as primary there stands a program that does what the script says.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.contract.unit_player import CANNOT, FAILS, NEW, OLD, UP, Line, Told, play

from harmony_fleet.agent.primary import Primary
from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.simulation.candidate_unit import CANDIDATE
from harmony_fleet.simulation.chances import Chances
from harmony_fleet.simulation.device import SimulatedDevice
from harmony_fleet.simulation.disk import JOURNAL, LINK, PREVIOUS, file_of
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.machine import Blow, DiskState, Trap
from harmony_fleet.simulation.nats_server import NatsServer
from harmony_fleet.simulation.network import Network
from harmony_fleet.simulation.programs import SHORT, Pace, Program
from harmony_fleet.simulation.surroundings import Surroundings
from harmony_fleet.simulation.units import GUARD, PRIMARY, ServiceManager, Unit

DEVICE = "pi-1"
PATIENCE_S = 120.0
LONG_S, SHORTLY_S = 1000.0, 4.0
HANGS = 1e9
OPEN = Journal(
    "journal-1",
    attempt=Attempt("1" * 32, 1, Stage.CUTOVER, OLD, NEW, target_sha256=Program(OLD).sha256),
)
"""The guard moves the link back to OLD."""


class StandIn(Primary):
    """What the permanent unit's process does."""

    def __init__(self) -> None:
        self.to_end = asyncio.Event()
        self.lingers, self.deaf, self.told = False, False, False

    def stop(self) -> None:
        self.told = True
        if not self.deaf:
            self.to_end.set()


class StandIns(ServiceManager):
    """Runs them."""

    stand_in: StandIn | None = None
    next_start = ""

    async def _live(self, process: SimulatedProcess, program: Program) -> int:
        what, self.next_start = self.next_start, ""
        await asyncio.sleep(self._pace.program_start)
        if what == "hang":
            await asyncio.sleep(HANGS)
        if what or self._notify is None:
            return 1
        self._primary = self.stand_in = stand_in = StandIn()
        self._notify.ready()
        while not stand_in.to_end.is_set():
            self._notify.alive()
            await asyncio.sleep(0.01)
        while stand_in.lingers:
            self._notify.alive()
            await asyncio.sleep(0.01)
        return 0


@dataclass
class SimulatedUnits:
    """A `Units`, and the witness of its world."""

    loop: SimulatedLoop
    pace: Pace
    events: list[str] = field(default_factory=list)
    seen: int = 0
    _guard: str = ""
    """What the guard of this start does."""
    _guarding = _guard_ran = _began = False

    def __post_init__(self) -> None:
        network = Network(self.loop, NatsServer(lambda: self.loop.now_s), spread_s=0.0)
        programs = {one.sha256: one for one in (Program(OLD), Program(NEW))}
        around = Surroundings(self.loop, network, Chances(1), programs, self)
        upgrade = replace(SHORT.upgrade, overall_limit_s=LONG_S)
        around.durations = replace(SHORT, pace=self.pace, upgrade=upgrade)
        self._device = SimulatedDevice(around, DEVICE, Program(OLD))
        self._machine = self._device.machine
        self._units = self._device.services = StandIns(self._machine)
        self._machine.disk.names[file_of(NEW)] = (Program(NEW).sha256,)
        self._next_guard = ""
        self.previous(OLD)
        self._device.power_on()

    # The witness

    def executed(self, device_id: str, what: str, version: str, program: Program | None) -> None:
        if program is not None and what == GUARD:
            self._guard_ran = True
        elif program is not None:
            self._began = self._began or what == PRIMARY
            who = "start" if what == PRIMARY else "candidate"
            self.events.append(f"{who} {version}")

    def exited(self, device_id: str, process: str, status: int | None) -> None:
        role, version = process.split()
        if not self._machine.powered or role == GUARD:
            return
        if role == CANDIDATE:
            self.events.append(f"candidate {version} ends")
        else:
            self.events.append(f"ended {version} {'by a signal' if status is None else status}")

    def unit(self, device_id: str, state: str) -> None:
        if self._guarding:
            self._guard_is_over(state)
        match state:
            case Unit.GUARDING:
                self._guarding = True
                self._guard_begins()
            case Unit.STARTING:
                self._began = False
            case Unit.RUNNING if self._units.running is not None:
                self.events.append(f"ready {self._units.running.version}")
            case Unit.WAITING if not self._began:
                self.events.append(CANNOT)
            case _:
                pass

    def _guard_begins(self) -> None:
        self._guard, self._next_guard, self._guard_ran = self._next_guard, "", False
        if self._guard:
            self._machine.disk.names[JOURNAL] = (OPEN,)
        if self._guard == "fail":
            self._machine.disk_state = DiskState.READ_ONLY
        if self._guard == "hang":  # the unit's `timeout` ends it
            self._machine.traps = [Trap(GUARD, 1, Blow.KILL, lambda: None)]

    def _guard_is_over(self, state: str) -> None:
        did_well = self._guard_ran and self._machine.guard_did_well
        if did_well and state == Unit.STARTING:
            self.events.append(f"guard {OLD}")
        elif self._guard_ran or state != Unit.STARTING:
            self.events.append(FAILS)
        self._guarding = False
        self._machine.disk_state = DiskState.SOUND
        self._machine.traps.clear()
        self._machine.disk.names.pop(JOURNAL, None)

    def said(self, who: str, what: str) -> None:
        if what == "the machine starts" and self.events:
            self.events.append(UP)

    def journaled(self, device_id: str, who: str, journal: Journal) -> None:
        """The guard's."""

    half_journaled = journaled

    # What is waited for

    async def until(self, event: str) -> None:
        limit_s = self.loop.now_s + PATIENCE_S
        while event not in self.events[self.seen :]:
            assert self.loop.now_s < limit_s, f"it never came to: {event}"
            await asyncio.sleep(0.01)
        self.seen = self.events.index(event, self.seen) + 1

    async def _until_state(self, state: str) -> None:
        limit_s = self.loop.now_s + PATIENCE_S
        while self._units.state != state:
            assert self.loop.now_s < limit_s, f"it never was {state}"
            await asyncio.sleep(0.01)

    async def until_guarding(self) -> None:
        await self._until_state(Unit.GUARDING)

    async def until_told(self) -> None:
        assert self._units.stand_in is not None
        async with asyncio.timeout(PATIENCE_S):
            while not self._units.stand_in.told:
                await asyncio.sleep(0.01)

    async def moment(self) -> None:
        await asyncio.sleep(1.0)

    async def state(self) -> str:
        return str(self._units.state)

    # Its disk, and its programs

    def link(self, version: str) -> None:
        self._machine.disk.names[LINK] = (version,)

    def previous(self, version: str) -> None:
        self._machine.disk.names[PREVIOUS] = (version,)

    def next_guard(self, what: str) -> None:
        self._next_guard = what
        if what == "swap":
            self.link(NEW)

    def next_start(self, what: str) -> None:
        self._units.next_start = what

    def next_candidate(self, what: str) -> None:
        self._next_candidate = what

    async def tell(self, what: str) -> None:
        (process,) = self._of(PRIMARY)
        stand_in = self._units.stand_in
        assert stand_in is not None
        match what.split():
            case ["exit", status]:
                process.leaves(int(status))
            case ["kill"]:
                process.kill()
            case ["hang"]:
                process.silence()
            case ["linger"]:
                stand_in.lingers = True
            case _:
                stand_in.deaf = True

    def let_end(self) -> None:
        assert self._units.stand_in is not None
        self._units.stand_in.lingers = False

    async def tell_candidate(self, what: str) -> None:
        (process,) = self._of(CANDIDATE)
        process.leaves(int(what.split()[1]))

    def _of(self, role: str) -> list[SimulatedProcess]:
        return [one for one, its_role in self._machine.processes.items() if its_role == role]

    # What people, the timer and the machine do

    async def start(self) -> None:
        self._units.start()

    async def stop(self, wait: bool = True) -> None:
        self._units.stop()
        if wait:
            await self._until_state(Unit.STOPPED)

    async def restart(self) -> None:
        self._units.restart()

    async def try_restart(self) -> None:
        self._units.try_restart()

    async def reboot(self) -> None:
        self._device.reboot()
        await self.until(UP)

    async def cut_power(self) -> None:
        self._device.cut_power()
        await self.until(UP)

    # The candidate

    _next_candidate = ""

    async def start_candidate(self, version: str, shortly: bool = False) -> bool:
        limit_s = SHORTLY_S if shortly else LONG_S
        config = self._machine.config
        upgrade = replace(config.upgrade, overall_limit_s=limit_s)
        self._machine.config = replace(config, upgrade=upgrade)
        what, self._next_candidate = self._next_candidate, ""
        ends = self.loop.call_later(0.05, self._misbehave, what)
        try:
            await self._units.candidate.start(version, "1" * 32, ready_limit_s=3.0)
        except UpgradeFault:
            await asyncio.sleep(0.01)  # until its end is known
            return False
        finally:
            ends.cancel()
        return True

    def _misbehave(self, what: str) -> None:
        for process in self._of(CANDIDATE):
            if what == "hang":
                process.silence()
            elif what:
                process.leaves(int(what.split()[1]))

    async def stop_candidate(self) -> None:
        await self._units.candidate.stop()

    async def candidate_runs(self) -> bool:
        return self._units.candidate.running


def on_simulated_units(lines: Sequence[Line], restart_s: float = Pace().restart) -> Told:
    loop = SimulatedLoop()  # type: ignore[abstract]
    told: Told = {}

    async def story() -> None:
        units = SimulatedUnits(loop, replace(Pace(), restart=restart_s))
        told.update(await play(units, lines))

    loop.run(story())
    loop.finish()
    assert loop.complaints == []
    return told
