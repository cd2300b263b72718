"""A device's record in its Device's status: read back as it was, told apart, and refused."""

from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from tests.unit.kubernetes_cases import (
    DEVICE_IDS,
    HAPPENINGS,
    RECORDS,
    device,
    newest,
    records,
    stored,
)
from tests.unit.operator_cases import ID, NOW

from harmony_fleet.contracts.upgrade import (
    MAX_EVIDENCE,
    MAX_SENTENCE,
    AgentUpgradePhase,
    Cause,
    CauseKind,
    Desired,
)
from harmony_fleet.operator.kubernetes import objects
from harmony_fleet.operator.kubernetes.conditions import Presence
from harmony_fleet.operator.kubernetes.mapping import (
    ObjectUnusable,
    check_usable,
    device_id_of,
    events_of,
    history_with,
    last_number,
    record_of,
    revision_of,
    upgrade_of,
)
from harmony_fleet.operator.kubernetes.objects import HISTORY_KEPT, MAX_MESSAGE, Device, Metadata
from harmony_fleet.operator.kubernetes.render import News, Outlook, rendered
from harmony_fleet.operator.records import DeviceRecord, Happening
from harmony_fleet.testing.store_suite import full_record

RUNS_ONE: Final = DeviceRecord("pi-1", "1.0.0")


def written(one: Device, record: DeviceRecord, *told: Happening, first: int = 1) -> Device:
    """As the API server has it after a write of that record, by the rules of the store."""
    version = int(one.metadata.resource_version)
    if (record.labels, record.paused) != (record_of(one).labels, record_of(one).paused):
        version += 1
        spec = changed(
            one.spec,
            labels={label.key: label.value for label in record.labels},
            paused=record.paused,
        )
        generation = one.metadata.generation + 1
        metadata = changed(one.metadata, generation=generation, resource_version=str(version))
        one = changed(one, spec=spec, metadata=metadata)
    status = rendered(one, News(record, happenings=told, first=first), NOW)
    return stored(changed(one, status=status), version + 1)


def edited(one: Device, **spec: Any) -> Device:
    """By somebody with kubectl."""
    metadata = changed(one.metadata, generation=one.metadata.generation + 1)
    again = changed(one, spec=changed(one.spec, **spec), metadata=metadata)
    return stored(again, int(one.metadata.resource_version) + 1)


@given(records(DEVICE_IDS))
def test_a_record_is_read_back_as_it_was_written(record: DeviceRecord) -> None:
    one = written(device(record), record)
    assert record_of(one) == record
    assert device_id_of(one) == record.device_id
    assert record_of(stored(one, 99)) == record


def test_a_record_without_any_default_is_read_back_as_well() -> None:
    record = full_record()
    assert record_of(written(device(record), record)) == record


@given(st.lists(RECORDS, max_size=6), st.data())
def test_another_record_has_another_revision_and_conditions_leave_it_as_it_is(
    history: list[DeviceRecord], data: st.DataObject
) -> None:
    one = device(RUNS_ONE)
    found = {revision_of(one): record_of(one)}
    for record in history:
        before = revision_of(one)
        one = written(one, record)
        assert (revision_of(one) == before) == (found[before] == record)
        assert found.setdefault(revision_of(one), record) == record
        outlook = Outlook(data.draw(st.sampled_from(Presence)))
        noted = rendered(one, News(record, outlook), "2026-02-02T00:00:00Z")
        version = int(one.metadata.resource_version) + 1
        before, one = revision_of(one), stored(changed(one, status=noted), version)
        assert revision_of(one) == before


def test_an_edit_of_the_spec_is_another_revision_and_a_first_one_is_not_none() -> None:
    one = device(RUNS_ONE)
    assert revision_of(one) > 0
    assert revision_of(edited(one, version="2.0.0")) != revision_of(one)
    assert revision_of(stored(one, 99)) == revision_of(one), "an annotation, or a finalizer"


def test_a_history_tells_what_happened_in_order_and_numbers_are_kept_once_given() -> None:
    one = written(device(RUNS_ONE), RUNS_ONE, Happening("one", "1"), Happening("two", "2", ID))
    assert [(e.number, e.kind, e.sentence, e.upgrade_id) for e in events_of(one)] == [
        (1, "one", "1", None),
        (2, "two", "2", ID),
    ]
    assert all((e.device_id, e.at) == ("pi-1", NOW) for e in events_of(one))
    before = events_of(one)
    for touched in (stored(one, 99), edited(one, version="2.0.0"), edited(one, paused=True)):
        assert events_of(touched) == before
    assert events_of(written(edited(one, retry="a"), RUNS_ONE))[:2] == before
    assert last_number(one) == 2
    assert (last_number(device(RUNS_ONE)), events_of(device(RUNS_ONE))) == (0, [])


@given(st.lists(HAPPENINGS, max_size=12))
def test_numbers_only_grow_and_the_newest_entries_stay(writes: list[list[Happening]]) -> None:
    one, told = device(RUNS_ONE), []
    for happenings in writes:
        first = last_number(one) + 7
        one = written(one, RUNS_ONE, *happenings, first=first)
        told += [(first + place, each) for place, each in enumerate(happenings)]
        kept = [(e.number, Happening(e.kind, e.sentence, e.upgrade_id)) for e in events_of(one)]
        assert kept == told[-HISTORY_KEPT:]


def test_a_sentence_of_any_length_is_taken() -> None:
    longest = "x" * MAX_MESSAGE
    for sentence, kept in ((longest, longest), (longest + "y", longest[:-1] + "…")):
        one = written(device(RUNS_ONE), RUNS_ONE, Happening("labels", sentence))
        assert [event.sentence for event in events_of(one)] == [kept]


def test_the_longest_cause_is_taken_whole_and_told_in_one_line() -> None:
    why = Cause(CauseKind.ROLLBACK_TARGET_DAMAGED, "ä" * MAX_SENTENCE, "ö" * MAX_EVIDENCE)
    record = replace(RUNS_ONE, order=newest(AgentUpgradePhase.FAILED, cause=why))
    one = written(device(record), record)
    assert record_of(one) == record
    assert one.status
    assert one.status.upgrade
    assert one.status.upgrade.error == f"{why.kind}: {why.sentence}"


def test_an_upgrade_is_shown_in_the_words_of_the_order() -> None:
    order = newest(AgentUpgradePhase.STAGING, from_version="1.0.0", desired=Desired.ABORT)
    shown = msgspec.to_builtins(upgrade_of(order))
    assert (shown["from"], shown["to"], shown["phase"]) == ("1.0.0", "2.0.0", "Staging")
    assert (shown["desired"], shown.get("error")) == ("abort", None)


def test_a_status_of_a_newer_operator_is_left_alone() -> None:
    one = written(device(RUNS_ONE), RUNS_ONE)
    assert one.status
    newer = changed(one, status=changed(one.status, schema=2))
    for use in (check_usable, record_of):
        with pytest.raises(ObjectUnusable, match=r"pi-1 .*newer harmony-fleet \(status schema 2"):
            use(newer)


def test_an_object_under_a_name_that_is_not_its_devices_is_left_alone() -> None:
    spec = objects.DeviceSpec(device_id="pi_1")
    wrong = Device(metadata=Metadata("pi-1", "fleet", resource_version="1"), spec=spec)
    with pytest.raises(ObjectUnusable, match=r"is for pi_1, whose object is called pi-1\.8acdbc77"):
        record_of(wrong)


def test_a_status_that_holds_what_cannot_be_is_left_alone() -> None:
    record = replace(RUNS_ONE, order=newest(AgentUpgradePhase.STAGING))
    one = written(device(record), record)
    assert one.status
    assert one.status.upgrade
    for wrong in (
        {"artifact": objects.Artifact("ftp://nowhere", 1, "a" * 64)},
        {"cause": objects.Cause("crash_loop", "x" * (MAX_SENTENCE + 1))},
    ):
        upgrade = changed(one.status.upgrade, **wrong)
        with pytest.raises(ObjectUnusable, match="the Device pi-1 holds what cannot be"):
            record_of(changed(one, status=changed(one.status, upgrade=upgrade)))


def test_what_a_newer_operator_may_say_is_read_as_unknown() -> None:
    record = replace(RUNS_ONE, order=newest(AgentUpgradePhase.STAGING))
    one = written(device(record), record)
    assert one.status
    assert one.status.upgrade
    status = changed(one.status, upgrade=changed(one.status.upgrade, phase="Pondering"))
    found = record_of(changed(one, status=status)).order
    assert found
    assert found.phase is AgentUpgradePhase.UNKNOWN


def test_a_history_is_never_longer_than_is_kept() -> None:
    many = [Happening("e", str(n)) for n in range(HISTORY_KEPT * 2)]
    kept = history_with(device(RUNS_ONE), many, NOW, 100)
    assert [entry.number for entry in kept] == list(range(100 + HISTORY_KEPT, 100 + len(many)))
