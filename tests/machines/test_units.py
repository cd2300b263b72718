"""The simulator's service manager does what systemd does with the installed unit, line by line.

What is not compared: how long anything takes; by which signal a process is ended; that a candidate
has a watchdog too, which the simulator leaves out; the sandbox; a start by hand of what waits to be
started again, after which 252 lets it wait, and 257 and the simulator do not.

The timer's own firing is not compared: what is played is the try-restart that it asks for. That the
installed timer fires, and undoes a version that nothing else would, is shown by
`test_bad_versions.py`, at the version that is silent as the primary.
"""

import pytest
from tests.contract import candidate_script
from tests.contract.simulated_units import on_simulated_units
from tests.contract.unit_script import AT_A_LIMIT, BY_HAND, LINES, PATIENT
from tests.machines.conftest import Boot
from tests.machines.image import RECIPES, Recipe
from tests.machines.machine import Kind, Machine
from tests.machines.systemd_units import CODE, at_a_limit, on_systemd
from tests.machines.test_systemd_executor import PACKAGE, PARTS, files_of

pytestmark = pytest.mark.machines

HOUR_S = 3600.0
_PATIENT = f"RestartSec={HOUR_S:g}\n"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_simulated_units_do_what_systemd_does(recipe: Recipe, boot: Boot) -> None:
    pi = with_the_code(boot("pi-1", Kind(recipe)))
    lines = (*LINES, *candidate_script.LINES, *BY_HAND)
    assert on_simulated_units(lines) == on_systemd(pi, lines)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_so_they_do_while_they_wait_to_be_started_again(recipe: Recipe, boot: Boot) -> None:
    pi = with_the_code(boot("pi-1", Kind(recipe)))
    assert on_simulated_units(PATIENT, HOUR_S) == on_systemd(pi, PATIENT, _PATIENT)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_so_they_do_when_a_limit_has_passed(recipe: Recipe, boot: Boot) -> None:
    pi = with_the_code(boot("pi-1", Kind(recipe)))
    for limit, lines in AT_A_LIMIT.items():
        assert on_simulated_units(lines) == at_a_limit(pi, lines, limit)


def with_the_code(machine: Machine) -> Machine:
    """The agent's, for its executor."""
    for file in files_of(PARTS):
        machine.write(f"{CODE}/harmony_fleet/{file.relative_to(PACKAGE)}", file.read_bytes())
    return machine
