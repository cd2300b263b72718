"""A virtual machine of the same image under libvirt: its disk, its link and its power.

    with hub_at(folder) as hub, virtual_machine(hub, "pi-1", Kind(DEBIAN_12)) as pi:
        pi.run("systemctl", "is-system-running")

Its power may be cut by any thread, whatever the others do with it: what they wait for raises
MachineOff then, and may be tried again after the next boot. The disk is a file, in which what the
guest had synced, and maybe more, stands after a cut. While it is off nothing can be run on it.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from tests.machines import ssh
from tests.machines.acceleration import acceleration
from tests.machines.any_machine import AnyMachine, booted, own_files
from tests.machines.connection import Connection, ConnectionLost
from tests.machines.domain import Domain
from tests.machines.hub import Hub, Refused
from tests.machines.image import image
from tests.machines.kernel import ARGUMENTS, kernel
from tests.machines.libvirt import Libvirt
from tests.machines.machine import Kind
from tests.machines.network import Link
from tests.machines.nspawn import BootFailed, MachineOff, Process, unit_of
from tests.machines.virtual_disk import flaws, make_disk

BOOT_LIMIT_S = 300.0
"""An emulated machine takes 10 to 15 s; beside much other work, ten times that."""
_DISK_BYTES = 1 << 30
"""A sparse file."""
_UP = {"running", "degraded"}
_ASK = "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait || :"
_LIST = """
read own </proc/self/cgroup
echo "$own"
grep -s "" /proc/[0-9]*/cgroup
echo
grep -asz "" /proc/[0-9]*/cmdline
true
"""
"""Two programs read all of /proc; a shell that reads it takes an emulated machine seconds."""


class VirtualMachine(AnyMachine):
    """Off at first; `remove` it at the end."""

    def __init__(self, hub: Hub, name: str, kind: Kind) -> None:
        """Raises NoImage, NoLibvirt, NoGuest."""
        self.hub, self.name, self.kind = hub, name, kind
        self.acceleration = acceleration()
        self._libvirt = Libvirt.of(hub)
        self._folder = hub.folder / name
        root = image(kind.recipe)
        self.link = Link.lay_tap(hub)
        self._folder.mkdir()
        self.access = ssh.grant(hub.folder, name, self.link.address, root)
        files = own_files(self.access, kind.volatile_journal)
        make_disk(hub, root, files, self._disk, kind.disk_bytes or _DISK_BYTES)
        self._connection = Connection(hub, self.access)
        self._boot_id = ""
        self._cut = False

    # Its power

    def start(self) -> None:
        self._cut = False
        self._libvirt.create(
            Domain(
                self.name,
                self.acceleration,
                kernel(self.kind.recipe),
                (*ARGUMENTS, f"address={self.address}/24"),
                self._folder / "console.log",
                self._disk,
                self.link.plug,
                self.link.number,
                self.kind.reboots_by_itself,
            )
        )

    def wait_up(self, limit_s: float = BOOT_LIMIT_S) -> None:
        """Until its service manager says so. Raises BootFailed; MachineOff if its power was cut."""
        ends_s = time.monotonic() + limit_s
        while not self._came_up():
            if self._cut:
                raise MachineOff(f"{self.name}: its power was cut while it booted")
            if not self.is_on() or time.monotonic() > ends_s:
                shown = self._console().splitlines()[-12:]
                raise BootFailed("\n".join([f"{self.name} did not come up:", *shown]))
            time.sleep(0.2)

    def is_on(self) -> bool:
        return self._libvirt.is_on(self.name)

    def wait_off(self, limit_s: float = BOOT_LIMIT_S) -> None:
        """By itself. Raises subprocess.TimeoutExpired."""
        ends_s = time.monotonic() + limit_s
        while self.is_on():
            if time.monotonic() > ends_s:
                raise subprocess.TimeoutExpired(self.name, limit_s)
            time.sleep(0.2)
        self._connection.close()

    def cut_power(self) -> None:
        """It loses what was only in its memory. One that is off stays so."""
        self._cut = True
        self._libvirt.destroy(self.name)
        self._connection.close()

    @contextmanager
    def rebooting(self) -> Iterator[None]:
        """Whatever happens in it makes the machine reboot; it is up again afterwards."""
        yield
        self.wait_up()

    def reboot(self) -> None:
        with self.rebooting():
            with suppress(MachineOff):
                self.run("systemctl", "reboot")
            if not self.kind.reboots_by_itself:
                self.wait_off()
                self.start()

    def remove(self) -> None:
        self.cut_power()
        self.link.remove()
        shutil.rmtree(self._folder)

    # What goes on in it

    def run(self, *argv: str, stdin: bytes = b"") -> str:
        """MachineOff: also if it is on and cannot be reached, as while it boots."""
        if not self._connection.is_open() and not self.is_on():
            raise MachineOff(f"{self.name} is off")
        try:
            return self._connection.run(argv, stdin)
        except ConnectionLost as lost:
            raise MachineOff(f"{self.name}: {lost}") from lost

    def processes(self) -> list[Process]:
        """In one command; without whatever runs in the cgroup of sshd."""
        units, _, commands = self.run("sh", "-c", _LIST).partition("\n\n")
        own, *lines = units.splitlines()
        cgroups = dict(line.removeprefix("/proc/").split("/cgroup:", 1) for line in lines)
        words: dict[str, list[str]] = {}
        for record in commands.split("\0"):
            if found := re.match(r"/proc/(\d+)/cmdline:(.*)", record, re.DOTALL):
                words.setdefault(found[1], []).append(found[2])
        return [
            Process(int(pid), tuple(argv), unit_of(cgroups[pid]))
            for pid, argv in words.items()
            if cgroups.get(pid, own) != own
        ]

    def flaws_of_disk(self) -> str:
        """What fsck finds once it has replayed the journal. Only while the machine is off."""
        assert not self.is_on(), f"{self.name} is on"
        return flaws(self._disk)

    def _came_up(self) -> bool:
        """A boot that is not the last one that was seen has come to its end."""
        try:
            boot_id, state = self.run("sh", "-c", _ASK).split()
        except (MachineOff, Refused, ValueError):
            return False
        if boot_id == self._boot_id or state not in _UP:
            return False
        self._boot_id = boot_id
        return True

    def _console(self) -> str:
        return (self._folder / "console.log").read_text(errors="replace").strip()

    @property
    def _disk(self) -> Path:
        return self._folder / "disk"


def virtual_machine(hub: Hub, name: str, kind: Kind) -> AbstractContextManager[VirtualMachine]:
    """Up. Raises NoImage, NoLibvirt, NoGuest, BootFailed."""
    return booted(VirtualMachine(hub, name, kind))
