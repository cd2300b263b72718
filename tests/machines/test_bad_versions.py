"""Every kind of bad version is undone on real systemd, with nobody there to do it but the guard."""

import pytest
from tests.machines.bad_versions import BAD, Bad
from tests.machines.conftest import Install
from tests.machines.device import OLD
from tests.machines.image import RECIPES, Recipe
from tests.machines.machine import Kind

pytestmark = pytest.mark.machines


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.overlay or "tampered")
def test_a_bad_version_is_undone_with_its_cause_and_the_evidence(
    bad: Bad, recipe: Recipe, install: Install
) -> None:
    device = install(Kind(recipe))
    device.plane.add_release(bad.version, bad.overlay, bad.tampered)
    device.order(bad.version)
    device.wait_ended(bad.phase, limit_s=180.0)
    device.settled(OLD)
    assert device.cause() in bad.causes, device.story()
    assert bad.evidence in device.evidence(), device.evidence()
