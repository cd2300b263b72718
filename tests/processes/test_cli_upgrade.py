import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import (
    OTHER_ID,
    UPGRADE_ID,
    Cli,
    Script,
    cause,
    device,
    event,
    ordered,
    refused,
    standing,
    upgrading,
)

UPGRADE = ("upgrade", "local-1", "--to", "1.1.0")
WAIT = (*UPGRADE, "--wait")
ALL = ("upgrade", "--all", "--to", "1.1.0")


@pytest.fixture
def script() -> Script:
    return Script(upgrades=ordered("local-1"))


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def test_an_order_says_what_was_ordered_and_does_not_wait(fleet: Cli, script: Script) -> None:
    ran = fleet(*UPGRADE, "--retry", "--replace")
    assert (ran.status, ran.out) == (0, "local-1  1.1.0  ordered\n")
    (asked,) = script.documents("POST", "/api/v1/upgrades")
    wanted = {"devices": ["local-1"], "version": "1.1.0", "retry": True, "replace": True}
    assert asked == wanted


def test_all_is_said_to_the_operator_as_null(fleet: Cli, script: Script) -> None:
    assert fleet(*ALL, "--json").document == ordered("local-1")
    (asked,) = script.documents("POST", "/api/v1/upgrades")
    assert asked["devices"] is None


def test_waiting_tells_each_transition_once_and_ends_with_success(
    fleet: Cli, script: Script
) -> None:
    phases = ["Pending", "Staging", "Staging", "CutoverReady", "Committed", "Succeeded"]
    script.looks = [[upgrading(phase)] for phase in phases]
    ran = fleet(*WAIT)
    assert ran.status == 0
    *steps, last = ran.out.splitlines()
    assert [step.split()[2] for step in steps] == [
        "ordered",
        "Staging",
        "CutoverReady",
        "Committed",
        "Succeeded",
    ]
    assert last.startswith("1 upgrade: 1 succeeded after ")


def test_waiting_in_json_is_one_line_for_each_transition_and_an_outcome(
    fleet: Cli, script: Script
) -> None:
    script.looks = [[upgrading("Verifying")], [upgrading("Succeeded")]]
    results, *steps, last = fleet(*WAIT, "--json").lines
    assert results == ordered("local-1")
    assert [step["phase"] for step in steps] == ["Pending", "Verifying", "Succeeded"]
    assert steps[0]["upgrade_id"] == UPGRADE_ID
    assert last["outcome"] == "succeeded"
    assert [one["phase"] for one in last["devices"]] == ["Succeeded"]


def test_a_failure_is_exit_1_with_cause_and_evidence(fleet: Cli, script: Script) -> None:
    script.looks = [[upgrading("Failed", cause=cause())]]
    ran = fleet(*WAIT)
    assert ran.status == 1
    assert "local-1: Failed, self_test_failed: the self-test failed\n    no module" in ran.out
    assert "fleet why local-1" in ran.err
    script.looks = [[upgrading("RolledBack", cause=cause())]]
    ran = fleet(*WAIT, "--json")
    assert (ran.status, ran.lines[-1]["outcome"]) == (1, "failed")
    assert ran.error["kind"] == "upgrade_failed"


@pytest.mark.parametrize("phase", ["Unresolved", "NeverStarted"])
def test_an_end_without_a_verdict_is_no_success(fleet: Cli, script: Script, phase: str) -> None:
    script.looks = [[upgrading(phase)]]
    assert fleet(*WAIT).status == 1


def test_a_time_out_is_never_a_success_and_says_what_is_pending(fleet: Cli, script: Script) -> None:
    script.looks = [[upgrading("Committed", waits_for="the end of probation")]]
    ran = fleet(*WAIT, "--timeout", "0.1")
    assert ran.status == 1
    assert "local-1 (Committed, waits for the end of probation)" in ran.err
    assert "nothing was aborted" in ran.err
    ran = fleet(*WAIT, "--timeout", "0.1", "--json")
    assert ran.lines[-1]["outcome"] == "timed_out"
    assert ran.error["kind"] == "timed_out"


NEWER = upgrading("Succeeded", upgrade_id=OTHER_ID, to_version="1.2.0")


def test_another_upgrade_of_the_same_device_is_not_the_one_waited_for(
    fleet: Cli, script: Script
) -> None:
    script.looks = [[upgrading("Committed")], [NEWER]]
    script.past = {UPGRADE_ID: upgrading("Committed", waits_for="the device")["upgrade"]}
    ran = fleet(*WAIT, "--timeout", "0.7")
    assert ran.status == 1
    assert "had not ended" in ran.err
    assert "local-1 (Committed, waits for the device)" in ran.err


@pytest.mark.parametrize(
    ("phase", "status"), [("Succeeded", 0), ("Failed", 1), ("NeverStarted", 1)]
)
def test_the_end_of_a_replaced_upgrade_is_what_the_operator_shows_of_that_very_one(
    fleet: Cli, script: Script, phase: str, status: int
) -> None:
    why = cause("aborted") if phase == "Failed" else None
    script.looks = [[NEWER]]
    script.past = {UPGRADE_ID: upgrading(phase, cause=why)["upgrade"]}
    script.events = [event(1, "1.1.0: RolledBack, crash_loop: words for people")]
    ran = fleet(*WAIT, "--timeout", "5")
    assert ran.status == status
    told = f"local-1  1.1.0  {phase}" + ("  aborted: the self-test failed" if why else "")
    assert told in ran.out.splitlines()


def test_a_replaced_upgrade_that_the_operator_keeps_no_more_is_no_success_and_ends_the_wait(
    fleet: Cli, script: Script
) -> None:
    script.looks = [[NEWER]]
    ran = fleet(*WAIT, "--timeout", "5", "--json")
    assert (ran.status, ran.lines[-1]["outcome"]) == (1, "failed")
    assert ran.lines[-1]["devices"][0]["phase"] == "Unresolved"


def test_an_operator_that_cannot_show_one_upgrade_is_said_to(fleet: Cli, script: Script) -> None:
    script.looks = [[NEWER]]
    path = f"GET /api/v1/devices/local-1/upgrades/{UPGRADE_ID}"
    script.errors[path] = (404, "not_found", "no such route")
    ran = fleet(*WAIT, "--timeout", "5")
    assert (ran.status, ran.err) == (2, "fleet: no such route\n")


def test_all_where_every_device_runs_it_already_is_no_failure(fleet: Cli, script: Script) -> None:
    script.upgrades = {"results": [refused("local-1", "local-1 already runs 1.1.0")]}
    script.looks = [[device(version="1.1.0")]]
    for command in (ALL, (*ALL, "--wait")):
        ran = fleet(*command)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out == "nothing to do: the one device runs 1.1.0 already\n"


def test_all_waits_for_those_that_took_the_order_and_forgives_those_that_run_it(
    fleet: Cli, script: Script
) -> None:
    results = [*ordered("local-1")["results"], refused("local-2", "local-2 already runs 1.1.0")]
    script.upgrades = {"results": results}
    script.looks = [[upgrading("Succeeded"), device("local-2", "1.1.0")]]
    assert fleet(*ALL, "--wait").status == 0


def test_a_device_that_cannot_take_the_order_is_named_and_the_others_go_on(
    fleet: Cli, script: Script
) -> None:
    busy = refused("local-2", "local-2 is already being upgraded to 1.2.0 (Staging)")
    script.upgrades = {"results": [*ordered("local-1")["results"], busy]}
    script.looks = [[upgrading("Succeeded"), device("local-2")]]
    ran = fleet(*ALL, "--wait")
    assert ran.status == 1, "one was ordered, so it is not as if nothing had been"
    assert "1 succeeded" in ran.out
    assert ran.err == "fleet: local-2 is already being upgraded to 1.2.0 (Staging)\n"


def test_several_refusals_in_json_are_one_document_and_one_error(
    fleet: Cli, script: Script
) -> None:
    busy = [refused(f"local-{n}", "already being upgraded") for n in (1, 2)]
    script.upgrades = {"results": busy}
    script.looks = [[device("local-1"), device("local-2")]]
    ran = fleet("--json", *ALL)
    assert ran.status == 2
    assert [one["reason"] for one in json.loads(ran.out)["results"]] == [
        "already being upgraded"
    ] * 2
    assert "2 devices took no order" in json.loads(ran.err)["error"]["message"]


def test_an_order_that_the_store_could_not_take_has_failed_and_was_no_mistake(
    fleet: Cli, script: Script
) -> None:
    full = refused("local-1", "fleet.db cannot grow, the disk is full") | {"kind": "store"}
    script.upgrades = {"results": [full]}
    script.looks = [[device("local-1")]]
    ran = fleet(*ALL)
    assert (ran.status, ran.err) == (1, "fleet: local-1: fleet.db cannot grow, the disk is full\n")


def test_a_device_on_probation_for_that_version_does_not_run_it_for_good(
    fleet: Cli, script: Script
) -> None:
    script.upgrades = {"results": [refused("local-1", "local-1 is being upgraded (Committed)")]}
    script.looks = [[upgrading("Committed") | {"current_version": "1.1.0"}]]
    assert fleet(*ALL).status == 2


def test_an_empty_fleet_cannot_be_upgraded(fleet: Cli, script: Script) -> None:
    script.upgrades = {"results": []}
    ran = fleet(*ALL)
    assert ran.status == 1
    assert "fleet device start-local" in ran.err


def test_a_named_device_that_runs_it_already_is_bad_input(fleet: Cli, script: Script) -> None:
    words = "local-1 already runs 1.1.0: nothing was ordered"
    script.errors["POST /api/v1/upgrades"] = (409, "order_refused", words)
    assert (fleet(*UPGRADE).status, fleet(*UPGRADE).err) == (2, f"fleet: {words}\n")
    assert fleet(*UPGRADE, "--json").error == {"kind": "order_refused", "message": words}


@pytest.mark.parametrize(
    "arguments",
    [
        ("upgrade", "--to", "1.1.0"),
        ("upgrade", "local-1", "--all", "--to", "1.1.0"),
        ("upgrade", "local-1"),
        ("upgrade", "local-1", "--to", "1.1.0", "--timeout", "3"),
        ("upgrade", "local-1", "--to", "1.1.0", "--timeout", "-1", "--wait"),
        ("upgrade", "local-1", "--to", "1.1.0", "--timeout", "nan", "--wait"),
        ("upgrade", "local-1", "--to", "1.1"),
        ("upgrade", "local-1", "--to", "../../1.1.0"),
        ("upgrade", "local-1", "--to", "1.1.0+build"),
        ("upgrade", "LOCAL", "--to", "1.1.0"),
        ("abort",),
    ],
)
def test_a_command_that_makes_no_sense_orders_nothing(
    fleet: Cli, script: Script, arguments: tuple[str, ...]
) -> None:
    ran = fleet(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("fleet: ")
    assert len(ran.err.splitlines()) == 1
    assert script.asked == []


def test_an_abort_says_for_which_devices_it_was_ordered(fleet: Cli, script: Script) -> None:
    script.aborts = ordered("local-1")
    ran = fleet("abort", "local-1")
    assert (ran.status, ran.out) == (0, "local-1  abort ordered\n")
    assert fleet("abort", "local-1", "--json").document == ordered("local-1")


def test_an_abort_that_one_of_two_devices_cannot_have_has_failed_in_part(
    fleet: Cli, script: Script
) -> None:
    results = [*ordered("local-1")["results"], refused("local-2", "no upgrade is under way")]
    script.aborts = {"results": results}
    ran = fleet("abort", "local-1", "local-2")
    assert (ran.status, ran.out) == (1, "local-1  abort ordered\n")
    assert ran.err == "fleet: local-2: no upgrade is under way\n"
