"""Everything that can be wrong, and one sentence for each: what it is, and what to do next."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from tests.processes.stand_in_api import (
    OTHER_ID,
    UPGRADE_ID,
    Cli,
    Script,
    be_up,
    device,
    event,
    ordered,
    standing,
    upgrading,
)

from harmony_fleet.cli.main import main

COMMANDS = [
    ("device", "list"),
    ("device", "list", "--watch"),
    ("device", "show", "local-1"),
    ("device", "events", "local-1"),
    ("device", "events", "local-1", "--follow"),
    ("device", "start-local"),
    ("release", "list"),
    ("release", "show", "1.0.0"),
    ("upgrade", "--all", "--to", "1.0.0"),
    ("upgrade", "--all", "--to", "1.0.0", "--wait"),
    ("upgrade", "-l", "ring=canary", "--to", "1.0.0"),
    ("abort", "local-1"),
    ("rollback", "local-1"),
    ("device", "label", "local-1", "ring=canary"),
    ("release", "add", "--url", "http://h/a", "--sha256", "a" * 64, "--size", "1", "1.0.0"),
    ("why", "local-1"),
]


@pytest.fixture
def nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path / "data", capsys)


@pytest.fixture
def script() -> Script:
    return Script(looks=[[device()]])


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_fleet_every_command_says_to_start_one(
    nowhere: Cli, command: tuple[str, ...]
) -> None:
    ran = nowhere(*command)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"fleet: no fleet is up in {nowhere.data}: run `fleet up`\n"
    assert nowhere(*command, "--json").error["kind"] == "not_up"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_fleet_that_is_gone_is_told_like_one_that_never_was(
    nowhere: Cli, command: tuple[str, ...]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    be_up(nowhere.data, f"http://127.0.0.1:{port}")
    ran = nowhere(*command)
    assert ran.status == 1
    assert ran.err == f"fleet: no fleet is up in {nowhere.data}: run `fleet up`\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_token_is_named_with_its_file(fleet: Cli, command: tuple[str, ...]) -> None:
    (fleet.data / "token").write_text("wrong")
    ran = fleet(*command)
    assert (ran.status, ran.out) == (1, "")
    assert f"does not take the token in {fleet.data / 'token'}" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("token", ["two words", "\x07", "\u20ac"])
def test_a_token_that_is_none_is_not_sent(fleet: Cli, script: Script, token: str) -> None:
    (fleet.data / "token").write_text(token, encoding="utf-8")
    ran = fleet("device", "list")
    assert ran.status == 1
    assert "holds no token" in ran.err
    assert script.asked == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 3}', '{"url": "file:///etc"}'])
def test_a_damaged_up_file_is_named(nowhere: Cli, text: str) -> None:
    be_up(nowhere.data, "http://127.0.0.1:1")
    (nowhere.data / "up.json").write_text(text)
    ran = nowhere("device", "list")
    assert ran.status == 1
    assert f"{nowhere.data / 'up.json'} does not say where the operator is" in ran.err


def test_a_folder_that_cannot_be_read_is_named(nowhere: Cli) -> None:
    be_up(nowhere.data, "http://127.0.0.1:1")
    (nowhere.data / "token").unlink()
    (nowhere.data / "token").mkdir()
    ran = nowhere("device", "list")
    assert ran.status == 1
    assert str(nowhere.data / "token") in ran.err


@pytest.mark.parametrize(
    ("status", "exit_status", "kind"),
    [
        (400, 2, "said"),
        (404, 2, "said"),
        (409, 2, "said"),
        (413, 2, "said"),
        (403, 1, "wrong_token"),
        (500, 1, "server_failed"),
        (503, 1, "server_busy"),
    ],
)
def test_the_operators_refusal_decides_the_exit_status(
    fleet: Cli, script: Script, status: int, exit_status: int, kind: str
) -> None:
    script.errors["GET /api/v1/devices"] = (status, "said", "the operator's sentence")
    ran = fleet("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (exit_status, kind)
    assert "the operator's sentence" in ran.error["message"] or status == 403


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b'{"devices": [{}]}', b'{"devices": 3}'])
def test_an_answer_that_is_none_is_told(fleet: Cli, script: Script, answer: bytes) -> None:
    script.raw["GET /api/v1/devices"] = answer
    ran = fleet("device", "list")
    assert ran.status == 1
    assert "answer cannot be read" in ran.err


def test_an_operator_that_breaks_off_is_told(nowhere: Cli) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        be_up(nowhere.data, f"http://127.0.0.1:{server.getsockname()[1]}")

        def take_and_leave() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=take_and_leave)
        thread.start()
        ran = nowhere("device", "list")
        thread.join()
    assert ran.status == 1
    assert "broke off" in ran.err


def test_proxies_of_the_environment_are_not_asked(
    fleet: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fleet("device", "list").status == 0


def test_an_unforeseen_error_is_one_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json", cast("str", 3)]) == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["kind"] == "unforeseen"
    assert "FLEET_DEBUG=1" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense': see `fleet --help`"),
        (["device", "nonsense"], "see `fleet device --help`"),
        (["device", "list", "--nonsense"], "see `fleet device list --help`"),
        (["release", "add"], "see `fleet release add --help`"),
        (["completion", "tcsh"], "see `fleet completion --help`"),
        (["device", "start-local", "0"], "see `fleet device start-local --help`"),
        (["device", "start-local", "3", "4"], "see `fleet device start-local --help`"),
        (["up", "--port", "70000"], "see `fleet up --help`"),
    ],
)
def test_what_was_typed_wrong_names_where_to_read_on(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["kind"] == "usage"


@pytest.mark.parametrize("group", ["fleet", "fleet device", "fleet release"])
def test_a_group_alone_shows_its_help_and_is_one_sentence_in_json(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = group.split()[1:]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"Usage: {group} ")
    assert said.err == ""
    assert main(["--json", *arguments]) == 2
    said = capsys.readouterr()
    error = {"kind": "usage", "message": f"Missing command: see `{group} --help`"}
    assert (said.out, json.loads(said.err)) == ("", {"error": error})


def _fleet(data: Path, *arguments: str) -> subprocess.Popen[str]:
    program = "from harmony_fleet.cli.main import run; run()"
    argv = [sys.executable, "-c", program, *arguments, "--data", str(data)]
    environment = {k: v for k, v in os.environ.items() if k != "FLEET_DEBUG"}
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment)


def test_a_reader_who_leaves_a_pipe_causes_no_complaint(fleet: Cli, script: Script) -> None:
    script.looks = [[device(f"local-{n}") for n in range(5000)]]
    with _fleet(fleet.data, "device", "list") as ran:
        assert ran.stdout is not None
        ran.stdout.readline()
        ran.stdout.close()
        assert ran.wait(20) == 1
        assert ran.stderr is not None
        assert ran.stderr.read() == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("as_json", ["", "--json"])
def test_a_closed_stream_changes_nothing_but_what_is_seen(
    fleet: Cli, closed: str, as_json: str
) -> None:
    program = "from harmony_fleet.cli.main import run; run()"
    command = f'exec "$0" -c "{program}" device list {as_json} --data "$1" {closed}'
    argv = ["sh", "-c", command, sys.executable, str(fleet.data)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ("local-1" in ran.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_an_interrupt_ends_the_wait_and_not_the_upgrade(fleet: Cli, script: Script) -> None:
    script.upgrades, script.looks = ordered("local-1"), [[upgrading("Staging")]]
    with _fleet(fleet.data, "upgrade", "local-1", "--to", "1.1.0", "--wait") as ran:
        assert ran.stdout is not None
        while "Staging" not in ran.stdout.readline():
            pass
        ran.send_signal(2)
        assert ran.wait(20) == 130
        assert ran.stderr is not None
        assert "the upgrades go on" in ran.stderr.read()
    assert not script.documents("POST", "/api/v1/aborts")


def test_a_wait_survives_an_operator_that_comes_back_elsewhere(
    tmp_path: Path, script: Script
) -> None:
    script.upgrades, script.looks = ordered("local-1"), [[upgrading("Staging")]]
    data = tmp_path / "data"
    with standing(data, script):
        ran = _fleet(data, "upgrade", "local-1", "--to", "1.1.0", "--wait")
        assert ran.stdout is not None
        assert ran.stderr is not None
        while "Staging" not in ran.stdout.readline():
            pass
    assert "trying again" in ran.stderr.readline()
    script.looks = [[upgrading("Succeeded")]]
    with standing(data, script):
        out, err = ran.communicate(timeout=20)
    assert (ran.returncode, err) == (0, "")
    assert "1 succeeded" in out


def test_watching_tells_only_what_has_changed(fleet: Cli, script: Script) -> None:
    script.looks = [
        [device(), device("local-2")],
        [device(heartbeat_age_s=7.0), device("local-2")],
        [device(), upgrading("Staging", "local-2")],
    ]
    with _fleet(fleet.data, "device", "list", "--watch", "-l", "ring,!old") as ran:
        assert ran.stdout is not None
        lines = [ran.stdout.readline().split()[0] for _ in range(4)]
        ran.send_signal(2)
        assert ran.wait(20) == 130
    assert lines == ["DEVICE", "local-1", "local-2", "local-2"]
    assert set(script.queries) == {"selector=ring%2C%21old"}


def test_following_one_upgrade_leaves_the_others_out(fleet: Cli, script: Script) -> None:
    script.events = [event(1, "another's", upgrade_id=OTHER_ID), event(2, "its own")]
    command = ("device", "events", "local-1", "--follow", "--upgrade", UPGRADE_ID)
    with _fleet(fleet.data, *command) as ran:
        assert ran.stdout is not None
        assert ran.stdout.readline().endswith("its own\n")
        ran.send_signal(2)
        assert ran.wait(20) == 130


def test_an_upgrade_that_is_not_known_is_not_followed(fleet: Cli, script: Script) -> None:
    ran = fleet("device", "events", "local-1", "--follow", "--upgrade", "f" * 32)
    assert ran.status == 2
    assert "f" * 32 in ran.err  # as the operator says it


def test_watching_and_following_in_json_are_json_lines(fleet: Cli, script: Script) -> None:
    script.looks = [[device()], [device(version="1.1.0")]]
    with _fleet(fleet.data, "device", "list", "--watch", "--json") as ran:
        assert ran.stdout is not None
        seen = [json.loads(ran.stdout.readline())["current_version"] for _ in range(2)]
        ran.send_signal(2)
        assert ran.wait(20) == 130
    assert seen == ["1.0.0", "1.1.0"]
