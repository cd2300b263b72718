"""The shortest proof on real systemd: an install, an upgrade, and one that is undone."""

import pytest
from tests.machines.conftest import Install
from tests.machines.device import OLD
from tests.machines.image import DEBIAN_12, DEBIAN_13, Recipe
from tests.machines.machine import Kind

from harmony_fleet.contracts.upgrade import CauseKind


@pytest.mark.parametrize(
    "recipe",
    [DEBIAN_12, pytest.param(DEBIAN_13, marks=pytest.mark.machines)],
    ids=lambda recipe: recipe.name,
)
def test_a_device_is_installed_upgraded_and_rolled_back_from_a_version_that_crashes(
    recipe: Recipe, install: Install
) -> None:
    device = install(Kind(recipe))
    device.plane.add_release("1.1.0")
    device.plane.add_release("1.2.0", "crashes_as_primary")
    device.order("1.1.0")
    device.wait_ended("Succeeded")
    device.settled("1.1.0")
    device.order("1.2.0")
    device.wait_ended("RolledBack")
    device.settled("1.1.0")
    assert device.cause() == CauseKind.CRASH_LOOP
    assert device.machine.run("ls", "/usr/bin").count("fleet-agent-v") == 3, OLD
