"""The status of a Device: written anew as a whole, and no other where nothing differs."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from tests.unit.kubernetes_cases import HAPPENINGS, RECORDS, device, newest, stored
from tests.unit.operator_cases import ID, NOW

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.kubernetes.conditions import Obstacle, Presence
from harmony_fleet.operator.kubernetes.objects import ActedOn, Condition, Device, DeviceStatus
from harmony_fleet.operator.kubernetes.render import News, Outlook, asked_of, left_alone, rendered
from harmony_fleet.operator.kubernetes.wants import Acted, Asked
from harmony_fleet.operator.records import DeviceRecord, Happening

LATER: Final = "2026-02-02T00:00:00Z"
RUNS_ONE: Final = DeviceRecord("pi-1", "1.0.0")
STAGING: Final = replace(RUNS_ONE, order=newest(AgentUpgradePhase.STAGING))
NO_RELEASE: Final = Obstacle("UnknownRelease", "there is no AgentRelease of version 2.0.0")


def after(one: Device, status: DeviceStatus) -> Device:
    return stored(changed(one, status=status), int(one.metadata.resource_version) + 1)


def condition(status: DeviceStatus, kind: str) -> Condition:
    (found,) = (one for one in status.conditions if one.type == kind)
    return found


OUTLOOKS = st.builds(
    Outlook, st.none() | st.sampled_from(Presence), st.none() | st.just(NO_RELEASE), st.just(1)
)


@given(RECORDS, OUTLOOKS, HAPPENINGS)
def test_where_nothing_differs_the_status_is_the_same_and_need_not_be_written(
    record: DeviceRecord, outlook: Outlook, told: list[Happening]
) -> None:
    one = device(record, version=10)
    one = after(one, rendered(one, News(record, outlook, told, first=1), NOW))
    assert rendered(one, News(record, outlook), LATER) == one.status
    silent = replace(outlook, presence=None)
    assert rendered(one, News(record, silent), LATER) == one.status, "its heartbeats as they were"


@given(RECORDS, OUTLOOKS)
def test_the_conditions_are_about_the_generation_that_was_looked_at(
    record: DeviceRecord, outlook: Outlook
) -> None:
    one = device(record)
    one = changed(one, metadata=changed(one.metadata, generation=7))
    status = rendered(one, News(record, outlook), NOW)
    assert status.observed_generation == 7
    assert {each.observed_generation for each in status.conditions} == {7}


def test_a_condition_has_the_time_at_which_its_status_changed_and_keeps_it_until_then() -> None:
    one = device(RUNS_ONE)
    one = after(one, rendered(one, News(RUNS_ONE), NOW))
    assert one.status
    assert {each.last_transition_time for each in one.status.conditions} == {NOW}
    status = rendered(one, News(STAGING), LATER)
    times = {each.type: each.last_transition_time for each in status.conditions}
    assert times == {"Ready": LATER, "Reconciling": LATER, "Stalled": NOW, "Online": NOW}
    verifying = replace(RUNS_ONE, order=newest(AgentUpgradePhase.VERIFYING))
    status = rendered(after(one, status), News(verifying), "2026-03-03T00:00:00Z")
    assert condition(status, "Reconciling").reason == "Verifying"
    assert condition(status, "Reconciling").last_transition_time == LATER


@pytest.mark.parametrize(
    ("presence", "shown", "online"),
    [
        (Presence.FRESH, "Fresh", "True"),
        (Presence.LOST, "Lost", "False"),
        (Presence.UNHEARD, None, "False"),
        (None, None, "False"),
    ],
)
def test_how_heartbeats_come_is_shown(
    presence: Presence | None, shown: str | None, online: str
) -> None:
    status = rendered(device(RUNS_ONE), News(RUNS_ONE, Outlook(presence)), NOW)
    assert status.heartbeat == shown
    assert condition(status, "Online").status == online


def test_what_cannot_be_told_of_heartbeats_stays_as_it_was() -> None:
    one = device(RUNS_ONE)
    one = after(one, rendered(one, News(RUNS_ONE, Outlook(Presence.FRESH)), NOW))
    assert rendered(one, News(STAGING), NOW).heartbeat == "Fresh"


def test_an_obstacle_is_told_of_the_spec_that_it_is_about_and_of_no_later_one() -> None:
    outlook = Outlook(Presence.FRESH, NO_RELEASE, generation=1)
    one = device(RUNS_ONE)
    assert condition(rendered(one, News(RUNS_ONE, outlook), NOW), "Stalled").status == "True"
    edited = changed(one, metadata=changed(one.metadata, generation=2))
    assert condition(rendered(edited, News(RUNS_ONE, outlook), NOW), "Stalled").status == "False"


def test_the_order_and_all_that_is_remembered_stand_there() -> None:
    past = newest(AgentUpgradePhase.SUCCEEDED, "0.9.0", upgrade_id="e" * 32)
    record = replace(STAGING, past=(past,), highest=7, journal_id="journal-1", seq=3)
    told = [Happening("ordered", "upgrade to 2.0.0 ordered", ID)]
    status = rendered(device(record), News(record, happenings=told, first=5), NOW)
    assert status.upgrade
    assert (status.upgrade.upgrade_id, status.upgrade.to_version) == (ID, "2.0.0")
    assert [one.to_version for one in status.past] == ["0.9.0"]
    assert (status.current_version, status.highest_generation) == ("1.0.0", 7)
    assert (status.journal_id, status.seq, status.schema) == ("journal-1", 3, 1)
    assert [(one.number, one.at, one.kind) for one in status.history] == [(5, NOW, "ordered")]


def test_what_a_device_asks_for_and_what_was_acted_on_is_read_from_it() -> None:
    one = Device(spec=changed(device(RUNS_ONE).spec, version="2.0.0", retry="monday"))
    assert asked_of(one) == Asked("2.0.0", "monday")
    acted = DeviceStatus(acted_on=ActedOn("1.0.0", "sunday"))
    assert asked_of(changed(one, status=acted)).acted == Acted("1.0.0", "sunday")


def test_an_order_for_what_is_asked_for_is_acted_on_with_the_write_that_gives_it() -> None:
    one = device(RUNS_ONE)
    one = changed(one, spec=changed(one.spec, version="2.0.0", retry="monday"))
    assert rendered(one, News(RUNS_ONE), NOW).acted_on is None
    given_now = rendered(one, News(STAGING), NOW)
    assert given_now.acted_on == ActedOn("2.0.0", "monday")
    again = changed(after(one, given_now), spec=changed(one.spec, retry="tuesday"))
    assert rendered(again, News(STAGING), NOW).acted_on == ActedOn("2.0.0", "monday")


@given(RECORDS, OUTLOOKS)
def test_of_a_device_that_is_left_alone_nothing_but_the_conditions_is_written_and_that_once(
    record: DeviceRecord, outlook: Outlook
) -> None:
    one = device(record)
    one = after(one, rendered(one, News(record, outlook), NOW))
    assert one.status
    alone = left_alone(one, Obstacle("Twin", "another Device counts"), LATER)
    assert condition(alone, "Stalled").reason == "Twin"
    assert condition(alone, "Ready").status == "False"
    assert condition(alone, "Online") == condition(one.status, "Online")
    assert changed(alone, conditions=one.status.conditions) == one.status
    again = left_alone(after(one, alone), Obstacle("Twin", "another Device counts"), "later")
    assert again == alone
