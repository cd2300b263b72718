"""`fleet device credentials`: what is signed, what is printed, and what is never sent or shown."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli, Script, standing

from harmony_fleet.messaging.credentials import (
    Credentials,
    encode_creds,
    encode_public,
    encode_seed,
)

SEED = bytes(range(32))
PUBLIC_KEY = Credentials("", SEED).public_key()


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def test_a_public_key_is_signed_and_only_the_credential_is_printed(
    fleet: Cli, script: Script, tmp_path: Path
) -> None:
    file = tmp_path / "public"
    file.write_text(f"{PUBLIC_KEY}\r\n")
    ran = fleet("device", "credentials", "pi-1", "--public-key", str(file))
    assert (ran.status, ran.out, ran.err) == (0, f"jwt-for-{PUBLIC_KEY}\n", "")
    wanted = {"device_id": "pi-1", "public_key": PUBLIC_KEY}
    assert script.documents("POST", "/api/v1/devices") == [wanted]


def test_it_may_come_from_a_pipe_and_last_for_days(
    fleet: Cli, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = io.TextIOWrapper(io.BytesIO(f"{PUBLIC_KEY}\n".encode()))
    monkeypatch.setattr(sys, "stdin", piped)
    ran = fleet("device", "credentials", "pi-1", "--public-key", "-", "--days", "7", "--json")
    assert ran.document["jwt"] == f"jwt-for-{PUBLIC_KEY}"
    assert script.documents("POST", "/api/v1/devices")[0]["valid_days"] == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        PUBLIC_KEY[:-1],
        PUBLIC_KEY + "A",
        f"{PUBLIC_KEY}\n{PUBLIC_KEY}",
        encode_public("A", bytes(32)),
        encode_seed("U", SEED),
        encode_creds("a.b.c", SEED),
        "\xff\x00",
        "U" * 100_000,
    ],
    ids=range(10),
)
def test_what_is_no_public_key_is_neither_sent_nor_shown(
    fleet: Cli, script: Script, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "given"
    file.write_bytes(text.encode("latin-1"))
    ran = fleet("device", "credentials", "pi-1", "--public-key", str(file), "--json")
    assert (ran.status, ran.out, ran.error["kind"]) == (2, "", "invalid_value")
    assert f"{file} holds no public key" in ran.error["message"]
    assert encode_seed("U", SEED)[4:20] not in ran.err
    assert script.asked == []


def test_a_file_that_is_not_there_and_days_that_are_none_are_mistakes(
    fleet: Cli, script: Script, tmp_path: Path
) -> None:
    ran = fleet("device", "credentials", "pi-1", "--public-key", str(tmp_path / "none"))
    assert (ran.status, "none" in ran.err) == (2, True)
    assert fleet("device", "credentials", "pi-1", "--public-key", "-", "--days", "0").status == 2
    assert script.asked == []
