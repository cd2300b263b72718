"""Kill anything at any moment: at every step of three upgrades, each part, alone and in pairs.

`make test-full` plays all of it; without HARMONY_FLEET_FULL it is a sample.
"""

import os
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from demo.releases import OVERLAYS
from tests.matrix.killing import Case, cases, judge, must_succeed, play
from tests.matrix.scene import (
    NEW,
    OLD,
    ControlPlane,
    build_stoppable,
    control_plane,
    device,
    eventually,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

pytestmark = pytest.mark.matrix

SILENT, CRASHING = "1.2.0", "1.3.0"
PLOTS = {NEW: None, SILENT: "never_heartbeats", CRASHING: "crashes_as_primary"}
PARTS = 4
"""Of each plot, so that they can run side by side."""
SAMPLE = 1
"""Cases of each part in a sample."""

NUMBERS = count(1)
NOTED: dict[str, list[str]] = {}
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


def checkpoints_of(plane: ControlPlane, program: Path, root: Path, version: str) -> list[str]:
    """Of the good upgrade all, of a bad one those that the good one does not have."""
    for one in (NEW, version):
        if one not in NOTED:
            NOTED[one] = noted(plane, program, root, one)
    if version == NEW:
        return NOTED[NEW]
    return [one for one in NOTED[version] if one.replace(version, NEW) not in NOTED[NEW]]


def noted(plane: ControlPlane, program: Path, root: Path, version: str) -> list[str]:
    """Every checkpoint of an upgrade that nobody disturbs, once, in order."""
    name = f"noted-{next(NUMBERS)}"
    with device(plane, root / name, program, name, stop_limit_s(version)) as one:
        before = len(one.passed())
        plane.order(name, version)
        ended = Phase.SUCCEEDED if version == NEW else Phase.ROLLED_BACK
        eventually(lambda: plane.phase(name) == ended, f"{version} ends {ended}")
        return list(dict.fromkeys(one.passed()[before:]))


def stop_limit_s(version: str) -> float:
    """Of a silent version it is waited out; else an operator that was killed must be back."""
    return 2.5 if version == SILENT else 10.0


def chosen(found: list[Case], part: int) -> list[Case]:
    mine = found[part::PARTS]
    if os.environ.get("HARMONY_FLEET_FULL"):
        return mine
    return random.Random(f"{found[0].plot} {part}").sample(mine, SAMPLE)


def fault_of(case: Case, plane: ControlPlane, program: Path, root: Path) -> str | None:
    name = f"device-{next(NUMBERS)}"
    try:
        with device(plane, root / name, program, name, stop_limit_s(case.plot)) as one:
            ended = play(one, case.plot, case)
            judge(one, case.plot, ended)
            assert ended is Phase.SUCCEEDED or not must_succeed(case), plane.why(name)
            assert case.plot == NEW or ended is not Phase.SUCCEEDED
    except AssertionError as error:
        return f"{case}: {str(error).splitlines()[0]}"
    return None


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("version", PLOTS)
def test_whatever_is_killed_at_whatever_step_one_right_agent_runs_and_nothing_is_left(
    version: str, part: int, plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    checkpoints = checkpoints_of(plane, program, tmp_path, version)
    assert len(checkpoints) > 5
    played = (
        fault_of(case, plane, program, tmp_path)
        for case in chosen(list(cases(version, checkpoints)), part)
    )
    faults = [fault for fault in played if fault]
    assert not faults, "\n".join(faults)
