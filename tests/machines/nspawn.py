"""One machine's power: systemd-nspawn on its root folder, and what it tells of the boots.

All processes of a machine are in a cgroup of its own, where they are found. They are killed by way
of the first of them, with which the kernel ends the others: `cgroup.kill` would spoil the cgroup,
as some kernels then also kill what a later boot puts into it by clone3.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.machines.disk import Disk
from tests.machines.hub import CGROUPS, Hub
from tests.machines.notices import Notices

_REBOOT = 133
"""The status with which nspawn leaves it to us to boot a machine again that rebooted."""
_ONCE = f'echo 0 >{CGROUPS}/$0/cgroup.procs; exec "$@"'
_AGAIN_AND_AGAIN = f"while ({_ONCE}); [ $? -eq {_REBOOT} ]; do :; done"
_OPTIONS = (
    "--boot",
    "--register=no",
    "--keep-unit",
    "--notify-ready=yes",
    "--link-journal=no",
    "--resolv-conf=off",
    "--timezone=off",
    "--console=pipe",
)


class BootFailed(Exception):
    """The machine did not come up. Its text ends with what the console showed last."""


class MachineOff(Exception):
    """There is no running machine to do that in."""


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    """As the machine knows it."""
    argv: tuple[str, ...]
    unit: str


class Nspawn:
    """`reboots`: a machine that reboots is booted again by itself, else it stays off."""

    def __init__(self, hub: Hub, name: str, disk: Disk, reboots: bool) -> None:
        self._hub, self._name, self._disk, self._reboots = hub, name, disk, reboots
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = hub.root / "run" / f"{name}.notify"
        self.notices = Notices(self._socket)
        self._cgroup = hub.root / str(CGROUPS / name).lstrip("/")
        self._cgroup.mkdir(exist_ok=True)

    def turn_on(self) -> None:
        assert not self.on(), f"{self._name} is on"
        argv = ["systemd-nspawn", "-q", "-D", str(self._disk.root), "-M", self._name, *_OPTIONS]
        network = f"--network-namespace-path=/run/netns/{self._name}"
        loop = _AGAIN_AND_AGAIN if self._reboots else _ONCE
        words = self._hub.argv("env", f"NOTIFY_SOCKET=/run/{self._name}.notify")
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                [*words, "sh", "-c", loop, self._name, *argv, network],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd="/",
            )

    def on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def asked_for_reboot(self) -> bool:
        """It is off because it rebooted, and was not to be booted again by itself."""
        return self._process is not None and self._process.poll() == _REBOOT

    def wait_for(self, boots: int, limit_s: float) -> None:
        """Raises BootFailed."""
        ends_s = time.monotonic() + limit_s
        while not self.notices.wait_for(boots, 0.2):
            if not self.on() or time.monotonic() > ends_s:
                shown = self._console.read_text(errors="replace").strip().splitlines()[-12:]
                raise BootFailed("\n".join([f"{self._name} did not come up:", *shown]))

    def wait_off(self, limit_s: float) -> None:
        """Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        self._process.wait(limit_s)

    def kill(self) -> None:
        """Every process at once, be the machine up, on its way up, or just between two boots."""
        while self.on():
            with suppress(MachineOff, ProcessLookupError):
                os.kill(self.leader(), signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.wait_off(0.05)

    def leader(self) -> int:
        """The machine's first process, as the test process knows it. Raises MachineOff."""
        for pid, _ in self._payload() if self.on() else ():
            if _pid_inside(pid) == 1:
                return pid
        raise MachineOff(f"{self._name} is not up")

    def cgroup_of(self, unit: str) -> Path:
        """Of a system unit; it is there while the unit has processes."""
        return self._cgroup / "payload/system.slice" / unit

    def cpu_s(self) -> float:
        """Processor time of all that the machine itself started, so far."""
        (usage_us,) = (self._cgroup / "payload/cpu.stat").read_text().split()[1:2]
        return int(usage_us) / 1e6

    def processes(self) -> list[Process]:
        """Those that the machine itself started; not what `run` does in it."""
        found = []
        for pid, unit in self._payload():
            words = _read(Path(f"/proc/{pid}/cmdline")).rstrip("\0").split("\0")
            if (inside := _pid_inside(pid)) is not None:
                found.append(Process(inside, tuple(words), unit))
        return found

    def _payload(self) -> Iterator[tuple[int, str]]:
        """The pids, as the test process knows them, each with its unit."""
        payload = self._cgroup / "payload"
        for folder, _, _ in os.walk(payload):  # goes on where one is gone meanwhile
            cgroup = Path(folder)
            for pid in _read(cgroup / "cgroup.procs").split():
                yield int(pid), unit_of(str(cgroup.relative_to(payload)))

    def close(self) -> None:
        self.kill()
        self.notices.close()
        self._socket.unlink()

    @property
    def _console(self) -> Path:
        return self._disk.folder / "console.log"


def _pid_inside(pid: int) -> int | None:
    """None: it has ended."""
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended, or is gone
        return ""


def unit_of(cgroup: str) -> str:
    """The innermost service or scope; a service may have cgroups below its own."""
    for part in reversed(cgroup.split("/")):
        if part.endswith((".service", ".scope")):
            return part
    return ""
