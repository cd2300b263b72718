"""The devices of the comparison and their control plane: the same start for every contender."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.machines.control_plane import ControlPlane, control_plane
from tests.machines.device import Device, Workshop
from tests.machines.hub import Hub
from tests.machines.image import Recipe
from tests.machines.machine import Kind, Machine
from tests.machines.pace import NATIVE, Pace

from benchmarks.device import cpu
from benchmarks.device.listener import Listener
from benchmarks.device.releases import Program, padded
from benchmarks.device.watcher import Watched, Watcher

OLD, NEW = "1.0.0", "1.1.0"
PROBATION_S = 3.0
PACE = Pace({"upgrade.probation_s": PROBATION_S}, "", "", NATIVE.soon_s)
"""All else is the product's default."""
IDLE_S = 15.0
QUIET_S = 1.0
"""Between a reset and a turn."""
_PLAIN = "[Service]\nExecStartPre=\n"
"""A drop-in: the unit without our guard, as one that others restart has none."""
_RESET = """
set -e
drop_ins=/etc/systemd/system/fleet-agent.service.d
mkdir -p $drop_ins
rm -f $drop_ins/plain.conf
[ -z "$3" ] || echo "$3" >$drop_ins/plain.conf
systemctl daemon-reload
ln -sfn "../../bin/${1##*/}" /usr/local/bin/.reset
mv -T /usr/local/bin/.reset /usr/local/bin/fleet-agent
systemctl restart fleet-agent.service
rm -f "$2"
sync
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Of the control plane's processor time."""

    at_s: float
    """Monotonic, or how long it took."""
    operator_s: float
    """With its API and its artifact server."""
    nats_s: float


@dataclass
class Seen:
    """Of the devices, in one turn, from outside."""

    devices: dict[str, Watched] = field(default_factory=dict)
    cpu_s: float = 0.0
    """Of all that ran on them."""

    @property
    def without_s(self) -> float:
        """Without a ready agent, summed over the devices."""
        return sum(one.without_s for one in self.devices.values())


@dataclass
class Site:
    folder: Path
    plane: ControlPlane
    devices: list[Device]
    old: Program
    new: Program
    listener: Listener
    watcher: Watcher
    idle: Spent = Spent(1.0, 0.0, 0.0)
    """While nothing happens."""

    @property
    def hub(self) -> Hub:
        return self.plane.hub

    @property
    def names(self) -> list[str]:
        return [device.device_id for device in self.devices]

    def spent(self) -> Spent:
        """So far."""
        pid, *rest = cpu.family(self.plane.pid)
        return Spent(time.monotonic(), cpu.cpu_s(pid), cpu.sum_s(rest))

    def spent_since(self, before: Spent) -> Spent:
        """Less what the same time costs when nothing happens."""
        now, idle = self.spent(), self.idle
        seconds = now.at_s - before.at_s
        operator_s = now.operator_s - before.operator_s - idle.operator_s * seconds / idle.at_s
        nats_s = now.nats_s - before.nats_s - idle.nats_s * seconds / idle.at_s
        return Spent(seconds, operator_s, nats_s)

    def measure_idle(self) -> None:
        """Before the first turn; takes its time."""
        before = self.spent()
        time.sleep(IDLE_S)
        now = self.spent()
        self.idle = Spent(
            now.at_s - before.at_s, now.operator_s - before.operator_s, now.nats_s - before.nats_s
        )

    def reset(self, guarded: bool) -> None:
        """All run the old version, and have no file of the new one. `guarded`: by our guard."""
        drop_in = "" if guarded else _PLAIN
        words = ("sh", "-c", _RESET, "sh", self.old.path, self.new.path, drop_in)
        self._each(lambda device: device.machine.run(*words))
        self._each(lambda device: device.settled(self.old.version))
        time.sleep(QUIET_S)

    def check(self) -> None:
        """All run the new version, and all is as it should be. Raises AssertionError."""
        self._each(lambda device: device.settled(self.new.version))

    def _each(self, do: Callable[[Device], object]) -> None:
        with ThreadPoolExecutor(len(self.devices)) as threads:
            for _ in threads.map(do, self.devices):
                pass

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Filled when the block has ended."""
        seen, before_s = Seen(), self._devices_cpu_s()
        self.watcher.begin()
        yield seen
        seen.devices = self.watcher.end()
        seen.cpu_s = self._devices_cpu_s() - before_s

    def _devices_cpu_s(self) -> float:
        return sum(container(device).cpu_s() for device in self.devices)


def container(device: Device) -> Machine:
    """Its processes are this kernel's."""
    assert isinstance(device.machine, Machine)
    return device.machine


class Grounds:
    """One control plane, with both releases, for sites of any size."""

    def __init__(self, folder: Path, plane: ControlPlane, recipe: Recipe) -> None:
        self._folder, self._plane, self._recipe = folder, plane, recipe
        self._old, self._new = (padded(version, folder) for version in (OLD, NEW))
        for program in (self._old, self._new):
            plane.add_file(program.version, program.file)
        self._workshop = Workshop(plane, PACE)

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
            watcher = Watcher({device.device_id: container(device) for device in devices})
            stack.callback(watcher.close)
            parts = (self._plane, devices, self._old, self._new, listener, watcher)
            yield Site(self._folder, *parts)


@contextmanager
def grounds(hub: Hub, folder: Path, recipe: Recipe) -> Iterator[Grounds]:
    (folder / "plane").mkdir()
    with control_plane(hub, folder / "plane") as plane:
        yield Grounds(folder, plane, recipe)
