"""The shell script of `field/`, over connections that are warm."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.machines.device import Device

from benchmarks.device.masters import end_masters, masters_cpu_s
from benchmarks.device.site import Site
from benchmarks.device.turn import Turn, side_by_side

SCRIPT = Path(__file__).parent / "field/upgrade.sh"


class WarmSsh:
    """What two contenders share: a master for each device."""

    def __init__(self, site: Site) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ssh-")  # a socket's path has 108 bytes
        self.sockets = Path(self._folder.name)
        with ExitStack() as stack:
            stack.callback(self.close)
            side_by_side(site, [self.argv(one, "true") for one in site.devices])
            stack.pop_all()

    def options(self, device: Device) -> list[str]:
        persist = ["-o", "ControlMaster=auto", "-o", "ControlPersist=1h"]
        path = f"ControlPath={self.sockets}/{device.device_id}"
        return ["-F", str(device.machine.access.config), *persist, "-o", path]

    def argv(self, device: Device, *words: str) -> list[str]:
        return ["ssh", *self.options(device), device.device_id, *words]

    def cpu_s(self) -> float:
        """Of the masters, so far."""
        return masters_cpu_s(self.sockets)

    def close(self) -> None:
        end_masters(self.sockets)
        self._folder.cleanup()


class Shell:
    name = "shell over ssh"
    guarded = False

    def prepare(self, site: Site) -> None:
        self._ssh = WarmSsh(site)

    def close(self) -> None:
        self._ssh.close()

    def upgrade(self, site: Site) -> Turn:
        new, before_s = site.new, self._ssh.cpu_s()
        what = (str(new.file), new.version, new.sha256)
        commands = [
            ["sh", str(SCRIPT), one.device_id, *what, *self._ssh.options(one)]
            for one in site.devices
        ]
        with site.watched() as seen:
            ended = side_by_side(site, commands)
        cpu_s = ended.cpu_s + self._ssh.cpu_s() - before_s
        return Turn(ended.seconds, cpu_s, seen)
