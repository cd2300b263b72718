"""`fleet doctor`: what is whole is called so, and each thing that is broken is named and mended."""

import errno
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.processes.data_folders import NAME, served_once
from tests.processes.stand_in_api import Cli, Script, device, standing, upgrading
from tests.processes.test_cli_terminal import COLOUR, Terminal
from tests.processes.test_cli_up import up

import harmony_fleet
from harmony_fleet.embedded.accounts import Accounts, DataFolderUnusable, unusable
from harmony_fleet.embedded.certificates import AUTHORITY_LASTS, SERVER_LASTS, WARN, Certificates
from harmony_fleet.embedded.doctor.contents import look_at_certificates
from harmony_fleet.embedded.doctor.examine import examine
from harmony_fleet.embedded.doctor.finding import Finding, guarded
from harmony_fleet.embedded.nats import usable_server

HEALTHY = b'{"status": "ok", "plane_connected": true, "plane_stores": true}'
DAY = timedelta(days=1)
BEGUN = datetime(2026, 2, 3, tzinfo=UTC)
LATE = BEGUN + AUTHORITY_LASTS - WARN + DAY
API = json.dumps({"info": {"version": harmony_fleet.__version__}}).encode()


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    served_once(tmp_path / "data", "pi-1")
    return Cli(tmp_path / "data", capsys)


def told(fleet: Cli, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The status, and what is not well, by check."""
    ran = fleet("doctor", "--json", *arguments)
    assert ran.err == ""
    checks = ran.document["checks"]
    assert ran.document["well"] == (ran.status == 0)
    assert all(bool(one["mend"]) == (one["level"] != "ok") for one in checks)
    return ran.status, {one["check"]: one for one in checks if one["level"] != "ok"}


def test_where_nothing_is_wrong_and_nothing_is_up_all_but_that_is_well(fleet: Cli) -> None:
    status, found = told(fleet)
    found.pop("ports", None)  # whoever else is on this machine may have them
    assert (status, list(found)) == (0, ["control plane"])
    assert found["control plane"]["mend"] == "run `fleet up`"


def test_a_fleet_that_is_up_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = Cli(tmp_path / "data", capsys)
    with up(fleet.data):
        assert told(fleet) == (0, {})
        ran = fleet("doctor")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].startswith("all is well (")


def test_before_the_first_start_nothing_is_made(tmp_path: Path, fleet: Cli) -> None:
    status, found = told(Cli(tmp_path / "none", fleet.capture))
    assert status == 0
    assert found["data folder"]["level"] == "warning"
    assert not (tmp_path / "none").exists()


def other_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


def open_token(folder: Path) -> None:
    folder.mkdir()
    (folder / "token").touch(0o644)


def lose_keys(data: Path) -> None:
    (data / "nats/nats-server.conf").touch()
    (data / "nats/accounts/keys.json").unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "its folder is open": (lambda d: d.chmod(0o755), "secrets", "chmod -R"),
    "a seed is open": (
        lambda d: (d / "nats/accounts/keys.json").chmod(0o640),
        "secrets",
        "chmod -R",
    ),
    "the token of a restore that was cut off is open": (
        lambda d: open_token(d / ".restoring-x"),
        "secrets",
        "chmod -R",
    ),
    "the token is open": (lambda d: (d / "token").chmod(0o604), "secrets", "chmod -R"),
    "the token is none": (lambda d: (d / "token").write_text("x"), "token", "restart"),
    "the store is gone": (lambda d: (d / "fleet.db").unlink(), "store", "fleet restore"),
    "the store is damaged": (lambda d: other_bytes(d / "fleet.db"), "store", "fleet restore"),
    "an artifact is gone": (
        lambda d: (d / "artifacts" / NAME).unlink(),
        "releases",
        "release add",
    ),
    "an artifact is cut": (
        lambda d: os.truncate(d / "artifacts" / NAME, 10),
        "releases",
        "release add",
    ),
    "an artifact is changed": (
        lambda d: other_bytes(d / "artifacts" / NAME),
        "releases",
        "release add",
    ),
    "the keys are gone": (lose_keys, "account keys", "fleet restore"),
    "the keys are damaged": (
        lambda d: (d / "nats/accounts/keys.json").write_text("{}"),
        "account keys",
        "fleet restore",
    ),
    "a restore was cut off": (lambda d: (d / ".restore-x").mkdir(), "data folder", "fleet up"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_a_problem_with_a_way_to_mend_it(fleet: Cli, what: str) -> None:
    damage, check, mend = BROKEN[what]
    damage(fleet.data)
    status, found = told(fleet)
    assert status == 1
    assert [name for name, one in found.items() if one["level"] == "problem"] == [check]
    assert mend in found[check]["mend"]


def test_the_doctor_changes_nothing(fleet: Cli) -> None:
    def modes() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in fleet.data.rglob("*")
            if not path.name.endswith(("-wal", "-shm"))  # SQLite's, for any reader
        }

    fleet.data.chmod(0o755)
    shutil.rmtree(fleet.data / "nats")
    before = modes()
    told(fleet)
    assert modes() == before


def test_a_server_that_is_none_is_named(fleet: Cli, tmp_path: Path) -> None:
    plain, script = tmp_path / "plain", tmp_path / "script"
    plain.touch()
    script.write_text("#!/bin/sh\necho something else\n")
    script.chmod(0o755)
    for server in (plain, script, tmp_path / "none"):
        status, found = told(fleet, "--nats-server", str(server))
        assert (status, str(server) in found["nats-server"]["sentence"]) == (1, True)
    assert told(fleet, "--nats-server", str(usable_server(None)))[0] == 0


def test_a_port_of_somebody_else_is_named(fleet: Cli) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as api,
        socket.create_server(("127.0.0.1", 0)) as plane,
    ):
        port = plane.getsockname()[1]
        (fleet.data / "nats-port").write_text(str(port))
        found = examine(fleet.data, api.getsockname()[1])
    of_ports = {str(one.level): one.sentence for one in found if one.check == "ports"}
    assert str(port) in of_ports["problem"]
    assert "where the API would" in of_ports["warning"]


@pytest.fixture
def script(fleet: Cli) -> Iterator[Script]:
    said = Script(looks=[[device()]])
    said.raw |= {"GET /healthz": HEALTHY, "GET /api/v1/openapi.json": API}
    with standing(fleet.data, said):
        (fleet.data / "token").chmod(0o600)
        yield said


def asked(fleet: Cli) -> tuple[int, dict[str, dict[str, Any]]]:
    status, found = told(fleet)
    for name in ("token", "ports"):  # the stand-in's token is none of ours, and it holds no lock
        found.pop(name, None)
    return status, found


def test_devices_with_a_condition_are_named(fleet: Cli, script: Script) -> None:
    assert asked(fleet)[1] == {}
    script.looks = [[device("pi-1", None)]]
    (found,) = asked(fleet)[1].values()
    assert (found["check"], found["level"]) == ("devices", "warning")
    assert "pi-1" in found["sentence"]
    for condition in ("DuplicateIdentity", "JournalSetBack", "Stalled"):
        script.looks = [[upgrading("Verifying", "pi-2") | {"conditions": [condition]}]]
        status, by_check = asked(fleet)
        assert (status, by_check["devices"]["level"]) == (1, "problem")
        assert "pi-2" in by_check["devices"]["sentence"]


@pytest.mark.parametrize("broken", [b"plane_connected", b"plane_stores"])
def test_a_message_plane_that_does_not_work_is_a_problem(
    fleet: Cli, script: Script, broken: bytes
) -> None:
    script.raw["GET /healthz"] = HEALTHY.replace(broken + b'": true', broken + b'": false')
    status, found = asked(fleet)
    assert (status, found["message plane"]["level"]) == (1, "problem")


def test_a_control_plane_that_makes_no_sense_is_a_problem(fleet: Cli, script: Script) -> None:
    script.raw["GET /api/v1/openapi.json"] = b"[]"
    assert asked(fleet)[1]["control plane"]["level"] == "problem"
    script.raw["GET /api/v1/openapi.json"] = API.replace(b"0.", b"9.")
    assert asked(fleet)[1]["control plane"]["level"] == "warning"
    script.raw["GET /api/v1/openapi.json"] = API
    script.raw["GET /healthz"] = b"[]"
    assert asked(fleet)[1]["message plane"]["level"] == "problem"
    (fleet.data / "token").write_text("w" * 43)
    assert "does not take the token" in asked(fleet)[1]["control plane"]["sentence"]


def test_one_that_was_killed_is_not_up(fleet: Cli) -> None:
    up_json = {"url": "http://127.0.0.1:1", "pid": 1, "nats_url": "nats://127.0.0.1:2"}
    (fleet.data / "up.json").write_text(json.dumps(up_json))
    status, found = told(fleet)
    assert (status, found["control plane"]["mend"]) == (0, "run `fleet up`")


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_it_has_colours_and_no_line_that_is_too_long(
    fleet: Cli, columns: int
) -> None:
    lose_keys(fleet.data)
    terminal = Terminal(fleet.data, "doctor", columns=columns)
    assert terminal.ended() == 1
    assert COLOUR.search(terminal.raw)
    assert max(map(len, terminal.lines)) <= columns
    assert any(line.startswith("problem  account keys") for line in terminal.lines)


def test_what_another_user_owns_is_not_called_damaged_and_no_backup_is_advised(
    tmp_path: Path,
) -> None:
    def refused() -> list[Finding]:
        try:
            raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "keys.json"))
        except OSError as error:
            raise unusable(tmp_path, error) from error

    (found,) = guarded("account keys", refused, "fleet restore FILE --replace")
    assert (found.mend, "damaged" in found.sentence) == ("run as the user of `fleet up`", False)


def test_credentials_that_cannot_be_read_are_not_called_damaged(tmp_path: Path) -> None:
    Accounts.open(tmp_path / "accounts")
    (tmp_path / "accounts/operator.creds").unlink()
    (tmp_path / "accounts/operator.creds").mkdir()
    with pytest.raises(DataFolderUnusable, match="Is a directory") as refusal:
        Accounts.open(tmp_path / "accounts")
    assert "damaged" not in str(refusal.value)


@pytest.mark.parametrize(
    ("signed", "asked", "level", "words", "mend"),
    [
        (BEGUN, BEGUN, "ok", "", ""),
        (BEGUN, BEGUN + SERVER_LASTS - WARN + DAY, "warning", "of `fleet up` ends", "restart it"),
        (BEGUN, BEGUN + SERVER_LASTS, "problem", "server.pem ended on", "restart `fleet up`"),
        (LATE, LATE, "warning", "the authority ends on", "docs/reach.md"),
        (LATE, BEGUN + AUTHORITY_LASTS, "problem", "ca.pem ended on", "docs/reach.md"),
    ],
)
def test_certificates_that_end_or_have_ended_are_told(
    tmp_path: Path, signed: datetime, asked: datetime, level: str, words: str, mend: str
) -> None:
    for now in (BEGUN, signed):
        Certificates.open(tmp_path / "tls", ["fleet.example"], now)
    (found,) = look_at_certificates(tmp_path, asked)
    assert found.level == level
    assert words in found.sentence
    assert mend in (found.mend or "")


def test_damaged_certificates_are_told_with_their_mend(fleet: Cli) -> None:
    (fleet.data / "tls/ca.pem").write_text("nonsense")
    _, found = told(fleet)
    assert "damaged" in found["certificates"]["sentence"]
    assert "fleet restore" in found["certificates"]["mend"]


def test_a_readable_key_of_the_authority_is_a_problem(fleet: Cli) -> None:
    key = fleet.data / "tls/ca.key"
    key.chmod(0o644)
    status, found = told(fleet)
    assert status == 1
    assert str(key) in found["secrets"]["sentence"]
