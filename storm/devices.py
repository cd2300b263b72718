"""What the devices are: containers, or virtual machines; of each Debian in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from tests.machines.acceleration import acceleration
from tests.machines.control_plane import ControlPlane
from tests.machines.device import Device, Make, Workshop
from tests.machines.domain import Acceleration
from tests.machines.image import RECIPES
from tests.machines.machine import Kind, machine
from tests.machines.pace import EMULATED, NATIVE, Pace
from tests.machines.virtual import virtual_machine

from storm.player import Patience

DISK_BYTES = 512 << 20
EMULATED_SLOWER = 9.0
"""By that factor, about, an emulated machine is slower where it has a processor for itself."""


@dataclass(frozen=True, slots=True)
class Sort:
    words: str
    make: Make
    pace: Pace
    slower: float

    @property
    def patience(self) -> Patience:
        return Patience(self.slower, self.pace.soon_s)


CONTAINERS = Sort("in systemd-nspawn", machine, NATIVE, 1.0)


def virtual_machines() -> Sort:
    """Raises NoGuest, NoLibvirt, NoImage, HubFailed."""
    if acceleration() is Acceleration.KVM:
        return Sort("virtual machines, by KVM", virtual_machine, NATIVE, 1.0)
    return Sort("virtual machines, emulated", virtual_machine, EMULATED, EMULATED_SLOWER)


class Devices:
    def __init__(self, plane: ControlPlane, sort: Sort, side_by_side: int) -> None:
        """Installs one of each Debian that they will be of, before there are threads."""
        self._workshop, self._numbers = Workshop(plane, sort.pace, sort.make), count()
        for recipe in RECIPES[:side_by_side]:
            self._workshop.prepare(recipe)

    @contextmanager
    def make(self) -> Iterator[Device]:
        """On a disk that loses what was not synced."""
        recipe = RECIPES[next(self._numbers) % len(RECIPES)]
        with self._workshop.device(Kind(recipe, disk_bytes=DISK_BYTES)) as device:
            yield device
