"""Scenarios that show a mistake, made smaller."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.simulation.programs import Behaviour
from harmony_fleet.simulation.scenario import Fault, FaultKind, Scenario, scenario_of
from harmony_fleet.simulation.shrink import MOST_TRIES, shrink

SEEDS = st.integers(1, 10_000)


def power_cut(number: int) -> Fault:
    return Fault(float(number), FaultKind.POWER_CUT, "dev-1")


@given(SEEDS)
def test_what_is_left_still_shows_it_and_nothing_of_it_can_go(seed: int) -> None:
    def fails(scenario: Scenario) -> bool:
        """It takes two orders, one of them on the last device, and a fault."""
        asked = [ask.device for ask in scenario.asks]
        return len(asked) >= 2 and whole.devices[-1] in asked and len(scenario.faults) >= 1

    whole = scenario_of(seed)
    small = shrink(whole, fails)
    if not fails(whole):
        assert small == whole
        return
    assert fails(small)
    assert len(small.asks) == 2
    assert len(small.faults) == 1
    assert all(program.behaviour is Behaviour.GOOD for program in small.programs)


@given(SEEDS)
def test_one_fault_that_matters_is_found_among_all(seed: int) -> None:
    whole = scenario_of(seed)
    kinds = {fault.kind for fault in whole.faults}

    def fails(scenario: Scenario) -> bool:
        return any(fault.kind is wanted for fault in scenario.faults)

    for wanted in kinds:
        assert {fault.kind for fault in shrink(whole, fails).faults} == {wanted}


def test_it_is_asked_a_bounded_number_of_times() -> None:
    whole = scenario_of(7)
    many = replace(whole, faults=tuple(power_cut(n) for n in range(300)))
    tries = 0

    def fails(_scenario: Scenario) -> bool:
        nonlocal tries
        tries += 1
        return tries % 7 == 0

    shrink(many, fails)
    assert tries <= MOST_TRIES


@given(SEEDS)
def test_a_seed_makes_the_same_scenario_each_time(seed: int) -> None:
    assert scenario_of(seed) == scenario_of(seed)
    assert scenario_of(seed).text() == scenario_of(seed).text()
