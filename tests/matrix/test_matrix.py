"""Kill anything at any moment: at every step of three upgrades, each part, alone and in pairs.

`make test-full` plays all of it; without HARMONY_FLEET_FULL it is a sample, another one each time:
HARMONY_FLEET_SEED, which a failure names, plays one again.
"""

import os
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from demo.releases import OVERLAYS
from tests.matrix.killing import (
    BAD,
    CRASHING,
    SILENT,
    Case,
    Checkpoint,
    NotPassed,
    cases,
    judge,
    play,
    recorded,
)
from tests.matrix.scene import (
    NEW,
    OLD,
    SEED,
    ControlPlane,
    build_stoppable,
    control_plane,
    device,
    eventually,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

pytestmark = pytest.mark.matrix

PLOTS = {NEW: None, SILENT: "never_heartbeats", CRASHING: "crashes_as_primary"}
FEWEST = {NEW: 50, SILENT: 5, CRASHING: 10}
PARTS = 4
"""Of each plot, so that they can run side by side."""
SAMPLE = 1
"""Cases of each part in a sample."""

NOT_PASSED = "not passed"
NUMBERS = count(1)
NOTED: dict[str, list[Checkpoint]] = {}
"""Checkpoints by version, found out once in each process."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("matrix")
    with control_plane(folder / "data") as plane:
        for version, overlay in PLOTS.items():
            plane.add(
                version,
                build_stoppable(folder, OVERLAYS / overlay if overlay else None, version),
            )
        yield plane


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stoppable(tmp_path_factory.mktemp("old"), version=OLD)


def checkpoints_of(
    plane: ControlPlane, program: Path, root: Path, version: str
) -> list[Checkpoint]:
    """Of the good upgrade all, of a bad one those that the good one does not have."""
    for one in (NEW, version):
        if one not in NOTED:
            NOTED[one] = noted(plane, program, root, one)
    if version == NEW:
        return NOTED[NEW]
    good = {one.name for one in NOTED[NEW]}
    return [
        one
        for one in NOTED[version]
        if one.name.replace(version, NEW) not in good and not between(one, NOTED[version])
    ]


def between(one: Checkpoint, others: list[Checkpoint]) -> bool:
    """Of the starts of a version that crashes, the second and the last say it all."""
    name, _, number = one.name.rstrip(")").partition(" (")
    following = f"{name} ({int(number) + 1})" if number else ""
    return number not in {"", "2"} and any(other.name == following for other in others)


def noted(plane: ControlPlane, program: Path, root: Path, version: str) -> list[Checkpoint]:
    """Every checkpoint of an upgrade that nobody disturbs, in order."""
    name = f"noted-{next(NUMBERS)}"
    with device(plane, root / name, program, name, stop_limit_s(version)) as one:
        one.count_anew()
        plane.order(name, version)
        ended = BAD[version][0] if version in BAD else Phase.SUCCEEDED
        eventually(lambda: plane.phase(name) == ended, f"{version} ends {ended}")
        eventually(lambda: ": after prune" in one.passed()[-1], "it has settled")
        return list(recorded(one.log()))


def stop_limit_s(version: str) -> float:
    """Of a silent version it is waited out; else an operator that was killed must be back."""
    return 2.5 if version == SILENT else 10.0


def chosen(found: list[Case], part: int) -> list[Case]:
    mine = found[part::PARTS]
    if os.environ.get("HARMONY_FLEET_FULL"):
        return mine
    return random.Random(f"{SEED} {found[0].plot} {part}").sample(mine, SAMPLE)


def fault_of(case: Case, plane: ControlPlane, program: Path, root: Path) -> str | None:
    name = f"device-{next(NUMBERS)}"
    try:
        with device(plane, root / name, program, name, stop_limit_s(case.plot)) as one:
            ended = play(one, case.plot, case)
            judge(one, case, ended)
    except NotPassed:
        return NOT_PASSED
    except AssertionError as error:
        return f"{case}: {str(error).splitlines()[0]}"
    return None


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("version", PLOTS)
def test_whatever_is_killed_at_whatever_step_one_right_agent_runs_and_nothing_is_left(
    version: str, part: int, plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    checkpoints = checkpoints_of(plane, program, tmp_path, version)
    assert len(checkpoints) > FEWEST[version]
    played = [
        fault_of(case, plane, program, tmp_path)
        for case in chosen(list(cases(version, checkpoints)), part)
    ]
    assert played.count(NOT_PASSED) <= max(1, len(played) // 20), "too many steps were not passed"
    faults = [fault for fault in played if fault and fault != NOT_PASSED]
    assert not faults, "\n".join((f"HARMONY_FLEET_SEED={SEED}", *faults))
