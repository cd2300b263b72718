"""One device's machine: its power, its disk, and what can hit its processes between two steps."""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.outside import Outside
from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.guard import GuardPorts
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.messaging.endpoint import Timing
from harmony_fleet.simulation.disk import (
    CONTROLS,
    EXPIRED,
    JOURNAL,
    LINK,
    RESERVE,
    TORN,
    Disk,
    Unsynced,
    file_of,
)
from harmony_fleet.simulation.downloads import Downloads
from harmony_fleet.simulation.files import DiskJournal, DiskVersions
from harmony_fleet.simulation.files import Program as Installed
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.loop import LIFE
from harmony_fleet.simulation.nats_stream import timestamp
from harmony_fleet.simulation.notes import DiskNotes
from harmony_fleet.simulation.plane import SimulatedPlane
from harmony_fleet.simulation.programs import Program, configuration
from harmony_fleet.simulation.surroundings import Surroundings

_IN_THE_RESERVE: Final = frozenset(f"rename {name}" for name in (JOURNAL, LINK, EXPIRED, CONTROLS))


class DiskState(StrEnum):
    SOUND = "sound"
    FULL = "full"
    READ_ONLY = "read-only"


class Blow(StrEnum):
    """What a trap does."""

    KILL = "kill"
    POWER_CUT = "power-cut"


@dataclass(slots=True)
class Trap:
    """Set for the machine's steps, or for those of one kind of its processes alone."""

    role: str
    steps_left: int
    blow: Blow
    sprung: Callable[[], None]


class Machine:
    def __init__(self, around: Surroundings, device_id: str, first: Program, plain: bool) -> None:
        """With that version installed; `plain`: as a regular file at the link's place."""
        self.around, self.device_id = around, device_id
        self.config: Config = configuration(device_id, around.durations)
        self._chance = around.chances.of(device_id)
        self.disk = Disk(before=self._before_change)
        self.disk_state = DiskState.SOUND
        self.downloads = Downloads(around)
        self.notes = DiskNotes(self.disk)
        self.boot_id, self.booted_at_s, self._boots = "", 0.0, 0
        self.powered = self.going_down = False
        self.guard_did_well = False
        """The one before this start: it ran to its end, on a disk that refused nothing."""
        self.wall_skew_s = 0.0
        """The wall clock's, which only shows."""
        self.processes: dict[SimulatedProcess, str] = {}
        """Those alive, by role."""
        self.traps: list[Trap] = []
        self.sprung: Callable[[Trap, SimulatedProcess], None] = lambda _trap, _process: None
        self.reboot: Callable[[], None] = lambda: None
        """As its root user asks for it."""
        self._install(first, plain)

    def _install(self, first: Program, plain: bool) -> None:
        names = self.disk.names
        names[RESERVE] = (True,)
        names[LINK] = (Installed(first.sha256) if plain else first.version,)
        if not plain:
            names[file_of(first.version)] = (first.sha256,)

    # Power

    def boot(self) -> None:
        self._boots += 1
        self.boot_id = f"boot-{self._boots}"
        self.booted_at_s = self.around.loop.now_s
        self.powered, self.going_down = True, False

    def lose_power(self) -> None:
        """Everything ends at once, and of each name on the disk one of its values is left."""
        self.powered = False
        self.end_all()
        choose = self._chance.choice
        for name in sorted(self.disk.names):
            values = self.disk.names[name]
            if len(values) > 1 or isinstance(values[0], Unsynced):
                left = choose(values)
                if isinstance(left, Unsynced):
                    left = choose((left.value, TORN))
                self.disk.names[name] = (left,)

    def sync_all(self) -> None:
        """As the kernel does before it turns the machine off."""
        self.disk.names = {name: values[-1:] for name, values in self.disk.names.items()}

    def mend_disk(self) -> None:
        self.disk_state = DiskState.SOUND
        self.disk.names.setdefault(RESERVE, (True,))

    # Processes

    def end_all(self) -> None:
        """With the world."""
        for process in list(self.processes):
            process.kill()

    def process(
        self, role: str, name: str, ended: Callable[[int | None], None]
    ) -> SimulatedProcess:
        def over(status: int | None) -> None:
            self.processes.pop(process, None)
            self.around.witness.exited(self.device_id, f"{role} {name}", status)
            ended(status)

        def before(_what: str) -> None:
            if self.traps:
                self._spring(role, process)

        full_name = f"{role} {name} of {self.device_id}"
        process = SimulatedProcess(self.around.loop, full_name, self._chance, over, before)
        self.processes[process] = role
        return process

    def _spring(self, role: str, process: SimulatedProcess) -> None:
        for trap in self.traps:
            if trap.role in {role, "any"}:
                trap.steps_left -= 1
                if trap.steps_left <= 0:
                    self.traps.remove(trap)
                    self.sprung(trap, process)
                    return

    def kill(self, role: str) -> bool:
        """kill -9 of its process in that role, where there is one; of all, where it is any."""
        found = [one for one, its_role in self.processes.items() if role in {its_role, "any"}]
        for process in found:
            process.kill()
        return bool(found)

    def has_role(self, role: str) -> bool:
        return role in self.processes.values()

    def execute(self, what: str, version: str) -> Program | None:
        """What the file of that version does when it is run; None: nothing can run it."""
        sha256 = self.disk.seen(file_of(version))
        program = self.around.programs.get(sha256) if isinstance(sha256, str) else None
        self.around.witness.executed(self.device_id, what, version, program)
        return program

    # Ports

    def outside(self, process: SimulatedProcess, notify: "Notify", who: str = "") -> Outside:
        plane = self.plane(process, who)
        return Outside(Clock(self), plane, notify, self.around.new_id, self.wall)

    def plane(self, process: SimulatedProcess, who: str = "") -> SimulatedPlane:
        timing = Timing(longest_retry_s=self.config.plane.reconnect_max_s)
        return SimulatedPlane(self.around.network, who or self.device_id, process, timing)

    @property
    def has_contact(self) -> bool:
        return self.around.network.passes(self.device_id)

    def wall(self) -> str:
        return timestamp(self.around.loop.now_s + self.wall_skew_s)

    def journal(self, who: str) -> "SeenJournal":
        return SeenJournal(self.disk, self.around.new_id, who, self)

    def guard_ports(self, running: Program) -> GuardPorts:
        return GuardPorts(
            running.says,
            DiskVersions(self.disk, running.version, running.sha256),
            self.journal(f"guard {running.version}"),
            Clock(self),
            self.config.upgrade.starts_allowed,
            lambda: "the unit's last words",
        )

    # The disk

    def _before_change(self, change: str) -> None:
        process = LIFE.get()
        if isinstance(process, SimulatedProcess):
            process.step(change)
        if self.disk_state is DiskState.READ_ONLY:
            raise OSError(errno.EROFS, "read-only file system")
        if self.disk_state is DiskState.FULL and change.startswith("rename"):
            reserve = self.disk.seen(RESERVE) is not None
            if reserve or change not in _IN_THE_RESERVE:
                raise OSError(errno.ENOSPC, "no space left on device")


class Clock:
    """An `outside.Clock`: seconds since the machine's start."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self.boot_id = machine, machine.boot_id

    def boot_time(self) -> BootTime:
        since_s = self._machine.around.loop.now_s - self._machine.booted_at_s
        return BootTime(self.boot_id, since_s)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Notify:
    """An `outside.Service`."""

    def __init__(
        self, process: SimulatedProcess, watchdog_s: float | None, ready: Callable[[], None]
    ) -> None:
        self._process, self.watchdog_s, self._ready = process, watchdog_s, ready
        self.said_at_s = process.loop.now_s

    def ready(self) -> None:
        self._process.step("READY")
        self.alive()
        self._ready()

    def alive(self) -> None:
        self.said_at_s = self._process.loop.now_s


class SeenJournal(DiskJournal):
    """Its writes are seen by the witness, also those that their writer did not live to hear of."""

    def __init__(self, disk: Disk, new_id: Callable[[], str], who: str, machine: Machine) -> None:
        super().__init__(disk, new_id)
        self._who, self._machine = who, machine

    def write(self, journal: Journal) -> None:
        name, witness = self._machine.device_id, self._machine.around.witness
        try:
            super().write(journal)
        except BaseException:
            if self.disk.seen(JOURNAL) is journal:
                witness.half_journaled(name, self._who, journal)
            raise
        witness.journaled(name, self._who, journal)
