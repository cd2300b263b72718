"""What is said of an AgentRelease: taken in, withdrawn, or refused, and nothing twice."""

from dataclasses import replace
from typing import Final

import pytest
from msgspec.structs import replace as changed
from tests.unit.kubernetes_cases import device, newest
from tests.unit.operator_cases import NOW

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Cause, CauseKind
from harmony_fleet.operator.kubernetes.intake import release_status, what_ran
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.kubernetes.objects import AgentRelease, Condition, Device, Metadata
from harmony_fleet.operator.kubernetes.releases import release_of, spec_of
from harmony_fleet.operator.kubernetes.render import News, rendered
from harmony_fleet.operator.records import DeviceRecord, Order, Release

LATER: Final = "2026-02-02T00:00:00Z"
TWO: Final = Release("2.0.0", "", 10, "a" * 64, "", NOW, url="https://files.example/a")
Phase = AgentUpgradePhase


def object_of(release: Release, name: str = "", generation: int = 1) -> AgentRelease:
    metadata = Metadata(name or object_name(release.version), "fleet", generation=generation)
    return AgentRelease(metadata=metadata, spec=spec_of(release))


def with_status(one: AgentRelease, *devices: Device, now: str = NOW) -> AgentRelease:
    return changed(one, status=release_status(one, what_ran(devices), now))


def condition(one: AgentRelease, kind: str) -> Condition:
    assert one.status
    (found,) = (each for each in one.status.conditions if each.type == kind)
    return found


def shown(one: AgentRelease, *devices: Device) -> str:
    """R or S, whichever holds, and why."""
    taken = with_status(one, *devices)
    letters = {"Ready": "R", "Stalled": "S"}
    held = [letter for kind, letter in letters.items() if condition(taken, kind).status == "True"]
    ready = condition(taken, "Ready")
    return f"{''.join(held)} {ready.reason}: {ready.message}"


def with_order(order: Order, name: str = "pi-1") -> Device:
    one = device(DeviceRecord(name))
    return changed(one, status=rendered(one, News(DeviceRecord(name, "1.0.0", order)), NOW))


def with_bytes(phase: Phase, digit: str, name: str = "pi-1", cause: Cause | None = None) -> Device:
    order = newest(phase, cause=cause)
    return with_order(replace(order, artifact=replace(order.artifact, sha256=digit * 64)), name)


def test_a_release_that_is_well_described_is_ready_and_says_of_which_generation() -> None:
    one = with_status(object_of(TWO, generation=3))
    assert shown(one) == "R Available: 2.0.0 may be ordered"
    assert one.status
    assert one.status.observed_generation == 3
    assert {each.observed_generation for each in one.status.conditions} == {3}


def test_a_release_that_is_withdrawn_is_ready_since_that_is_what_was_asked_for() -> None:
    one = object_of(replace(TWO, withdrawn="it eats memory"))
    assert shown(one) == "R Withdrawn: no new order names it: it eats memory"


def test_a_release_with_an_address_that_no_device_takes_is_refused() -> None:
    one = object_of(replace(TWO, url="https://"))
    assert shown(one).startswith("S Invalid: URL 'https://' is not")


def test_a_release_under_a_name_that_nothing_finds_is_refused_with_the_right_name() -> None:
    capital = replace(TWO, version="2.0.0-RC1")
    assert shown(object_of(capital)).startswith("R Available")
    told = shown(object_of(capital, "the-candidate"))
    assert told.startswith("S Misnamed")
    assert object_name("2.0.0-RC1") in told


@pytest.mark.parametrize(
    "phase", [Phase.CUTOVER_READY, Phase.COMMITTED, Phase.SUCCEEDED, Phase.ROLLED_BACK]
)
def test_other_bytes_than_those_that_ran_under_that_version_are_refused(phase: Phase) -> None:
    told = shown(object_of(TWO), with_bytes(phase, "b"))
    assert told.startswith("S BytesChanged: 2.0.0 ran on pi-1 with other bytes (SHA-256 bbbb")
    assert shown(object_of(TWO), with_bytes(phase, "a")).startswith("R ")


def test_bytes_of_an_older_order_are_remembered_as_well() -> None:
    order = newest(Phase.SUCCEEDED)
    older = replace(order, artifact=replace(order.artifact, sha256="b" * 64))
    record = DeviceRecord("pi-1", order=newest(Phase.STAGING, "3.0.0"), past=(older,))
    one = device(record)
    one = changed(one, status=rendered(one, News(record), NOW))
    assert shown(object_of(TWO), one).startswith("S BytesChanged")


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.STAGING, Phase.VERIFYING, Phase.FAILED])
def test_a_digest_that_was_mistyped_may_be_put_right(phase: Phase) -> None:
    """Nothing ever ran that had it: what was downloaded was refused, on every device."""
    assert shown(object_of(TWO), with_bytes(phase, "b")).startswith("R ")


def test_a_device_that_ran_the_version_before_it_was_ordered_says_nothing_of_its_bytes() -> None:
    cause = Cause(CauseKind.ALREADY_RUNNING, "2.0.0 was running already")
    there = with_bytes(Phase.SUCCEEDED, "b", cause=cause)
    assert shown(object_of(TWO), there).startswith("R ")


def test_bytes_that_ran_anywhere_are_not_refused() -> None:
    both = (with_bytes(Phase.SUCCEEDED, "a", "pi-1"), with_bytes(Phase.SUCCEEDED, "b", "pi-2"))
    assert shown(object_of(TWO), *both).startswith("R ")


def test_where_nothing_differs_the_status_is_the_same_and_need_not_be_written() -> None:
    one = with_status(object_of(TWO))
    assert with_status(one, now=LATER) == one


def test_a_condition_has_the_time_since_which_it_is_so() -> None:
    one = with_status(object_of(TWO))
    withdrawn = changed(one, spec=spec_of(replace(TWO, withdrawn="it eats memory")))
    assert condition(with_status(withdrawn, now=LATER), "Ready").last_transition_time == NOW
    refused = with_status(one, with_bytes(Phase.SUCCEEDED, "b"), now=LATER)
    assert condition(refused, "Stalled").last_transition_time == LATER


def test_what_is_refused_is_not_ordered_until_it_is_written_anew() -> None:
    refused = with_status(object_of(TWO), with_bytes(Phase.SUCCEEDED, "b"))
    told = release_of(refused).refused
    assert told == condition(refused, "Stalled").message
    edited = changed(refused, metadata=changed(refused.metadata, generation=2))
    assert release_of(edited).refused is None, "nobody has looked at it yet"
    assert release_of(with_status(object_of(TWO))).refused is None
