from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli, Script, ordered, refused, standing, upgrading


@pytest.fixture
def script() -> Script:
    results = ordered("local-1")
    results["results"][0]["to_version"] = "1.1.0"
    return Script(rollbacks=results)


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def test_a_rollback_says_for_each_device_where_it_leads(fleet: Cli, script: Script) -> None:
    ran = fleet("rollback", "local-1")
    assert (ran.status, ran.out) == (0, "local-1  1.1.0  ordered\n")
    assert script.documents("POST", "/api/v1/rollbacks") == [{"devices": ["local-1"]}]
    assert fleet("rollback", "local-1", "--json").document == script.rollbacks


def test_a_rollback_is_waited_for_as_any_upgrade_is(fleet: Cli, script: Script) -> None:
    script.looks = [[upgrading("Staging")], [upgrading("Succeeded")]]
    ran = fleet("rollback", "local-1", "--wait")
    assert ran.status == 0
    assert "local-1  1.1.0  Succeeded" in ran.out
    script.looks = [[upgrading("Failed")]]
    assert fleet("rollback", "local-1", "--wait").status == 1


def test_a_rollback_that_is_refused_is_bad_input_in_the_operators_words(
    fleet: Cli, script: Script
) -> None:
    reason = "what local-1 ran before is not known"
    script.errors = {"POST /api/v1/rollbacks": (409, "order_refused", reason)}
    ran = fleet("rollback", "local-1")
    assert (ran.status, ran.out, ran.err) == (2, "", f"fleet: {reason}\n")


def test_a_device_that_took_no_order_after_all_is_named(fleet: Cli, script: Script) -> None:
    script.rollbacks["results"].append(refused("local-2", "local-2 is being upgraded"))
    ran = fleet("rollback", "local-1", "local-2")
    assert (ran.status, ran.out) == (1, "local-1  1.1.0  ordered\n")
    assert "local-2 is being upgraded" in ran.err


@pytest.mark.parametrize("arguments", [(), ("local-1", "--timeout", "3"), ("LOCAL",)])
def test_a_rollback_that_makes_no_sense_orders_nothing(
    fleet: Cli, script: Script, arguments: tuple[str, ...]
) -> None:
    assert fleet("rollback", *arguments).status == 2
    assert script.asked == []
