"""The simulator's service manager does what the local supervisor does, line by line of one script.

What is not compared: how long anything takes; by which signal a process is ended; that a candidate
has a watchdog too, which the simulator leaves out; a start by hand of what waits to be started
again, after which systemd 252 and the supervisor let it wait, and 257 and the simulator do not. The
supervisor has no restart by hand that starts what was stopped: its restart is the timer's.
"""

from dataclasses import replace
from pathlib import Path

from tests.contract.simulated_units import on_simulated_units
from tests.contract.supervised_units import on_the_local_supervisor
from tests.contract.unit_script import LINES, PATIENT
from tests.processes.local_world import SETTINGS

HOUR_S = 3600.0
QUICK = replace(SETTINGS, guard_limit_s=0.5, start_limit_s=1.0, watchdog_s=0.8, stop_limit_s=0.6)


def test_the_simulated_units_do_what_the_local_supervisor_s_do(tmp_path: Path) -> None:
    real = on_the_local_supervisor(tmp_path / "device", LINES, QUICK)
    assert on_simulated_units(LINES) == real


def test_so_they_do_while_they_wait_to_be_started_again(tmp_path: Path) -> None:
    patient = replace(QUICK, restart_s=HOUR_S)
    real = on_the_local_supervisor(tmp_path / "device", PATIENT, patient)
    assert on_simulated_units(PATIENT, HOUR_S) == real
