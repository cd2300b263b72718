"""A bad version in probation, and the one to go back to is damaged before the guard checks it."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo.releases import OVERLAYS, tamper
from tests.matrix.damage import CRASHING, old_file, refuse_another_end
from tests.matrix.scene import (
    OLD,
    ControlPlane,
    Device,
    build_stoppable,
    control_plane,
    device,
    eventually,
)
from tests.processes.test_probation import configure

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.embedded.supervisor.settings import SUPERVISOR, UNIT

STARTS_ALLOWED = 2
PROBATION_S = 600.0
"""So that the timer, which may blame the version for something else, has no say in it."""
AT_THE_CHECK = f"guard: before check_target {OLD}"
STOP_LIMIT_S = 10.0


def test_a_bad_version_stays_while_there_is_nothing_to_go_back_to_and_is_undone_once_there_is(
    tmp_path: Path,
) -> None:
    program = build_stoppable(tmp_path, version=OLD)
    bad = build_stoppable(tmp_path, OVERLAYS / "crashes_as_primary", CRASHING)
    damages: dict[str, Callable[[Path], None]] = {"another": another, "gone": Path.unlink}
    with control_plane(tmp_path / "data") as plane, ThreadPoolExecutor() as side_by_side:
        plane.add(CRASHING, bad)

        def play(name: str) -> None:
            with device(plane, tmp_path / name, program, name, STOP_LIMIT_S) as one:
                stay_until_repaired(plane, one, damages[name])

        list(side_by_side.map(play, damages))


def stay_until_repaired(plane: ControlPlane, one: Device, damage: Callable[[Path], None]) -> None:
    limits = {"starts_allowed": STARTS_ALLOWED, "probation_s": PROBATION_S}
    configure(one.machine, "upgrade", **limits)
    one.stop_at(AT_THE_CHECK)
    plane.order(one.device_id, CRASHING)
    eventually(lambda: one.stopped() is not None, "the guard is about to check")
    sound = old_file(one).read_bytes()
    damage(old_file(one))
    before = starts(one)
    os.kill(one.stopped() or 0, signal.SIGCONT)
    eventually(lambda: starts(one) >= before + 3, "it is started again and again")
    assert one.linked() == CRASHING
    assert stage(one) == "committed"
    eventually(lambda: plane.phase(one.device_id) == Phase.COMMITTED, "it is shown in probation")
    repair(old_file(one), sound)
    crashed = Phase.ROLLED_BACK, CauseKind.CRASH_LOOP
    refuse_another_end(one, CRASHING, crashed, OLD)


def another(file: Path) -> None:
    """It runs, and is not what its digest says."""
    tamper(file)
    file.chmod(0o755)


def starts(one: Device) -> int:
    """Of the permanent unit."""
    lines = (one.machine.log / f"{SUPERVISOR}.log").read_text().splitlines()
    return sum(f" {UNIT} pid=" in line and " started " in line for line in lines)


def stage(one: Device) -> str:
    journal = json.loads((one.machine.state / "journal.json").read_bytes())
    return str(journal["attempt"]["stage"])


def repair(file: Path, content: bytes) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    new.chmod(0o755)
    new.replace(file)
