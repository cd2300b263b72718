"""The devices of the comparison and their control plane: the same start for every contender."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machines.control_plane import ControlPlane, control_plane
from tests.machines.device import Device, Pace, Workshop, eventually
from tests.machines.hub import Hub
from tests.machines.image import Recipe
from tests.machines.machine import Kind

from benchmarks.device import cpu
from benchmarks.device.listener import Listener
from benchmarks.device.releases import Program, padded
from benchmarks.device.watcher import Watched, Watcher

OLD, NEW = "1.0.0", "1.1.0"
PROBATION_S = 3.0
SETTINGS = {"upgrade.probation_s": PROBATION_S}
"""All else is the product's default."""
IDLE_S = 15.0
QUIET_S = 1.0
"""Between a reset and a turn."""
_PLAIN = "[Service]\nExecStartPre=\n"
"""A drop-in: the unit without our guard, as one that others restart has none."""
_RESET = """
set -e
drop_ins=/etc/systemd/system/fleet-agent.service.d
rm -rf $drop_ins
[ -z "$3" ] || { mkdir $drop_ins; echo "$3" >$drop_ins/plain.conf; }
systemctl daemon-reload
ln -sfn "../../bin/${1##*/}" /usr/local/bin/.reset
mv -T /usr/local/bin/.reset /usr/local/bin/fleet-agent
systemctl restart fleet-agent.service
rm -f "$2"
sync
"""


@dataclass
class Site:
    folder: Path
    plane: ControlPlane
    devices: list[Device]
    old: Program
    new: Program
    listener: Listener
    watcher: Watcher
    idle_cpu: float = 0.0
    """Seconds of a processor in a second, of the control plane while nothing happens."""

    @property
    def hub(self) -> Hub:
        return self.plane.hub

    @property
    def names(self) -> list[str]:
        return [device.device_id for device in self.devices]

    def plane_cpu_s(self) -> float:
        """So far: operator with its artifact server, and NATS."""
        return cpu.sum_s(cpu.family(self.plane.pid))

    def measure_idle(self) -> None:
        began_s, before_s = time.monotonic(), self.plane_cpu_s()
        time.sleep(IDLE_S)
        self.idle_cpu = (self.plane_cpu_s() - before_s) / (time.monotonic() - began_s)

    def reset(self, guarded: bool) -> None:
        """All run the old version, and have no file of the new one. `guarded`: by our guard."""
        drop_in = "" if guarded else _PLAIN
        for device in self.devices:
            device.machine.run("sh", "-c", _RESET, "sh", self.old.path, self.new.path, drop_in)
        for device in self.devices:
            device.settled(self.old.version)
        time.sleep(QUIET_S)

    def check(self) -> None:
        """Raises AssertionError where a device does not run the new version, all as it should be."""
        for device in self.devices:
            device.settled(self.new.version)

    @contextmanager
    def watched(self) -> Iterator[dict[str, Watched]]:
        """Empty until the block has ended; then with each device."""
        found: dict[str, Watched] = {}
        self.watcher.begin()
        yield found
        found |= self.watcher.end()


class Grounds:
    """One control plane, with both releases, for sites of any size."""

    def __init__(self, folder: Path, plane: ControlPlane, recipe: Recipe) -> None:
        self._folder, self._plane, self._recipe = folder, plane, recipe
        self._old, self._new = (padded(version, folder) for version in (OLD, NEW))
        for program in (self._old, self._new):
            plane.add_file(program.version, program.file)
        self._workshop = Workshop(plane, Pace(SETTINGS, {}))

    @contextmanager
    def site(self, number: int) -> Iterator[Site]:
        with ExitStack() as stack:
            devices = [
                stack.enter_context(self._workshop.device(Kind(self._recipe), OLD))
                for _ in range(number)
            ]
            names = [device.device_id for device in devices]
            listener = Listener(self._plane.hub, self._plane.data, names)
            stack.callback(listener.close)
            watcher = Watcher({device.device_id: device.machine for device in devices})
            stack.callback(watcher.close)
            parts = (self._plane, devices, self._old, self._new, listener, watcher)
            site = Site(self._folder, *parts)
            site.measure_idle()
            yield site


@contextmanager
def grounds(hub: Hub, folder: Path, recipe: Recipe) -> Iterator[Grounds]:
    (folder / "plane").mkdir()
    with control_plane(hub, folder / "plane") as plane:
        yield Grounds(folder, plane, recipe)


