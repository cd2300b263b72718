"""By what the benchmarks count: nothing that was not seen, and nothing from before. Quick."""

from datetime import UTC, datetime

import pytest
from benchmarks.fleet import Seen, decided
from benchmarks.reconnect import knocking, said_since
from benchmarks.upgrade import Wire

from harmony_fleet.messaging.keyvalue import Entry


def test_an_instant_that_was_never_heard_is_no_duration() -> None:
    wire = Wire("1.1.0", marker_s=2.0, acknowledged_s=2.5)
    assert wire.since_marker_s(wire.acknowledged_s, "yes") == 0.5
    with pytest.raises(LookupError, match=r"no heartbeat was heard in the upgrade to 1\.1\.0"):
        wire.since_marker_s(wire.handed_over_s, "heartbeat")
    with pytest.raises(LookupError, match="no marker was heard"):
        Wire("1.1.0").since_marker_s(2.5, "yes")


def test_a_device_that_was_not_heard_of_whole_is_counted_and_told() -> None:
    seen = Seen("1.1.0", stopped_s={"a": 3.0, "b": 3.0}, ready_s={"a": 1.0, "b": 2.0})
    with pytest.raises(LookupError, match="no device was heard of whole"):
        decided(seen, 2)
    seen.heard_s["a"] = 2.5
    p50, p99 = decided(seen, 2)
    assert p50.value == 500.0
    assert "of 1 of 2 devices" in p99.note
    seen.heard_s["b"] = 2.5
    assert "devices" not in decided(seen, 2)[1].note


def test_a_status_that_was_kept_is_not_one_that_was_said_again() -> None:
    back = datetime(2026, 11, 26, 7, 0, 0, tzinfo=UTC)
    statuses = [
        ("kept", Entry(b"", 1, "2026-11-26T06:59:59.999999999Z")),
        ("again", Entry(b"", 2, "2026-11-26T07:00:00.000000001Z")),
        ("later", Entry(b"", 3, "2026-11-26T07:00:01Z")),
    ]
    assert said_since(statuses, back) == {"again", "later"}


def test_the_worst_second_is_one_after_the_return_and_has_a_goal_where_devices_are_many() -> None:
    attempts_s = [0.1] * 400 + [5.5] * 80
    few, many = (knocking("x", attempts_s, 5.0, number) for number in (5, 100))
    assert (few.value, few.goal) == (80, None)
    assert (many.value, many.met) == (80, False)
    assert "400 while it was away" in many.note
