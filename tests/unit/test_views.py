from dataclasses import replace

import pytest
from tests.unit.operator_cases import (
    A_MINUTE_AGO,
    AN_HOUR_AGO,
    ID,
    NOW,
    OLDER_ID,
    Seen,
    beat,
    case,
    never_heard,
    order,
)

from harmony_fleet.contracts.heartbeat import Progress
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired, cause
from harmony_fleet.operator.identity_watch import Identity
from harmony_fleet.operator.records import DeviceEvent, Side
from harmony_fleet.operator.views import (
    Sight,
    UpgradeView,
    event_view,
    seconds_between,
    upgrade_view,
    upgrade_views,
    view,
    waits_for,
)

Phase = AgentUpgradePhase


def upgrade(sight: Sight) -> UpgradeView:
    found = view(sight, NOW).upgrade
    assert found is not None
    return found


def test_a_device_is_online_up_to_three_of_its_own_intervals_after_a_heartbeat() -> None:
    assert view(Seen(case(), 90.0), NOW).online
    assert not view(Seen(case(), 90.1), NOW).online
    often = case(heartbeat=beat(interval_ms=1000))
    assert view(Seen(often, 3.0), NOW).online
    assert not view(Seen(often, 3.1), NOW).online


def test_a_device_that_was_never_heard_is_shown_with_nothing_made_up() -> None:
    shown = view(never_heard(), NOW)
    assert (shown.online, shown.heartbeat_age_s, shown.current_version) == (False, None, None)
    assert (shown.instance_id, shown.boot_id, shown.upgrade) == (None, None, None)
    assert shown.conditions == ()


def test_the_version_shown_is_the_one_heard_and_not_the_one_ordered() -> None:
    shown = view(Seen(case(order(Phase.COMMITTED))), NOW)
    assert shown.current_version == "1.0.0"
    assert (shown.instance_id, shown.boot_id) == ("instance-1", "boot-1")


def test_an_upgrade_carries_its_order_and_what_the_device_said_of_it() -> None:
    why = cause(CauseKind.PLANE_UNREACHABLE, "no contact", "log")
    shown = upgrade(Seen(case(order(Phase.COMMITTED, cause=why))))
    assert shown.upgrade_id == ID
    assert (shown.generation, shown.attempt) == (2, 1)
    assert (shown.from_version, shown.to_version) == ("1.0.0", "2.0.0")
    assert (shown.phase, shown.desired, shown.final) == (Phase.COMMITTED, Desired.RUN, False)
    assert shown.cause == why


def test_any_order_that_is_kept_can_be_shown_by_its_id() -> None:
    why = cause(CauseKind.ABORTED, "replaced")
    older = order(Phase.FAILED, upgrade_id=OLDER_ID, version="1.5.0", cause=why)
    seen = Seen(case(order(Phase.STAGING), (older,)))
    assert upgrade_view(seen, ID) == upgrade(seen)
    shown = upgrade_view(seen, OLDER_ID)
    assert shown is not None
    assert (shown.to_version, shown.phase, shown.cause) == ("1.5.0", Phase.FAILED, why)
    assert shown.waits_for is None
    assert upgrade_view(seen, "f" * 32) is None
    assert upgrade_view(never_heard(), ID) is None


def test_all_that_is_kept_is_shown_oldest_first() -> None:
    older = order(Phase.FAILED, upgrade_id=OLDER_ID, version="1.5.0")
    shown = upgrade_views(Seen(case(order(Phase.STAGING), (older,))))
    assert [one.upgrade_id for one in shown] == [OLDER_ID, ID]
    assert [one.ordered_at for one in shown] == [A_MINUTE_AGO, A_MINUTE_AGO]
    assert upgrade_views(never_heard()) == ()


@pytest.mark.parametrize("kind", ["phase", "version", "stop_answered", "stop_refused"])
def test_an_event_that_repeats_a_devices_word_says_so(kind: str) -> None:
    told = DeviceEvent(7, "pi-1", NOW, kind, "2.0.0: Staging", ID)
    shown = event_view(told)
    assert shown.side is Side.DEVICE
    assert (shown.number, shown.device_id, shown.at) == (7, "pi-1", NOW)
    assert (shown.kind, shown.sentence, shown.upgrade_id) == (kind, "2.0.0: Staging", ID)


@pytest.mark.parametrize(
    "kind", ["ordered", "candidate_seen", "stop_sent", "labels", "of tomorrow"]
)
def test_an_event_of_the_operators_own_says_so(kind: str) -> None:
    assert event_view(DeviceEvent(7, "pi-1", NOW, kind, "")).side is Side.OPERATOR


def test_an_older_order_that_is_open_waits_for_its_own_end() -> None:
    older = order(Phase.COMMITTED, upgrade_id=OLDER_ID)
    shown = upgrade_view(Seen(case(order(Phase.PENDING), (older,))), OLDER_ID)
    assert shown is not None
    assert shown.waits_for == "the device to end this older order"


def test_progress_is_shown_only_while_staging_this_very_order() -> None:
    downloading = beat(upgrade_id=ID, progress=Progress(5, 10))
    staging = order(Phase.STAGING)
    assert upgrade(Seen(case(staging, heartbeat=downloading))).progress == Progress(5, 10)
    older = replace(downloading, upgrade_id=OLDER_ID)
    assert upgrade(Seen(case(staging, heartbeat=older))).progress is None
    assert upgrade(Seen(case(order(Phase.VERIFYING), heartbeat=downloading))).progress is None


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.final])
def test_an_ended_upgrade_waits_for_nothing_and_never_stalls(phase: Phase) -> None:
    seen = Seen(case(order(phase, since=AN_HOUR_AGO)))
    assert upgrade(seen).final
    assert waits_for(seen) is None
    assert view(seen, NOW).conditions == ()


@pytest.mark.parametrize("phase", [phase for phase in Phase if not phase.final])
def test_an_open_upgrade_always_says_what_it_waits_for(phase: Phase) -> None:
    assert waits_for(Seen(case(order(phase))))


def test_a_phase_that_lasts_too_long_is_stalled_but_a_download_takes_as_it_needs() -> None:
    def of(phase: Phase) -> tuple[str, ...]:
        return view(Seen(case(order(phase, since=AN_HOUR_AGO))), NOW).conditions

    assert of(Phase.PENDING) == of(Phase.CUTOVER_READY) == ("Stalled",)
    assert of(Phase.STAGING) == ()
    assert view(Seen(case(order(Phase.PENDING))), NOW).conditions == ()


def test_two_processes_under_one_identity_are_a_condition_and_what_is_waited_for() -> None:
    seen = Seen(case(order(Phase.PENDING), identity=Identity(duplicate=True)))
    assert view(seen, NOW).conditions == ("DuplicateIdentity",)
    assert "another one" in str(waits_for(seen))


def test_a_journal_that_was_set_back_is_a_condition_and_what_is_waited_for() -> None:
    seen = Seen(case(order(Phase.PENDING), said_less=2))
    assert view(seen, NOW).conditions == ("JournalSetBack",)
    assert "journal" in str(waits_for(seen))


def test_what_is_waited_for_names_the_evidence_that_is_missing() -> None:
    ready = order(Phase.CUTOVER_READY)
    assert waits_for(Seen(case(ready))) == "a live heartbeat of 2.0.0 in this upgrade"
    assert "answer to the stop" in str(waits_for(Seen(case(ready, seen_upgrade=ID))))
    assert "heartbeat" in str(waits_for(Seen(case(ready, seen_upgrade=OLDER_ID))))


def test_a_silent_device_is_waited_for_before_anything_else() -> None:
    assert waits_for(Seen(case(order(Phase.STAGING)), 500.0)) == "the device to be heard again"
    assert waits_for(never_heard(order(Phase.PENDING))) == "a first heartbeat of the device"


def test_an_order_that_a_device_defers_waits_for_the_older_one_to_end() -> None:
    older = order(Phase.COMMITTED, version="1.5.0", upgrade_id=OLDER_ID)
    seen = Seen(case(order(Phase.PENDING), (older,)))
    assert waits_for(seen) == "the device to end its attempt of 1.5.0 first"
    ended = replace(older, phase=Phase.SUCCEEDED)
    assert "1.5.0" not in str(waits_for(Seen(case(order(Phase.PENDING), (ended,)))))


def test_an_abort_waits_for_the_device_to_end_the_attempt() -> None:
    asked = order(Phase.STAGING, desired=Desired.ABORT)
    assert waits_for(Seen(case(asked))) == "the device to end the attempt, as the abort asks"


def test_times_that_cannot_be_read_give_no_duration() -> None:
    assert seconds_between("2026-01-01T00:00:00Z", NOW) == 3600
    assert seconds_between("", NOW) is None
    assert seconds_between("2026-01-01T00:00:00", NOW) is None
