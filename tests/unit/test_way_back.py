"""What `fleet rollback` leads back to, by the orders that are kept."""

from dataclasses import replace

import pytest
from tests.unit.operator_cases import OLDER_ID, order

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, cause
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.records import DeviceRecord, Order
from harmony_fleet.operator.way_back import way_back

P = AgentUpgradePhase
DONE = order(P.SUCCEEDED)
"""From 1.0.0 to 2.0.0."""


def device(
    newest: Order | None, *past: Order, runs: str | None = "2.0.0", name: str = "pi-1"
) -> DeviceRecord:
    return DeviceRecord(name, runs, newest, past, 9)


def refusal(record: DeviceRecord) -> str:
    with pytest.raises(OrderRefused) as raised:
        way_back(record)
    return str(raised.value)


def test_it_is_what_ran_before_the_newest_upgrade_that_succeeded() -> None:
    assert way_back(device(DONE)) == "1.0.0"
    newer = order(P.SUCCEEDED, version="3.0.0")
    assert way_back(device(replace(newer, from_version="2.0.0"), DONE, runs="3.0.0")) == "2.0.0"


@pytest.mark.parametrize("end", [end for end in P if end.final and end is not P.SUCCEEDED])
def test_an_upgrade_that_did_not_succeed_is_passed_over(end: P) -> None:
    failed = order(end, version="3.0.0", upgrade_id=OLDER_ID)
    assert way_back(device(failed, DONE)) == "1.0.0"


def test_one_that_found_its_version_running_is_passed_over() -> None:
    why = cause(CauseKind.ALREADY_RUNNING, "version 2.0.0 was running already")
    assert way_back(device(order(P.SUCCEEDED, cause=why), DONE)) == "1.0.0"
    assert "not known" in refusal(device(order(P.SUCCEEDED, cause=why)))


def test_twice_back_is_where_one_began() -> None:
    back = replace(order(P.SUCCEEDED, version="1.0.0"), from_version="2.0.0")
    assert way_back(device(back, DONE, runs="1.0.0")) == "2.0.0"


@pytest.mark.parametrize("phase", [p for p in P if not p.final and p is not P.COMMITTED])
def test_an_upgrade_under_way_is_what_abort_is_for(phase: P) -> None:
    words = refusal(device(order(phase, version="3.0.0"), DONE))
    assert "being upgraded to 3.0.0" in words
    assert "`fleet abort pi-1`" in words


def test_on_probation_a_rollback_has_to_wait_and_no_abort_would_help() -> None:
    words = refusal(device(order(P.COMMITTED)))
    assert "on probation" in words
    assert "abort" not in words


def test_where_nothing_is_known_to_have_run_before_a_version_must_be_chosen() -> None:
    unknown = replace(DONE, from_version=None)
    for record in (device(None), device(order(P.FAILED)), device(unknown)):
        assert "`fleet upgrade pi-1 --to VERSION`" in refusal(record)


@pytest.mark.parametrize("runs", ["4.0.0", None])
def test_a_device_that_runs_something_else_is_not_guessed_about(runs: str | None) -> None:
    words = refusal(device(DONE, runs=runs))
    assert f"heard to run {runs or 'nothing'}" in words
    assert "`fleet upgrade pi-1 --to VERSION`" in words
