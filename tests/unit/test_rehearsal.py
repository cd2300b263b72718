"""Rehearsals of a fleet: what is asked as scenarios, what came of it as counts, and the ends."""

from collections import Counter
from dataclasses import replace

import pytest

from harmony_fleet.agent.config import HeartbeatConfig, UpgradeConfig
from harmony_fleet.agent.upgrade import guard_rules
from harmony_fleet.simulation.rehearsal import (
    BEHAVIOURS,
    LEAD_S,
    SHARE,
    Asked,
    Change,
    Release,
    Span,
    counted,
    durations_of,
    ends_of,
    shares,
    spans,
)
from harmony_fleet.simulation.rehearsing import Rehearsed, rehearse, rehearse_share
from harmony_fleet.simulation.scenario import FaultKind

DOWNLOAD_S = 10.0
FEW = 3
UPGRADE_S = 60.0
"""More than a good release needs from its order to its commit."""


def rehearsed(release: Release = Release.GOOD, **more: float) -> Rehearsed:
    asked = replace(Asked(FEW, release, download_s=DOWNLOAD_S), **more)  # type: ignore[arg-type]
    return rehearse(asked, processes=1)


# What is asked


def test_every_name_for_people_is_one_behaviour_of_its_own() -> None:
    assert set(BEHAVIOURS) == set(Release)
    assert len(set(BEHAVIOURS.values())) == len(Release)


def test_every_device_is_ordered_once_in_one_world() -> None:
    found = list(shares(Asked(2 * SHARE + 1)))
    names = [name for share in found for name in share.scenario.devices]
    assert len(names) == len(set(names)) == 2 * SHARE + 1
    assert [ask.device for share in found for ask in share.scenario.asks] == names
    assert {share.begins_s + ask.at_s for share in found for ask in share.scenario.asks} == {0.0}
    assert len({share.scenario.seed for share in found}) == len(found)


def test_groups_are_ordered_one_after_the_other() -> None:
    asked = Asked(250, at_once=120, every_s=600.0)
    ordered = Counter(
        share.begins_s + ask.at_s for share in shares(asked) for ask in share.scenario.asks
    )
    assert ordered == {0.0: 120, 600.0: 120, 1200.0: 10}


def test_an_outage_is_at_the_same_instant_for_every_device_that_knows_of_it() -> None:
    asked = Asked(3, plane_outage_s=300.0, outage_at_s=50.0, at_once=1, every_s=200.0)
    first, second, third = shares(asked)
    for share in (first, second):
        (fault,) = share.scenario.faults
        assert fault.kind is FaultKind.PLANE_KILLED
        assert (share.begins_s + fault.at_s, fault.for_s) == (50.0, 300.0)
    (late,) = third.scenario.faults
    assert third.begins_s + late.at_s == 50.0


def test_a_world_does_not_live_through_what_is_long_past() -> None:
    *_, last = shares(Asked(9, plane_outage_s=60.0, outage_at_s=5.0, at_once=1, every_s=9000.0))
    assert last.scenario.faults == ()
    assert last.begins_s == 8 * 9000.0 - LEAD_S


def test_where_nothing_else_is_asked_the_devices_have_the_products_own_settings() -> None:
    durations = durations_of(Asked(1))
    assert durations.upgrade == UpgradeConfig()
    assert durations.heartbeat == HeartbeatConfig()
    asked = Asked(1, probation_s=60.0, heartbeat_s=0.5)
    assert durations_of(asked).upgrade == UpgradeConfig(probation_s=60.0)
    assert durations_of(asked).heartbeat.quick_interval_s == 0.5


# What came of it


def test_counts_add_up_to_all_devices_at_each_instant() -> None:
    changes = [Change(1.0, "", "Pending"), Change(2.0, "", "Pending"), Change(3.5, "Pending", "F")]
    found = counted(changes, 3, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert found[""] == [3, 2, 1, 1, 1]
    assert found["Pending"] == [0, 1, 2, 2, 1]
    assert found["F"] == [0, 0, 0, 0, 1]


def test_what_changes_after_the_last_instant_is_not_counted() -> None:
    assert counted([Change(9.0, "", "Pending")], 1, [0.0, 1.0]) == {"": [1, 1], "Pending": [0, 0]}


def test_a_phases_span_is_from_its_first_device_to_its_last() -> None:
    changes = [Change(4.0, "", "Pending"), Change(2.0, "", "Pending")]
    assert spans(changes) == {"Pending": Span(2, 2.0, 4.0)}


def test_ends_are_told_the_most_frequent_first() -> None:
    ends = Counter({("Failed", "aborted"): 1, ("RolledBack", "crash_loop"): 5})
    assert ends_of(ends) == [("RolledBack", "crash_loop", 5), ("Failed", "aborted", 1)]


# Rehearsed


@pytest.mark.parametrize(
    ("release", "end"),
    [
        (Release.GOOD, ("Succeeded", "")),
        (Release.WRONG_BYTES, ("Failed", "digest_mismatch")),
        (Release.FAILS_SELF_TEST, ("Failed", "self_test_failed")),
        (Release.HANGS_IN_SELF_TEST, ("Failed", "self_test_timeout")),
        (Release.NEVER_READY, ("RolledBack", "candidate_start_failed")),
        (Release.CANDIDATE_CRASHES, ("RolledBack", "candidate_start_failed")),
        (Release.CANDIDATE_SILENT, ("RolledBack", "candidate_silent")),
        (Release.LIES, ("RolledBack", "candidate_silent")),
        (Release.CRASH_AT_ONCE, ("RolledBack", "crash_loop")),
        (Release.CRASH, ("RolledBack", "crash_loop")),
        (Release.HANG, ("RolledBack", "crash_loop")),
        (Release.NO_CONTACT, ("RolledBack", "no_contact")),
        (Release.REBOOTS, ("RolledBack", "crash_loop")),
    ],
)
def test_each_kind_of_release_ends_as_the_design_says(
    release: Release, end: tuple[str, str]
) -> None:
    found = rehearsed(release)
    assert (found.violations, found.without_agent) == ([], 0)
    assert found.ends == {end: FEW}


def test_a_good_release_leaves_no_device_without_a_process_at_any_instant() -> None:
    found = rehearsed()
    assert (found.interrupted, found.longest_without_process_s, found.silent) == (0, 0.0, 0)
    reached = spans(found.changes)
    assert reached["Committed"].last_s < UPGRADE_S
    assert reached["Succeeded"].first_s > durations_of(Asked(1)).upgrade.probation_s


def test_a_crash_loop_and_a_reboot_interrupt_an_agent_for_as_long_as_a_start_takes() -> None:
    assert 0.0 < rehearsed(Release.CRASH).longest_without_process_s < 2.0
    boot_s = durations_of(Asked(1)).pace.boot
    assert boot_s < rehearsed(Release.REBOOTS).longest_without_process_s < boot_s + 2.0


def test_an_outage_of_the_plane_silences_every_device_for_as_long() -> None:
    found = rehearsed(plane_outage_s=300.0, outage_at_s=1.5 * DOWNLOAD_S)
    assert (found.violations, found.silent) == ([], FEW)
    assert 300.0 < found.longest_silence_s < 400.0
    assert found.interrupted == 0


def test_without_an_operator_nothing_is_committed_and_no_device_falls_silent() -> None:
    found = rehearsed(operator_outage_s=60.0, outage_at_s=1.0)
    assert (found.violations, found.silent) == ([], 0)
    assert found.ends == {("Succeeded", ""): FEW}
    assert spans(found.changes)["Committed"].first_s > 61.0


def test_who_orders_while_no_operator_is_there_tries_until_it_is() -> None:
    found = rehearsed(operator_outage_s=90.0, outage_at_s=0.0)
    assert found.ends == {("Succeeded", ""): FEW}
    assert spans(found.changes)["Pending"].first_s > 90.0


def test_devices_that_are_ordered_after_an_outage_are_counted_as_spared() -> None:
    found = rehearsed(plane_outage_s=60.0, outage_at_s=5.0, at_once=1, every_s=900.0)
    assert (found.violations, found.ends.total(), found.spared) == ([], FEW, FEW - 1)


def test_a_longer_probation_and_a_slower_download_take_longer() -> None:
    found = rehearsed(probation_s=1200.0, download_s=100.0)
    reached = spans(found.changes)
    assert reached["Committed"].first_s > 100.0
    assert reached["Succeeded"].first_s > 1300.0


def test_the_same_is_rehearsed_again_whatever_the_number_of_processes() -> None:
    asked = Asked(5, Release.CRASH, at_once=2, every_s=30.0, plane_outage_s=20.0)
    alone, together = rehearse(asked, processes=1), rehearse(asked, processes=2)
    assert alone.worlds == together.worlds == 3
    assert alone.changes == together.changes
    assert alone.ends == together.ends
    assert alone.longest_silence_s == together.longest_silence_s


def test_after_an_outage_the_operators_of_all_shares_are_back_at_one_instant() -> None:
    fleet = Asked(60, at_once=20, every_s=3.0, download_s=DOWNLOAD_S)
    asked = replace(fleet, plane_outage_s=200.0, outage_at_s=16.0)
    heard_s = [
        min(one.at_s for one in rehearse_share(share).changes if one.at_s > 216.0)
        for share in shares(asked)
    ]
    assert len(heard_s) == 3
    assert max(heard_s) - min(heard_s) < 1.0


def test_another_seed_rehearses_something_else() -> None:
    assert rehearsed(seed=1).changes != rehearsed(seed=2).changes


def test_progress_is_told_device_by_device_until_all_are_done() -> None:
    told: list[int] = []
    rehearse(Asked(5, at_once=2), processes=1, progress=told.append)
    assert told == [2, 2, 1]


def test_a_guard_that_never_goes_back_is_told_as_a_violation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard_rules, "_why_back", lambda _event, _attempt: None)
    found = rehearsed(Release.CRASH)
    assert found.violations
    assert found.without_agent == FEW
