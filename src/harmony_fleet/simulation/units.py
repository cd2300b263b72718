"""The service manager of one machine: the permanent unit, and the timer that watches upgrades.

The unit: `previous guard` before each start, then what the link leads to; started again whenever it
ends, unless a person stopped it. One start job at a time. As `docs/install.md` has it.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from harmony_fleet.agent.primary import Primary
from harmony_fleet.agent.upgrade import control, deadman, guard_command
from harmony_fleet.agent.upgrade.events import JournalRead
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.upgrading import Device
from harmony_fleet.simulation.candidate_unit import CandidateUnit
from harmony_fleet.simulation.disk import ATTEMPT_OPEN, LINK, PREVIOUS
from harmony_fleet.simulation.executor import SimulatedExecutor
from harmony_fleet.simulation.files import Program as Installed
from harmony_fleet.simulation.lives import Killed, SimulatedProcess
from harmony_fleet.simulation.machine import DiskState, Machine, Notify
from harmony_fleet.simulation.programs import Behaviour, Program

NOWHERE: Final = "nowhere"
"""A client whose weather is always bad."""
PRIMARY, GUARD, DEADMAN = "primary", "guard", "deadman"


class Unit(StrEnum):
    OFF = "off"
    STOPPED = "stopped"
    """By hand."""
    GUARDING = "guarding"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"
    """To be started again."""


class ServiceManager:
    def __init__(self, machine: Machine) -> None:
        self._machine, self._around = machine, machine.around
        self._loop, self._pace = machine.around.loop, machine.around.pace
        self.candidate = CandidateUnit(machine)
        self.state = Unit.OFF
        self.running: Program | None = None
        """What the permanent unit's process is."""
        self._job = 0
        """Of whatever is being waited for: a later one makes it void."""
        self._process: SimulatedProcess | None = None
        self._primary: Primary | None = None
        self._notify: Notify | None = None
        self._after_stop: Callable[[], None] = self._stopped
        self._timer_boot = ""

    # What people and the machine do

    def booted(self) -> None:
        self._guard_first()
        self._timer_boot = self._machine.boot_id
        self._loop.call_later(self._pace.deadman, self._wake, self._timer_boot)

    def powerless(self) -> None:
        self._forget(Unit.OFF)

    def stop(self) -> None:
        self._stop_then(self._stopped)

    def start(self) -> None:
        if self.state is Unit.STOPPING:
            self._after_stop = self._guard_first
        elif self.state in {Unit.STOPPED, Unit.WAITING}:
            self._guard_first()

    def restart(self) -> None:
        """systemctl restart."""
        if self.state is Unit.STOPPED:
            self._guard_first()
        else:
            self._stop_then(self._guard_first)

    def try_restart(self) -> None:
        if self._machine.going_down:
            return
        if self.state in {Unit.GUARDING, Unit.STARTING, Unit.RUNNING, Unit.WAITING}:
            self._stop_then(self._guard_first)

    def shut_down(self, done: Callable[[], None]) -> None:
        """Every unit is told to end at once; `done` when all have ended."""
        self.candidate.stop_soon()

        def ended() -> None:
            self._forget(Unit.OFF)
            done()

        self._stop_then(ended)

    # The permanent unit

    def _enter(self, state: Unit) -> int:
        self._job += 1
        self.state = state
        self._around.witness.unit(self._machine.device_id, state)
        return self._job

    def _later(self, seconds: float, job: int, then: Callable[[], None]) -> None:
        def due() -> None:
            if job == self._job:
                then()

        self._loop.call_later(seconds, due, context=self._loop.outside)

    def _guard_first(self) -> None:
        job = self._enter(Unit.GUARDING)
        self._later(self._pace.guard, job, self._guard)

    def _guard(self) -> None:
        machine, job = self._machine, self._job
        previous = machine.disk.seen(PREVIOUS)
        program = machine.execute(GUARD, previous) if isinstance(previous, str) else None
        machine.guard_did_well = False
        if program is not None:
            process = machine.process(GUARD, program.version, _nobody)
            ports = machine.guard_ports(program)
            try:
                status = process.run(lambda: guard_command.run_guard(ports, machine.notes))
            except Killed:
                pass
            else:
                process.leaves(status)
                sound = machine.disk_state is DiskState.SOUND
                machine.guard_did_well = status == 0 and sound
        if job == self._job:  # else the power went with it
            self._exec()

    def _exec(self) -> None:
        job = self._enter(Unit.STARTING)
        place = self._machine.disk.seen(LINK)
        program = self._program_at(place)
        if program is None:
            self._ended(job, 203)
            return
        self.running = program
        self._process = process = self._machine.process(
            PRIMARY, program.version, lambda status: self._ended(job, status)
        )
        self._notify = Notify(process, self._pace.watchdog, self._ready)
        self._later(self._pace.start_limit, job, process.kill)
        process.start(lambda: self._live(process, program))

    def _program_at(self, place: object) -> Program | None:
        if isinstance(place, Installed):
            program = self._around.programs[place.sha256]
            self._around.witness.executed(
                self._machine.device_id, PRIMARY, program.version, program
            )
            return program
        return self._machine.execute(PRIMARY, place) if isinstance(place, str) else None

    async def _live(self, process: SimulatedProcess, program: Program) -> int:
        await asyncio.sleep(self._pace.program_start)
        machine, notify = self._machine, self._notify
        if program.behaviour is Behaviour.CRASHES_AT_ONCE or notify is None:
            return 1
        self._misbehave(process, program)
        outside = machine.outside(process, notify)
        if program.behaviour is Behaviour.NO_CONTACT:
            outside = machine.outside(process, notify, NOWHERE)

        def device() -> Device:
            executor = SimulatedExecutor(machine, self.candidate, process, program)
            return Device(executor, machine.journal(f"primary {program.version}"))

        self._primary = Primary(machine.config, device, program.says, lambda *_: outside)
        return await self._primary.run()

    def _misbehave(self, process: SimulatedProcess, program: Program) -> None:
        then: dict[Behaviour, Callable[[], None]] = {
            Behaviour.CRASHES_LATER: lambda: process.leaves(1),
            Behaviour.HANGS: process.silence,
            Behaviour.REBOOTS: self._machine.reboot,
        }
        if program.behaviour in then:
            self._loop.call_later(
                self._pace.crash,
                lambda: then[program.behaviour]() if process.alive else None,
                context=self._loop.outside,
            )

    def _ready(self) -> None:
        if self.state is Unit.STARTING:
            job = self._enter(Unit.RUNNING)
            self._watch(job)

    def _watch(self, job: int) -> None:
        notify, process = self._notify, self._process
        if notify is None or process is None:
            return
        left_s = notify.said_at_s + self._pace.watchdog - self._loop.now_s
        if left_s <= 0:
            self._around.witness.said(self._machine.device_id, "the watchdog bites")
            process.kill()
        else:
            self._later(left_s, job, lambda: self._watch(job))

    def _ended(self, job: int, _status: int | None) -> None:
        if self.state in {Unit.OFF, Unit.STOPPED, Unit.GUARDING, Unit.WAITING}:
            return
        self._forget_process()
        if self.state is Unit.STOPPING:
            self._after_stop()
        else:
            job = self._enter(Unit.WAITING)
            self._later(self._pace.restart, job, self._guard_first)

    def _stop_then(self, then: Callable[[], None]) -> None:
        process, primary = self._process, self._primary
        if self.state in {Unit.OFF, Unit.STOPPED}:
            then()
            return
        self._after_stop = then
        if process is None:
            then()
            return
        job = self._enter(Unit.STOPPING)
        if primary is None or not process.alive:
            process.kill()
        else:
            process.call(primary.stop)
            self._later(self._pace.stop_limit, job, process.kill)

    def _stopped(self) -> None:
        self._forget(Unit.STOPPED)

    def _forget(self, state: Unit) -> None:
        self._forget_process()
        self._enter(state)

    def _forget_process(self) -> None:
        self.running = self._process = self._primary = self._notify = None

    # The dead-man timer

    def _wake(self, boot_id: str) -> None:
        if boot_id != self._machine.boot_id or not self._machine.powered:
            return
        self._loop.call_later(self._pace.deadman, self._wake, boot_id)
        if self._machine.disk.seen(ATTEMPT_OPEN) is None or self._machine.going_down:
            return
        previous = self._machine.disk.seen(PREVIOUS)
        program = self._machine.execute(DEADMAN, previous) if isinstance(previous, str) else None
        if program is not None and not self._machine.has_role(DEADMAN):
            process = self._machine.process(DEADMAN, program.version, self._judged)
            process.start(lambda: self._expired(process, program))

    def _judged(self, status: int | None) -> None:
        if status == guard_command.RESTART_UNIT:
            self._around.witness.said(self._machine.device_id, "the dead-man restarts the unit")
            self.try_restart()

    async def _expired(self, process: SimulatedProcess, program: Program) -> int:
        machine = self._machine
        ports, upgrade = machine.guard_ports(program), machine.config.upgrade
        spacing_s = 2.0 * machine.config.plane.reconnect_max_s
        bounds = deadman.Bounds(upgrade.probation_s, spacing_s, upgrade.outage_s)
        found = guard_command.overdue(ports, machine.notes, bounds)
        if isinstance(found, int):
            return found

        def journal() -> Journal | None:
            read = ports.journal.read()
            return read.journal if isinstance(read, JournalRead) else None

        contact = machine.has_contact and await control.acknowledged(
            machine.plane(process), machine.device_id, journal
        )
        return guard_command.judged(ports, machine.notes, bounds, found, contact)


def _nobody(_status: int | None) -> None:
    """A guard's end is waited for where it was started."""
