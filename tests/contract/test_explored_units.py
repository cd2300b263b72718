"""The explorer assumes of a service manager what the simulator's does, which is held to real ones.

Left out there, and so not compared: what is stopped by hand, and started again; how long anything
waits; how an end came; that a candidate is ended when its whole time is over, which is there a
candidate that is killed. The primary is the shipped one, which ends a candidate once it is READY:
that one outlives the old primary is shown before that.

Left out too are the lines on one that hangs, that is never ready or that ends before it is, and on
a guard that hangs: the explorer has one move for all that ends a process, or a guard, and would
play them as lines that are compared already. In a restart of one that is not ready yet, one that
has just ended stands for it.
"""

from dataclasses import replace

import pytest
from tests.contract import candidate_script, unit_script
from tests.contract.explored_units import on_the_explorer
from tests.contract.simulated_units import on_simulated_units
from tests.contract.unit_player import NEW, Told

from harmony_fleet.simulation.explore.device import Devices
from harmony_fleet.simulation.explore.start import installed
from harmony_fleet.simulation.explore.world import Candidate, Kind

LINES = (
    unit_script.it_is_started_again_however_it_ends,
    unit_script.a_guard_that_fails_or_is_missing_blocks_no_start,
    unit_script.what_the_guard_links_is_what_starts,
    unit_script.what_the_primary_links_is_what_starts_when_it_hands_over,
    unit_script.a_link_that_leads_nowhere_is_tried_until_it_leads_somewhere,
    unit_script.a_restart_by_hand_ends_and_starts_it_whatever_it_does,
    candidate_script.one_candidate_takes_the_place_of_another,
    candidate_script.a_candidate_that_ends_is_gone_and_nobody_starts_it_again,
    candidate_script.a_candidate_that_does_not_get_ready_is_not_there,
    candidate_script.a_reboot_tells_both_to_end_and_starts_the_primary_alone,
    candidate_script.a_power_cut_ends_both_and_starts_the_primary_alone,
)


def test_the_explorer_s_units_do_what_the_simulated_ones_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert on_the_explorer(monkeypatch, LINES) == roughly(on_simulated_units(LINES))


@pytest.mark.parametrize("end", ["the agent is killed", "the unit is restarted"])
def test_a_candidate_outlives_the_primary_there_too(end: str) -> None:
    device, _, _ = installed(plain=False)
    both = replace(device, candidate=Candidate(NEW, "1" * 32))
    steps = Devices(Kind.GOOD, faulty=True).own(both)
    after = [step.reaction.device for step in steps if step.label == end]
    assert [(one.process, one.candidate) for one in after] == [(None, both.candidate)]


def roughly(told: Told) -> Told:
    """Without how an end came."""
    return {line: [_roughly(event) for event in events] for line, events in told.items()}


def _roughly(event: str) -> str:
    return " ".join(event.split()[:2]) if event.startswith("ended") else event
