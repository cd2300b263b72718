"""Which of a Device's happenings become Events of the cluster."""

from msgspec.structs import replace as changed
from tests.unit.kubernetes_cases import device, newest
from tests.unit.operator_cases import ID, NOW, OLDER_ID

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.kubernetes.recorder import worth_telling
from harmony_fleet.operator.kubernetes.render import News, rendered
from harmony_fleet.operator.records import DeviceRecord, Happening

Phase = AgentUpgradePhase
STAGING = Happening("phase", "2.0.0: Staging", ID)
COMMITTED = Happening("phase", "2.0.0: committed, in probation", ID)
ENDED = Happening("phase", "2.0.0: RolledBack, crash_loop", ID)
RUNS = Happening("version", "runs 1.0.0", None)


def in_phase(phase: Phase) -> Device:
    record = DeviceRecord("pi-1", "1.0.0", newest(phase))
    one = device(record)
    return changed(one, status=rendered(one, News(record), NOW))


def told(one: Device, *happenings: Happening) -> list[tuple[str, str]]:
    return [(reason, each.sentence) for reason, each in worth_telling(one, happenings)]


def test_an_end_is_told_once_though_all_the_phases_before_it_are_stored_in_one_go() -> None:
    found = told(in_phase(Phase.ROLLED_BACK), STAGING, COMMITTED, RUNS, ENDED, RUNS)
    assert found == [("RolledBack", ENDED.sentence)]


def test_an_upgrade_under_way_is_no_event() -> None:
    assert told(in_phase(Phase.COMMITTED), STAGING, RUNS, COMMITTED) == []


def test_what_is_told_late_of_an_older_upgrade_is_not_taken_for_the_end_of_this_one() -> None:
    older = Happening("phase", "1.5.0: Failed", OLDER_ID)
    assert told(in_phase(Phase.SUCCEEDED), older) == []


def test_what_needs_a_person_is_told_in_any_phase() -> None:
    twin = Happening("duplicate_identity", "two devices say that they are pi-1", None)
    for phase in (Phase.STAGING, Phase.ROLLED_BACK):
        assert told(in_phase(phase), twin) == [("DuplicateIdentity", twin.sentence)]
    never_heard = device(DeviceRecord("pi-1"))
    assert told(never_heard, twin) == [("DuplicateIdentity", twin.sentence)]
