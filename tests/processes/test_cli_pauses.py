"""`fleet device pause` and `resume`, `fleet release withdraw`: what is asked, and what is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.processes.stand_in_api import (
    OTHER_ID,
    Cli,
    Script,
    device,
    ordered,
    refused,
    standing,
    upgrading,
)
from tests.processes.test_cli_release import artifact, release

WHY = "it eats memory"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    looks = [[device(paused=True), device("local-2"), upgrading("Staging", "local-3")]]
    one = release(artifact(tmp_path))
    return Script(looks, releases=[one, {**one, "version": "1.2.0"}])


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def done(device_id: str, to_version: str | None = None) -> dict[str, Any]:
    upgrade_id = OTHER_ID if to_version else None
    found = {"device_id": device_id, "ordered": True, "reason": None, "kind": None}
    return {**found, "upgrade_id": upgrade_id, "to_version": to_version}


@pytest.mark.parametrize(("word", "said"), [("pause", "paused"), ("resume", "resumed")])
def test_each_device_is_said_and_the_upgrade_that_goes_on(
    fleet: Cli, script: Script, word: str, said: str
) -> None:
    script.pauses = {"results": [done("local-1"), done("local-3", "1.1.0")]}
    ran = fleet("device", word, "local-1", "local-3")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"local-1  {said}",
        f"local-3  {said}; its upgrade to 1.1.0 goes on",
    ]
    path = f"/api/v1/{word}s"
    assert script.documents("POST", path) == [{"devices": ["local-1", "local-3"]}]
    fleet("device", word, "-l", "ring=canary")
    fleet("device", word, "--all")
    assert script.documents("POST", path)[1:] == [
        {"devices": None, "selector": "ring=canary"},
        {"devices": None},
    ]
    assert fleet("device", word, "--all", "--json").document == script.pauses


def test_a_pause_that_failed_in_part_has_failed(fleet: Cli, script: Script) -> None:
    full = {**refused("local-2", "the disk is full"), "kind": "store"}
    script.pauses = {"results": [done("local-1"), full]}
    ran = fleet("device", "pause", "--all")
    assert (ran.status, ran.out) == (1, "local-1  paused\n")
    assert ran.err == "fleet: local-2: the disk is full\n"
    script.errors["POST /api/v1/pauses"] = (404, "unknown_device", "there is no device 'x'")
    assert fleet("device", "pause", "x").status == 2


def test_of_no_device_at_all_nothing_is_paused(fleet: Cli) -> None:
    ran = fleet("device", "pause", "--all")
    assert (ran.status, ran.out) == (1, "")
    assert "there is no device yet" in ran.err


@pytest.mark.parametrize("word", ["pause", "resume"])
@pytest.mark.parametrize(
    "arguments", [(), ("local-1", "--all"), ("local-1", "-l", "ring"), ("-l", "ring in (a)")]
)
def test_devices_that_are_not_clearly_chosen_are_asked_about_by_nobody(
    fleet: Cli, script: Script, word: str, arguments: tuple[str, ...]
) -> None:
    assert fleet("device", word, *arguments).status == 2
    assert script.asked == []


def test_a_pause_is_seen_in_the_list_and_in_detail(fleet: Cli, script: Script) -> None:
    _, first, second, _ = fleet("device", "list").out.splitlines()
    assert first.split()[-1] == "paused"
    assert second.split()[-1] == "-"
    assert "paused        nothing new is ordered" in fleet("device", "show", "local-1").out
    assert "paused" not in fleet("device", "show", "local-2").out


def test_a_release_is_withdrawn_with_its_reason_and_what_goes_on_is_told(
    fleet: Cli, script: Script
) -> None:
    for one in script.releases:
        one["withdrawn"] = WHY
    ran = fleet("release", "withdraw", "1.1.0", "--reason", f" {WHY} ")
    assert (ran.status, ran.out) == (0, f"release 1.1.0 withdrawn: {WHY}\n")
    assert ran.err == "still under way: 1 upgrade to it; see `fleet abort`\n"
    assert script.documents("PATCH", "/api/v1/releases/1.1.0") == [{"withdrawn": WHY}]
    assert fleet("release", "withdraw", "1.2.0", "--reason", WHY).err == ""
    ran = fleet("release", "withdraw", "1.1.0", "--reason", WHY, "--json")
    assert (ran.document, ran.err) == (script.releases[0], "")


def test_a_withdrawal_is_taken_back(fleet: Cli, script: Script) -> None:
    ran = fleet("release", "withdraw", "1.1.0", "--undo")
    assert (ran.status, ran.out, ran.err) == (0, "release 1.1.0 may be ordered again\n", "")
    assert script.documents("PATCH", "/api/v1/releases/1.1.0") == [{"withdrawn": None}]


def test_a_withdrawn_release_is_shown_with_its_reason(
    fleet: Cli, script: Script, tmp_path: Path
) -> None:
    script.releases[0]["withdrawn"] = f"{WHY}\x1b[2J"
    _, first, second = fleet("release", "list").out.splitlines()
    assert first.endswith(f"  here   {WHY} [2J")
    assert second.endswith("  here   -")
    assert f"withdrawn     {WHY}" in fleet("release", "show", "1.1.0").out
    assert "withdrawn" not in fleet("release", "show", "1.2.0").out
    added = fleet("release", "add", str(tmp_path / "fleet-agent-v1.1.0"))
    assert added.status == 0
    assert f"it is withdrawn all the same: {WHY}" in added.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("1.1.0",),
        ("1.1.0", "--reason", " "),
        ("1.1.0", "--reason", ""),
        ("1.1.0", "--reason", WHY, "--undo"),
        ("nine", "--reason", WHY),
        ("--reason", WHY),
    ],
)
def test_a_withdrawal_without_a_version_and_a_reason_is_asked_of_nobody(
    fleet: Cli, script: Script, arguments: tuple[str, ...]
) -> None:
    ran = fleet("release", "withdraw", *arguments)
    assert (ran.status, ran.out, script.asked) == (2, "", [])


def test_an_unknown_release_is_not_withdrawn(fleet: Cli) -> None:
    assert fleet("release", "withdraw", "9.9.9", "--reason", WHY).status == 2


def test_an_order_of_it_is_refused_in_the_operators_words(fleet: Cli, script: Script) -> None:
    script.upgrades = ordered("local-2")
    words = "release 1.1.0 was withdrawn: it eats memory"
    script.errors["POST /api/v1/upgrades"] = (409, "release_withdrawn", words)
    ran = fleet("upgrade", "local-2", "--to", "1.1.0")
    assert (ran.status, ran.out, ran.err) == (2, "", f"fleet: {words}\n")
