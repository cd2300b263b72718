"""A machine with a real systemd: its disk, its link and its power, and what a test does with it.

    with hub_at(folder) as hub, machine(hub, "pi-1", Kind(DEBIAN_12)) as pi:
        pi.run("systemctl", "is-system-running")

What stands on its disk may be read and written whether it is on or off. Its files are never reached
through /proc: an absolute link in them would lead into the files of this machine.
"""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machines import ssh
from tests.machines.any_machine import ENVIRONMENT, AnyMachine, booted, own_files
from tests.machines.disk import Disk
from tests.machines.hub import Hub, run
from tests.machines.image import DEBIAN_12, Recipe, image
from tests.machines.network import Link
from tests.machines.nspawn import Nspawn, Process

BOOT_LIMIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Kind:
    recipe: Recipe = DEBIAN_12
    disk_bytes: int | None = None
    """An ext4 of its own of that size, which also loses what was not synced."""
    reboots_by_itself: bool = True
    """As machines do. Else it stays off, until the test boots it."""
    volatile_journal: bool = False
    """Else the log lines outlive the boots."""


class Machine(AnyMachine):
    """Off at first; `remove` it at the end."""

    def __init__(self, hub: Hub, name: str, kind: Kind) -> None:
        """Raises NoImage."""
        self.hub, self.name, self.kind = hub, name, kind
        self._folder = hub.folder / name
        root = image(kind.recipe)
        self.disk = Disk.make(hub, root, self._folder, kind.disk_bytes)
        self.disk.mount()
        self.link = Link.lay(hub, name)
        self._nspawn = Nspawn(hub, name, self.disk, kind.reboots_by_itself)
        self.access = ssh.grant(hub.folder, name, self.link.address, root)
        self._settle_in()

    def start(self) -> None:
        self._awaited = self._nspawn.notices.boots + 1
        self._nspawn.turn_on()

    def wait_up(self, limit_s: float = BOOT_LIMIT_S) -> None:
        """Raises BootFailed."""
        self._nspawn.wait_for(self._awaited, limit_s)

    def is_on(self) -> bool:
        return self._nspawn.on()

    def asked_for_reboot(self) -> bool:
        """It went off by a reboot; only where it does not boot again by itself."""
        return self._nspawn.asked_for_reboot()

    def wait_off(self, limit_s: float = BOOT_LIMIT_S) -> None:
        self._nspawn.wait_off(limit_s)

    @contextmanager
    def rebooting(self) -> Iterator[None]:
        """Whatever happens in it makes the machine reboot; it is up again afterwards."""
        self._awaited = self._nspawn.notices.boots + 1
        yield
        self.wait_up()

    def reboot(self) -> None:
        with self.rebooting():
            self.run("systemctl", "reboot")
            if not self.kind.reboots_by_itself:
                self.wait_off()
                self.start()

    def cut_power(self) -> None:
        """A disk of its own loses what was not synced; one in a folder loses nothing."""
        self.disk.lose_unsynced()
        self._nspawn.kill()
        if self.kind.disk_bytes is not None:
            self.disk.unmount()
            self.disk.mount()

    def run(self, *argv: str, stdin: bytes = b"") -> str:
        return run(self.argv(*argv), stdin)

    def argv(self, *argv: str) -> list[str]:
        """For a process of the test's own that runs in the machine; on its disk while it is off."""
        if self.is_on():
            enter = ["nsenter", f"--target={self._nspawn.leader()}", "--all"]
        else:
            enter = self.hub.argv("chroot", str(self.disk.root))
        return [*enter, *ENVIRONMENT, *argv]

    def leader(self) -> int:
        """Its first process, as the test process knows it. Raises MachineOff."""
        return self._nspawn.leader()

    def cgroup_of(self, unit: str) -> Path:
        """Where the pids of a system unit stand, for who looks often."""
        return self._nspawn.cgroup_of(unit)

    def cpu_s(self) -> float:
        """Processor time of all that it itself started, not of what `run` does in it; so far."""
        return self._nspawn.cpu_s()

    def processes(self) -> list[Process]:
        return self._nspawn.processes()

    def remove(self) -> None:
        self._nspawn.close()
        self.disk.unmount()
        self.link.remove()
        shutil.rmtree(self._folder)

    def _settle_in(self) -> None:
        for path, content, mode in own_files(self.access, self.kind.volatile_journal):
            self.write(path, content, mode)


def machine(hub: Hub, name: str, kind: Kind) -> AbstractContextManager[Machine]:
    """Up. Raises NoImage, BootFailed."""
    return booted(Machine(hub, name, kind))
