"""The simulator's service manager does what the local supervisor does, line by line of one script.

What is not compared: how long anything takes; by which signal a process is ended; that a candidate
has a watchdog too, which the simulator leaves out; a start by hand of what waits to be started
again, after which systemd 252 and the supervisor let it wait, and 257 and the simulator do not. The
supervisor has no restart by hand that starts what was stopped: its restart is the timer's.

The timer itself does not fire here: what is played is the restart that it asks for. That it fires,
and when, is shown by `tests/processes/test_supervisor_deadman.py`.
"""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tests.contract import candidate_script, unit_script
from tests.contract.simulated_units import on_simulated_units
from tests.contract.supervised_units import on_the_local_supervisor
from tests.contract.unit_player import SHORT_S, Limit
from tests.contract.unit_script import AT_A_LIMIT, PATIENT
from tests.processes.local_world import SETTINGS

from harmony_fleet.embedded.supervisor.settings import Settings

HOUR_S = 3600.0
AMPLE = replace(SETTINGS, guard_kill_s=20.0)
"""Its limits are the unit's own, 20 seconds and more."""
LIMITED: dict[Limit, Settings] = {
    Limit.GUARD: replace(AMPLE, guard_limit_s=SHORT_S),
    Limit.START: replace(AMPLE, start_limit_s=SHORT_S),
    Limit.WATCHDOG: replace(AMPLE, watchdog_s=SHORT_S),
    Limit.STOP: replace(AMPLE, stop_limit_s=SHORT_S),
}


@pytest.mark.parametrize("script", [unit_script, candidate_script], ids=["unit", "candidate"])
def test_the_simulated_units_do_what_the_local_supervisor_s_do(
    tmp_path: Path, script: ModuleType
) -> None:
    real = on_the_local_supervisor(tmp_path / "device", script.LINES, AMPLE)
    assert on_simulated_units(script.LINES) == real


@pytest.mark.parametrize("limit", Limit)
def test_so_they_do_when_a_limit_has_passed(tmp_path: Path, limit: Limit) -> None:
    lines = AT_A_LIMIT[limit]
    real = on_the_local_supervisor(tmp_path / "device", lines, LIMITED[limit])
    assert on_simulated_units(lines) == real


def test_so_they_do_while_they_wait_to_be_started_again(tmp_path: Path) -> None:
    patient = replace(AMPLE, restart_s=HOUR_S)
    real = on_the_local_supervisor(tmp_path / "device", PATIENT, patient)
    assert on_simulated_units(PATIENT, HOUR_S) == real
