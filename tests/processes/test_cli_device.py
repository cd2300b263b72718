import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import (
    OTHER_ID,
    SINCE,
    UPGRADE_ID,
    Cli,
    Script,
    cause,
    device,
    event,
    standing,
    upgrading,
)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def test_a_list_in_a_pipe_is_aligned_and_has_neither_colour_nor_boxes(
    fleet: Cli, script: Script
) -> None:
    failed = upgrading("Failed", "a-device-with-a-longer-name", cause=cause())
    script.looks = [[device(), failed, device("new", None)]]
    ran = fleet("device", "list")
    assert ran.status == 0
    assert ran.out.isascii()
    assert all(c.isprintable() for c in ran.out.replace("\n", ""))
    head, *rows = ran.out.splitlines()
    assert head.split() == ["DEVICE", "VERSION", "PHASE", "TO", "PROGRESS", "HEARD", "CAUSE"]
    assert {
        row.index(version) for row, version in zip(rows, ("1.0.0", "1.0.0", "-  "), strict=True)
    }
    assert rows[0].split() == ["local-1", "1.0.0", "-", "-", "-", "0s", "-"]
    assert rows[1].split(maxsplit=6)[2:] == [
        "Failed",
        "1.1.0",
        "-",
        "0s",
        "self_test_failed: the self-test failed",
    ]
    assert rows[2].split() == ["new", "-", "-", "-", "-", "never", "-"]


def test_a_staging_device_says_how_much_is_there(fleet: Cli, script: Script) -> None:
    progress = {"done_bytes": 42, "total_bytes": 100}
    script.looks = [[upgrading("Staging", progress=progress)]]
    row = fleet("device", "list").out.splitlines()[1]
    assert row.split()[2:5] == ["Staging", "1.1.0", "42%"]


def test_json_is_the_operators_own_document_with_fields_that_we_do_not_know(
    fleet: Cli, script: Script
) -> None:
    script.looks = [[device()]]
    assert fleet("device", "list", "--json").document == {"devices": [device()]}
    assert fleet("device", "show", "local-1", "--json").document == device()
    assert fleet("why", "local-1", "--json").document["text"] == "local-1 runs 1.0.0."


def test_an_empty_fleet_says_what_to_do_and_not_on_stdout(fleet: Cli) -> None:
    ran = fleet("device", "list")
    assert (ran.status, ran.out) == (0, "")
    assert "fleet device start-local" in ran.err


def test_show_tells_the_cause_with_its_evidence(fleet: Cli, script: Script) -> None:
    script.looks = [[upgrading("RolledBack", cause=cause("crash_loop", "boom\nbang"))]]
    out = fleet("device", "show", "local-1").out
    assert "RolledBack since 2026-02-03T04:05:06Z" in out
    assert "crash_loop: the self-test failed" in out
    assert out.index("boom") < out.index("bang")


def test_what_a_device_says_cannot_move_the_cursor(fleet: Cli, script: Script) -> None:
    nasty = cause("self_test_failed", "\x1b[2Jwiped\rover")
    script.looks = [[upgrading("Failed", cause=nasty, waits_for="\x1b[31mred")]]
    script.events = [event(1, "1.1.0: \x1b]0;title\x07Failed")]
    for command in (("device", "show", "local-1"), ("device", "events", "local-1")):
        out = fleet(*command).out
        assert all(c.isprintable() for c in out.replace("\n", ""))


def test_events_are_read_page_by_page_and_told_in_order(fleet: Cli, script: Script) -> None:
    script.events = [event(n, f"number {n}") for n in range(1, 1102)]
    _head, *lines = fleet("device", "events", "local-1").out.splitlines()
    assert [line.split()[-1] for line in lines] == [str(n) for n in range(1, 1102)]
    assert lines[0].split() == ["+0.0", "s", "device", "phase", "number", "1"]
    document = fleet("device", "events", "local-1", "--json").document
    assert len(document["events"]) == 1101


def test_why_prints_the_operators_paragraph(fleet: Cli) -> None:
    assert fleet("why", "local-1").out == "local-1 runs 1.0.0.\n"


def test_an_unknown_device_is_bad_input(fleet: Cli, script: Script) -> None:
    script.looks = [[device()]]
    ran = fleet("device", "show", "nobody")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "fleet: there is no device_id nobody\n"
    assert fleet("device", "show", "nobody", "--json").error["kind"] == "unknown"


@pytest.mark.parametrize("name", ["../../etc", "A", "-", "a/b", "a?b", "*"])
def test_what_is_no_device_id_is_refused_before_anything_is_asked(
    fleet: Cli, script: Script, name: str
) -> None:
    ran = fleet("device", "show", "--", name) if name == "-" else fleet("why", name)
    assert ran.status == 2
    assert "is not a device id" in ran.err or "see `fleet" in ran.err
    assert script.asked == []


def test_data_and_json_may_stand_before_the_command_or_after_it(
    fleet: Cli, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    from harmony_fleet.cli.main import main

    script.looks = [[device()]]
    here = ["--data", str(fleet.data), "--json"]
    for arguments in (
        [*here, "device", "list"],
        ["device", *here, "list"],
        ["device", "list", *here],
        ["--data", "/nowhere", "device", "list", *here],
    ):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out) == {"devices": [device()]}


def test_events_are_told_upgrade_by_upgrade_or_of_one_alone(fleet: Cli, script: Script) -> None:
    script.events = [
        event(1, "upgrade to 1.0.9 ordered", "ordered", OTHER_ID),
        event(2, "upgrade to 1.1.0 ordered", "ordered"),
        event(3, "1.0.9: Failed", "phase", OTHER_ID),
        event(4, "1.1.0: Failed, self_test_failed: the self-test failed"),
    ]
    failed = upgrading("Failed", cause=cause(), ordered_at=SINCE)["upgrade"]
    script.kept = [failed]
    out = fleet("device", "events", "local-1").out
    first, second = out.split("\n\n")
    assert OTHER_ID in first.splitlines()[0]
    assert [line.split()[-1] for line in first.splitlines()[1:]] == ["ordered", "Failed"]
    assert "1.0.0 to 1.1.0: Failed" in second.splitlines()[0]
    assert second.splitlines()[-2:] == [" " * 17 + "| no module named x", " " * 17 + "| exit 1"]
    own = fleet("device", "events", "local-1", "--upgrade", UPGRADE_ID)
    assert own.out == second
    document = fleet("device", "events", "local-1", "--upgrade", OTHER_ID, "--json").document
    assert document["events"] == script.events[0:3:2]


def test_an_upgrade_that_is_not_known_has_no_events_and_is_bad_input(
    fleet: Cli, script: Script
) -> None:
    script.events = [event(1, "upgrade to 1.1.0 ordered", "ordered")]
    ran = fleet("device", "events", "local-1", "--upgrade", OTHER_ID)
    assert (ran.status, ran.out) == (2, "")
    script.asked.clear()
    assert fleet("device", "events", "local-1", "--upgrade", "latest").status == 2
    assert script.asked == []
