from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli, Script, device, ordered, standing

from harmony_fleet.cli.layout import devices_for_terminal
from harmony_fleet.cli.views import DeviceView

LABELS = {"ring": "canary", "example.com/site": "north"}


@pytest.fixture
def script() -> Script:
    every = ordered("local-1")
    return Script([[device(labels=LABELS), device("local-2")]], upgrades=every, aborts=every)


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def test_labels_are_asked_for_as_a_merge_patch_and_said_as_they_are_then(
    fleet: Cli, script: Script
) -> None:
    ran = fleet("device", "label", "local-1", "ring=canary", "note=", "old-")
    assert (ran.status, ran.out) == (0, "local-1  example.com/site=north,ring=canary\n")
    assert script.documents("PATCH", "/api/v1/devices/local-1/labels") == [
        {"labels": {"ring": "canary", "note": "", "old": None}}
    ]
    assert fleet("device", "label", "local-1", "a=", "--json").document["labels"] == LABELS


@pytest.mark.parametrize(
    "words", [(), ("ring",), ("ring=a b",), ("-ring=x",), ("ring=a", "ring-"), ("Ä=x",)]
)
def test_what_is_no_label_is_refused_before_anything_is_asked(
    fleet: Cli, script: Script, words: tuple[str, ...]
) -> None:
    assert fleet("device", "label", "local-1", *words).status == 2
    assert script.asked == []


def test_labels_are_a_column_in_a_pipe_only_where_they_are_asked_for(fleet: Cli) -> None:
    assert "ring" not in fleet("device", "list").out
    head, first, second = fleet("device", "list", "--labels").out.splitlines()
    assert head.split()[-2:] == ["LABELS", "CAUSE"]
    assert first.split()[-2:] == ["example.com/site=north,ring=canary", "-"]
    assert second.split()[-2:] == ["-", "-"]


def test_on_a_terminal_labels_are_shown_unasked_only_where_there_is_room() -> None:
    some = [DeviceView("local-1", labels=LABELS), DeviceView("local-2")]
    assert "LABELS" in devices_for_terminal(some, 120).headers
    assert "LABELS" not in devices_for_terminal(some, 100).headers
    assert "LABELS" in devices_for_terminal(some, 80, labels=True).headers
    assert "LABELS" not in devices_for_terminal(some[1:], 200).headers


def test_one_device_is_shown_with_its_labels(fleet: Cli) -> None:
    assert (
        "labels        example.com/site=north, ring=canary"
        in fleet("device", "show", "local-1").out
    )
    assert "labels" not in fleet("device", "show", "local-2").out


def test_a_selector_goes_to_the_operator_in_the_one_request(fleet: Cli, script: Script) -> None:
    assert fleet("device", "list", "-l", "ring=canary, !old").status == 0
    assert script.queries == ["selector=ring%3Dcanary%2C%21old"]
    script.looks = [[]]
    ran = fleet("device", "list", "-l", "ring=main")
    assert (ran.status, ran.out) == (0, "")
    assert "no device has labels that 'ring=main' selects" in ran.err


def test_an_order_for_a_selector_names_no_device(fleet: Cli, script: Script) -> None:
    assert fleet("upgrade", "-l", "ring=canary", "--to", "1.1.0").status == 0
    (asked,) = script.documents("POST", "/api/v1/upgrades")
    assert (asked["devices"], asked["selector"]) == (None, "ring=canary")
    assert fleet("abort", "-l", "ring==canary").status == 0
    wanted = {"devices": None, "selector": "ring=canary"}
    assert script.documents("POST", "/api/v1/aborts") == [wanted]
    assert fleet("rollback", "--selector", "ring=canary").status == 0
    assert script.documents("POST", "/api/v1/rollbacks") == [wanted]


@pytest.mark.parametrize(
    "arguments",
    [
        ("upgrade", "local-1", "-l", "ring", "--to", "1.1.0"),
        ("upgrade", "--all", "-l", "ring", "--to", "1.1.0"),
        ("upgrade", "-l", "ring in (a)", "--to", "1.1.0"),
        ("abort",),
        ("abort", "local-1", "-l", "ring"),
        ("rollback", "-l", ""),
        ("device", "list", "-l", "=x"),
    ],
)
def test_devices_that_are_not_clearly_chosen_are_asked_about_by_nobody(
    fleet: Cli, script: Script, arguments: tuple[str, ...]
) -> None:
    assert fleet(*arguments).status == 2
    assert script.asked == []
