"""Every kind of bad version is undone on real systemd, with nobody there to do it but the guard."""

from dataclasses import dataclass

import pytest
from tests.machines.conftest import Install
from tests.machines.device import OLD
from tests.machines.image import RECIPES, Recipe
from tests.machines.machine import Kind

from harmony_fleet.contracts.upgrade import CauseKind

pytestmark = pytest.mark.machines


@dataclass(frozen=True, slots=True)
class Bad:
    version: str
    overlay: str | None
    phase: str
    causes: tuple[CauseKind, ...]
    evidence: str = ""
    """Stands in what the status tells."""
    tampered: bool = False


BAD = (
    Bad("1.1.0", None, "Failed", (CauseKind.DIGEST_MISMATCH,), tampered=True),
    Bad("1.2.0", "needs_missing_module", "Failed", (CauseKind.SELF_TEST_FAILED,), "sensors"),
    Bad("1.3.0", "dies_as_candidate", "RolledBack", (CauseKind.CANDIDATE_START_FAILED,), "sensor0"),
    Bad("1.4.0", "never_heartbeats", "RolledBack", (CauseKind.CANDIDATE_SILENT,)),
    Bad("1.5.0", "crashes_as_primary", "RolledBack", (CauseKind.CRASH_LOOP,), "Traceback"),
    Bad(
        "1.6.0",
        "dies_soon_as_primary",
        "RolledBack",
        (CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT),
        "the sensor bus was lost",
    ),
    Bad(
        "1.7.0",
        "hangs_as_primary",
        "RolledBack",
        (CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT),
        "waiting for a lock",
    ),
    Bad("1.8.0", "silent_as_primary", "RolledBack", (CauseKind.NO_CONTACT,)),
    Bad("1.9.0", "reboots_machine", "RolledBack", (CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT)),
)


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
