"""Mender's standalone client with an update module of `field/`, told by ssh that is warm.

The client is Debian's, in an image of its own; its service, which talks to a Mender server, is off.
"""

import math
from contextlib import ExitStack
from pathlib import Path

from tests.machines.installs import file_server
from tests.machines.machine import Machine

from benchmarks.device.releases import Program
from benchmarks.device.shell import WarmSsh
from benchmarks.device.site import Site, container
from benchmarks.device.turn import Turn, side_by_side

MODULE = Path(__file__).parent / "field/fleet-agent.module"
_KIND = "bench"
_PACKED = "/root/new.mender"


class Mender:
    name = "mender"
    guarded = False

    def prepare(self, site: Site) -> None:
        with ExitStack() as stack:
            self._begin(site, stack)
            self._until_closed = stack.pop_all()

    def _begin(self, site: Site, stack: ExitStack) -> None:
        for device in site.devices:
            _settle(container(device))
        folder = site.folder / "mender"
        folder.mkdir(exist_ok=True)
        (folder / "new.mender").write_bytes(_pack(container(site.devices[0]), site.new))
        self._url = stack.enter_context(file_server(site.hub, folder))
        self._ssh = WarmSsh(site)
        stack.callback(self._ssh.close)

    def close(self) -> None:
        self._until_closed.close()

    def upgrade(self, site: Site) -> Turn:
        typed = f"mender install {self._url}/new.mender && mender commit"
        with site.watched() as seen:
            ended = side_by_side(site, [self._ssh.argv(one, typed) for one in site.devices])
        return Turn(ended.seconds, math.nan, seen)


def _settle(machine: Machine) -> None:
    machine.systemctl("disable", "--now", "mender-client.service")
    machine.write("/etc/mender/artifact_info", "artifact_name=old\n")
    machine.write("/var/lib/mender/device_type", f"device_type={_KIND}\n")
    machine.write("/etc/mender/mender.conf", "{}")
    machine.write("/usr/share/mender/modules/v3/fleet-agent", MODULE.read_bytes(), 0o755)


def _pack(machine: Machine, new: Program) -> bytes:
    """By Mender's own tool, in the machine. What cannot be compressed is not compressed."""
    file = f"/root/fleet-agent-v{new.version}"
    machine.write(file, new.file.read_bytes())
    words = ("-T", "fleet-agent", "-t", _KIND, "-n", new.version, "-f", file, "-o", _PACKED)
    machine.run("mender-artifact", "write", "module-image", "--compression", "none", *words)
    machine.run("rm", file)
    packed = machine.hub.root / str(machine.disk.root / _PACKED.lstrip("/")).lstrip("/")
    return packed.read_bytes()
