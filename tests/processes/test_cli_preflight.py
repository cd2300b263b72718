"""`fleet preflight`, as in a pipe and as JSON, against a server that says what a test wrote."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli, Script, preflighted, standing

from harmony_fleet.cli.showing_preflight import closing, findings, for_terminal
from harmony_fleet.cli.views import CheckView, PreflightView
from harmony_fleet.contracts.preflight import CheckState

ASK = ("preflight", "local-1", "--to", "1.1.0")
ALL = ("preflight", "--all", "--to", "1.1.0")
SPACE = ("disk_space", "ok", "there is room")
CLOCK = ("clock", "warning", "90 s behind the operator's")
FULL = ("disk_space", "failed", "/usr/bin: 7 bytes are free")
SILENT = ("answer", "unknown", "no answer: it listens to no commands now")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def found(script: Script, **devices: list[tuple[str, str, str]]) -> None:
    results = [preflighted(name.replace("_", "-"), *checks) for name, checks in devices.items()]
    script.preflight["results"] = results


def test_a_device_without_a_finding_is_one_line_and_exit_0(fleet: Cli, script: Script) -> None:
    found(script, local_1=[SPACE])
    ran = fleet(*ASK)
    assert (ran.status, ran.err) == (0, "")
    header, row, closing = ran.out.splitlines()
    assert header.split() == ["DEVICE", "VERDICT", "FINDINGS"]
    assert row.split() == ["local-1", "ok", "-"]
    assert closing == "1 device: 1 would work"


def test_a_warning_is_told_and_still_exit_0(fleet: Cli, script: Script) -> None:
    found(script, local_1=[SPACE, CLOCK])
    ran = fleet(*ASK)
    assert ran.status == 0
    assert "clock warning: 90 s behind the operator's" in ran.out
    assert "1 would work with a warning" in ran.out


@pytest.mark.parametrize("check", [FULL, SILENT])
def test_what_would_not_work_or_is_not_known_is_exit_1(
    fleet: Cli, script: Script, check: tuple[str, str, str]
) -> None:
    found(script, local_1=[SPACE], local_2=[SPACE, CLOCK, check])
    ran = fleet(*ALL)
    assert (ran.status, ran.err) == (1, "")
    _, first, second, _ = ran.out.splitlines()
    assert first.split() == ["local-1", "ok", "-"]
    name, state, words = check
    assert second.split()[:2] == ["local-2", state]
    assert f"; {name} {state}: {words}" in second


@pytest.mark.parametrize(
    ("words", "document"),
    [
        (("local-1", "local-2"), {"devices": ["local-1", "local-2"]}),
        (("--all",), {"devices": None}),
        (("-l", "ring=canary"), {"devices": None, "selector": "ring=canary"}),
    ],
)
def test_devices_are_chosen_as_for_an_upgrade(
    fleet: Cli, script: Script, words: tuple[str, ...], document: dict[str, object]
) -> None:
    found(script, local_1=[SPACE])
    assert fleet("preflight", *words, "--to", "1.1.0").status == 0
    assert script.documents("POST", "/api/v1/preflight") == [document | {"version": "1.1.0"}]
    assert {path for _, path, _ in script.asked} == {"/api/v1/preflight"}


@pytest.mark.parametrize(
    "words",
    [
        ("preflight", "--to", "1.1.0"),
        ("preflight", "local-1", "--all", "--to", "1.1.0"),
        ("preflight", "--all", "-l", "a=b", "--to", "1.1.0"),
        ("preflight", "local-1"),
        ("preflight", "local-1", "--to", "newest"),
        ("preflight", "Not-A-Device", "--to", "1.1.0"),
        ("preflight", "-l", "=", "--to", "1.1.0"),
    ],
)
def test_what_cannot_be_meant_is_exit_2_and_nobody_is_asked(
    fleet: Cli, script: Script, words: tuple[str, ...]
) -> None:
    ran = fleet(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("fleet: ")
    assert script.asked == []


def test_what_the_operator_does_not_know_is_exit_2(fleet: Cli, script: Script) -> None:
    script.errors["POST /api/v1/preflight"] = (404, "unknown_release", "there is no release 1.1.0")
    ran = fleet(*ASK, "--json")
    assert (ran.status, ran.error["kind"]) == (2, "unknown_release")


def test_in_json_the_operators_own_answer_is_given_with_the_same_exit(
    fleet: Cli, script: Script
) -> None:
    found(script, local_1=[SPACE, FULL])
    ran = fleet(*ASK, "--json")
    assert (ran.status, ran.document, ran.err) == (1, script.preflight, "")


def test_a_fleet_without_a_device_is_no_success(fleet: Cli) -> None:
    ran = fleet(*ALL)
    assert ran.status == 1
    assert "there is no device yet" in ran.err


def test_states_and_checks_of_a_newer_operator_are_survived_and_are_no_yes(
    fleet: Cli, script: Script
) -> None:
    found(script, local_1=[("moon", "full", "the moon is full")])
    script.preflight["results"][0]["verdict"] = "full"
    ran = fleet(*ASK)
    assert ran.status == 1
    assert "moon unknown: the moon is full" in ran.out


def test_what_a_device_says_cannot_move_the_cursor(fleet: Cli, script: Script) -> None:
    found(script, local_1=[("disk\x1b[2J_space", "failed", "\x1b]0;title\x07\nlocal-2  ok")])
    ran = fleet(*ASK)
    assert "\x1b" not in ran.out
    assert len(ran.out.splitlines()) == 3


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"version":"1.1.0","results":[{}]}'])
def test_what_is_no_answer_of_an_operator_is_exit_1(
    fleet: Cli, script: Script, answer: bytes
) -> None:
    script.raw["POST /api/v1/preflight"] = answer
    ran = fleet(*ASK)
    assert (ran.status, ran.out) == (1, "")
    assert "cannot be read" in ran.err


# On a terminal


def view(device_id: str, *checks: tuple[str, str, str]) -> PreflightView:
    made = tuple(CheckView(name, CheckState(state), words) for name, state, words in checks)
    order = [CheckState.FAILED, CheckState.UNKNOWN, CheckState.WARNING, CheckState.OK]
    worst = next(state for state in order if state in {check.state for check in made})
    return PreflightView(device_id, worst, made)


DEVICES = [
    view("a-1", SPACE),
    view("a-2", SPACE, CLOCK),
    view("a-3", FULL, CLOCK),
    view("a-4", SILENT),
]


def test_a_terminal_has_a_row_for_each_device_with_the_names_of_what_was_found() -> None:
    cells = [row.cells for row in for_terminal(DEVICES, 80).rows]
    assert cells == [
        ("a-1", "ok", "-"),
        ("a-2", "warning", "clock warning"),
        ("a-3", "failed", "disk_space failed, clock warning"),
        ("a-4", "unknown", "answer unknown"),
    ]


def test_below_them_each_sentence_stands_once_the_worst_first() -> None:
    assert findings(DEVICES) == [
        "a-3: disk_space failed: /usr/bin: 7 bytes are free",
        "a-4: answer unknown: no answer: it listens to no commands now",
        "a-2, a-3: clock warning: 90 s behind the operator's",
    ]


def test_the_last_line_counts_the_verdicts() -> None:
    assert closing(DEVICES) == (
        "4 devices: 1 would work, 1 would work with a warning, 1 unknown, 1 would not work"
    )
