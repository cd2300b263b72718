"""The shortest proof on real systemd: an install, an upgrade, and one that is undone."""

import pytest
from tests.machines.conftest import Install
from tests.machines.device import OLD, Device, eventually
from tests.machines.image import DEBIAN_12, DEBIAN_13, Recipe
from tests.machines.installs import LINK
from tests.machines.machine import Kind

from harmony_fleet.contracts.upgrade import CauseKind

GOOD, BAD = "4.1.0", "4.2.0"
FURTHER = ("4.3.0", "4.4.0", "4.5.0")
"""As many as are kept."""


@pytest.mark.parametrize(
    "recipe",
    [DEBIAN_12, pytest.param(DEBIAN_13, marks=pytest.mark.machines)],
    ids=lambda recipe: recipe.name,
)
def test_a_device_is_installed_upgraded_and_rolled_back_from_a_version_that_crashes(
    recipe: Recipe, install: Install
) -> None:
    device = install(Kind(recipe))
    device.plane.add_release(GOOD)
    device.plane.add_release(BAD, "crashes_as_primary")
    device.order(GOOD)
    device.wait_ended("Succeeded")
    device.settled(GOOD)
    device.order(BAD)
    device.wait_ended("RolledBack")
    device.settled(GOOD)
    assert device.cause() == CauseKind.CRASH_LOOP
    assert versions(device) == {OLD, GOOD, BAD}


@pytest.mark.machines
def test_old_versions_go_and_modes_stay_as_an_install_leaves_them(install: Install) -> None:
    device = install(Kind(DEBIAN_13))
    before = modes(device, OLD)
    for version in FURTHER:
        device.plane.add_release(version)
        device.order(version)
        device.wait_ended("Succeeded")
        device.settled(version)
    eventually(lambda: versions(device) == set(FURTHER), "one of four goes:", device.story)
    assert modes(device, FURTHER[-1]) == before


def versions(device: Device) -> set[str]:
    names = device.machine.run("ls", "/usr/bin").split()
    return {name.removeprefix("fleet-agent-v") for name in names if "fleet-agent-v" in name}


def modes(device: Device, version: str) -> list[str]:
    """Owner, group and mode of all that an upgrade writes."""
    places = (f"/usr/bin/fleet-agent-v{version}", LINK, "/var/lib/fleet-agent")
    return device.machine.run("stat", "-c", "%u %g %a", *places).splitlines()
