"""By what the benchmarks count: nothing that was not seen, and nothing from before. Quick."""

from datetime import UTC, datetime

import pytest
from benchmarks.device.figures import figures
from benchmarks.device.gaps import Life, NotSeen, Ready, Span, gaps, ready_spans
from benchmarks.device.site import Seen as OfDevices
from benchmarks.device.turn import Turn
from benchmarks.fleet import Seen, decided
from benchmarks.kube.requests import counted
from benchmarks.reconnect import knocking, said_since
from benchmarks.table import Figure
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


UNIT, CANDIDATE = "fleet-agent.service", "fleet-agent-candidate.service"


def without(lives: list[Life], readies: list[Ready]) -> list[float]:
    """In ten seconds, from 0 on."""
    spans = ready_spans(lives, readies, 0.0, slack_s=0.02)
    return [round(gap.length_s, 3) for gap in gaps(spans, Span(0.0, 10.0))]


def test_a_restart_is_a_gap_from_the_end_of_the_old_process_to_the_ready_of_the_new_one() -> None:
    lives = [Life(UNIT, 1, -5.0, ended_s=2.0), Life(UNIT, 2, 2.1)]
    assert without(lives, [Ready(UNIT, 2.25)]) == [0.25]


def test_a_candidate_fills_the_gap_from_its_ready_on_and_not_before() -> None:
    lives = [Life(UNIT, 1, -5.0, ended_s=2.0), Life(CANDIDATE, 2, 1.0, ended_s=4.0)]
    again = Life(UNIT, 3, 2.5)
    assert without([*lives, again], [Ready(CANDIDATE, 1.5), Ready(UNIT, 3.0)]) == []
    assert without([*lives, again], [Ready(CANDIDATE, 2.5), Ready(UNIT, 3.0)]) == [0.5]
    assert without([*lives, again], [Ready(UNIT, 3.0)]) == [1.0]


def test_an_agent_that_ends_and_does_not_come_back_is_missing_until_the_end() -> None:
    assert without([Life(UNIT, 1, -5.0, ended_s=9.0)], []) == [1.0]
    assert without([Life(UNIT, 1, -5.0, ended_s=9.0), Life(UNIT, 2, 9.2)], []) == [1.0]


def test_a_ready_of_a_process_that_was_not_seen_is_no_figure() -> None:
    seen = [Life(UNIT, 1, -5.0, ended_s=2.0)]
    with pytest.raises(NotSeen, match="no process was seen"):
        without(seen, [Ready(UNIT, 2.5)])
    with pytest.raises(NotSeen, match="no process was seen"):
        without([*seen, Life(UNIT, 3, 7.0)], [Ready(UNIT, 2.5)])


def test_a_goal_may_be_the_least_that_is_wanted() -> None:
    assert Figure("x", 4.0, "times", 3.5, at_least=True).met
    assert not Figure("x", 3.0, "times", 3.5, at_least=True).met
    assert not Figure("x", 4.0, "times", 3.5).met


def test_a_ratio_is_of_the_medians_and_tells_its_spread() -> None:
    more = dict.fromkeys(("handover", "typed", "missed", "beats", "typed cpu"), 1.0)
    more |= {"operator cpu": 0.01, "nats cpu": 0.01}
    ours = [Turn(seconds, 0.01, OfDevices(), more) for seconds in (1.0, 0.5, 0.9)]
    theirs = [Turn(seconds, 2.0, OfDevices()) for seconds in (3.0, 2.7, 2.7)]
    found = {one.what: one for one in figures({"harmony-fleet": ours, "ansible": theirs}, 1)}
    faster = found["faster than ansible"]
    assert (round(faster.value, 3), faster.met) == (3.0, False)
    assert "3 to 5.4 in 3 rounds" in faster.note
    assert found["control-plane CPU less than ansible's"].met
    assert found["harmony-fleet: without a ready agent"].met


METRICS = """# HELP apiserver_request_total [STABLE] Counter of apiserver requests
apiserver_request_total{code="200",component="apiserver",dry_run="",group="harmony-fleet.dev",resource="devices",scope="resource",subresource="status",verb="PUT",version="v1alpha1"} 30
apiserver_request_total{code="409",component="apiserver",dry_run="",group="harmony-fleet.dev",resource="devices",scope="resource",subresource="status",verb="PUT",version="v1alpha1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="harmony-fleet.dev",resource="devices",scope="resource",subresource="",verb="PATCH",version="v1alpha1"} 11
apiserver_request_total{code="200",component="apiserver",dry_run="",group="harmony-fleet.dev",resource="devices",scope="cluster",subresource="",verb="WATCH",version="v1alpha1"} 7
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 10
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 500
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="serviceaccounts",scope="resource",subresource="",verb="PUT",version="v1"} 9
"""  # noqa: E501 - as the server writes them


def test_writes_are_counted_by_kind_without_the_lease_and_without_what_a_user_asked_for() -> None:
    found = counted(METRICS).since(counted(""), asked=10)
    assert found.by_kind == {
        "PUT devices/status": 32,
        "PATCH devices": 1,
        "POST events": 10,
        "PUT leases": 500,
    }
    assert (found.total, found.leases, found.refused) == (43, 500, 2)
    assert counted(METRICS).since(counted(METRICS)).total == 0
