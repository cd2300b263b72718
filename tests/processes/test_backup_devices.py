"""Yesterday's backup under devices that have gone on since: real control plane, real devices."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.matrix.scene import (
    NEW,
    OLD,
    ControlPlane,
    Device,
    build_stoppable,
    control_plane,
    device,
    eventually,
)

from harmony_fleet.cli.main import main
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor

NEWER = "1.2.0"


@dataclass
class Scene:
    plane: ControlPlane
    folder: Path
    first: Device
    second: Device
    away: Device

    def upgraded(self, one: Device, version: str) -> None:
        self.plane.order(one.device_id, version)
        self.ended(one, version, Phase.SUCCEEDED)

    def ended(self, one: Device, version: str, phase: Phase) -> None:
        def there() -> bool:
            upgrade = self.plane.view(one.device_id).get("upgrade") or {}
            return (upgrade.get("to_version"), upgrade.get("phase")) == (version, phase)

        eventually(there, f"the upgrade of {one.device_id} to {version} is shown as {phase}")
        assert (one.linked() == version) == (phase is Phase.SUCCEEDED)

    def restored(self, data: Path, *, plane_lost: bool = False) -> None:
        """`fleet up` ends, the backup takes its data's place, `fleet up` begins."""
        self.plane.kill()
        argv = ["restore", str(self.folder / "backup"), "--replace", "--data", str(data)]
        eventually(lambda: main(argv) == 0, "its NATS server has ended, and it is restored")
        if plane_lost:
            shutil.rmtree(data / "nats/jetstream")
        self.plane.data = data
        self.plane.start()

    def converges(self, version: str) -> None:
        """What was told since the backup is told again, and nothing is done for it."""
        for one in (self.first, self.second):
            eventually(partial(self._hears, one, version), f"{one.device_id} is heard")
            self.ended_before(one)
            assert one.linked() == version

    def _hears(self, one: Device, version: str) -> bool:
        seen = self.plane.view(one.device_id)
        return bool(seen.get("online")) and seen["current_version"] == version

    def ended_before(self, one: Device) -> None:
        """The order that the backup knows; of the second device it was open then."""
        eventually(
            lambda: self.plane.phase(one.device_id) == Phase.SUCCEEDED,
            f"the verdict of {one.device_id} is recorded",
        )
        assert self.plane.view(one.device_id)["upgrade"]["to_version"] == NEW

    def swaps(self) -> list[int]:
        """How often each device has changed what its link leads to."""
        every = (self.first, self.second, self.away)
        return [sum("after swap_link" in line for line in one.passed()) for one in every]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with control_plane(tmp_path / "data") as plane, ExitStack() as stack:
        program = build_stoppable(tmp_path, version=OLD)
        for version in (NEW, NEWER):
            plane.add(version, build_stoppable(tmp_path, version=version))
        first, second, away = (
            stack.enter_context(device(plane, tmp_path / name, program, name, 20.0))
            for name in ("first", "second", "away")
        )
        yield Scene(plane, tmp_path, first, second, away)


@pytest.mark.e2e
def test_devices_that_went_on_since_the_backup_converge_and_can_be_ordered_again(
    scene: Scene,
) -> None:
    plane, first, second, away = scene.plane, scene.first, scene.second, scene.away
    scene.upgraded(first, NEW)
    plane.order("second", NEW)
    assert main(["backup", str(scene.folder / "backup"), "--data", str(plane.data)]) == 0
    scene.ended(second, NEW, Phase.SUCCEEDED)
    for one in (first, second):
        scene.upgraded(one, NEWER)
    scene.upgraded(away, NEW)
    cut_power(away.root)
    swaps = scene.swaps()
    assert swaps == [2, 2, 1]

    # on the same machine, where the message plane still has what was ordered and said last
    scene.restored(plane.data)
    scene.converges(NEWER)
    assert scene.swaps() == swaps
    plane.order("away", NEWER)
    spawn_supervisor(away.root)
    scene.ended(away, NEWER, Phase.SUCCEEDED)
    cut_power(away.root)
    for one in (first, second):
        scene.upgraded(one, NEW)

    # with the message plane lost as well: nobody knows what a device that is away has seen
    swaps = scene.swaps()
    scene.restored(plane.data, plane_lost=True)
    scene.converges(NEW)
    assert scene.swaps() == swaps
    plane.order("away", NEW)
    spawn_supervisor(away.root)
    scene.ended(away, NEW, Phase.NEVER_STARTED)
    scene.upgraded(away, NEW)

    # on a new machine
    swaps = scene.swaps()
    scene.restored(scene.folder / "elsewhere")
    scene.converges(NEW)
    assert scene.swaps() == swaps
    for one in (first, second, away):
        scene.upgraded(one, NEWER)
