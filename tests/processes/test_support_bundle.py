"""`fleet support-bundle`: it holds what a maintainer needs, and no secret, wherever one lies."""

import asyncio
import json
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.processes.data_folders import served_once
from tests.processes.stand_in_api import Cli
from tests.processes.test_cli_up import up

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, CauseKind, cause
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.embedded.support.collect import LOG_BYTES
from harmony_fleet.messaging.credentials import Credentials, encode_creds, new_user_seed
from harmony_fleet.operator.credentials import KeyPair
from harmony_fleet.operator.records import DeviceRecord, Happening, Order
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.system import SystemClock

FORMS: Final = (
    re.compile(rb"S[ACNOPUX][A-Z2-7]{20,}"),
    re.compile(rb"ey[IJK][A-Za-z0-9_-]{10,}"),
    re.compile(rb"(?i)bearer [A-Za-z0-9._~+/-]{6,}"),
    re.compile(rb"://[^/\s\[]*:[^/\s\[]*@"),
    re.compile(rb"BEGIN [A-Z ]*(PRIVATE KEY|SEED|JWT)"),
)
WORD: Final = re.compile(r"[A-Za-z0-9_-]{16,}")
WINDOW: Final = 20
"""So much of a secret in a row is a part of it."""

STRANGERS: Final = (
    # secrets that are in no file of ours, by their form alone
    KeyPair("U", bytes(range(32))).seed_text(),
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJlLW9mLXNvbWVib2R5",
    "Authorization: Bearer Zm9yLXRoaXMtdGVzdA",
    "nats://someone:a-secret-word-of-theirs@plane.example:4222",
    "https://someone:with/a-slash-in-the-middle@host.example/path",
    "password = correct-horse-battery-staple",
    "api_key: 0123456789-of-somebody",
    "fetching https://files.example/a?X-Amz-Credential=AKIAEXAMPLE&sig=QWErty12345%2Babc ended",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHRoaXMtaXMtYS10ZXN0\n-----END KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUtYW5k",
)
PARTS_OF_STRANGERS: Final = (
    "Zm9yLXRoaXMtdGVzdA",
    "a-secret-word-of-theirs",
    "a-slash-in-the-middle",
    "correct-horse-battery-staple",
    "0123456789-of-somebody",
    "AKIAEXAMPLE",
    "QWErty12345",
    "short-one",
    "signature-of-the-link",
    "MC4CAQAwBQYDK2VwBCIEIHRoaXMtaXMtYS10ZXN0",
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUtYW5k",
)


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """With devices, and with the secrets of another fleet that a restore has moved aside."""
    cli = Cli(tmp_path / "data", capsys)
    served_once(cli.data, "pi-1")
    assert cli("backup", str(tmp_path / "backup")).status == 0
    shutil.rmtree(cli.data / "nats")
    (cli.data / "token").write_text("another-token-than-the-one-before-" * 2)
    accounts = Accounts.open(cli.data / "nats/accounts")
    for name in ("local-1", "local-2"):
        seed = new_user_seed()
        jwt = accounts.mint_device(name, Credentials("", seed).public_key())
        folder = cli.data / "devices" / name / "etc/fleet-agent"
        folder.mkdir(parents=True)
        (folder / "device.creds").write_text(encode_creds(jwt, seed))
    assert cli("restore", str(tmp_path / "backup"), "--replace").status == 0
    return cli


def secrets_of(data: Path) -> set[str]:
    """Each long word of each file that is there to be secret."""
    names = ("token", "keys.json", "*.creds", "*.jwt")
    files = [path for name in names for path in data.rglob(name) if path.is_file()]
    assert len(files) > 15
    words = {word for path in files for word in WORD.findall(path.read_text())}
    assert len(words) > 30
    return words


def put_everywhere(data: Path, secrets: list[str]) -> None:
    """Into logs, settings, and what devices have said."""
    said = "\n".join(f"line {n}: {one} and more" for n, one in enumerate(secrets)) + "\n"
    for device in (data / "devices").iterdir():
        log = device / "var/log/fleet-agent"
        log.mkdir(parents=True)
        for name in ("fleet-agent.log", "supervisor.log.1"):
            (log / name).write_text(said)
        (device / "etc/fleet-agent/config.toml").write_text(said)
    for name in ("nats-server.log", "nats-server.err", "nats-server.conf"):
        (data / "nats" / name).write_text(said)
    url = "http://someone:a-secret-word-of-theirs@127.0.0.1:1"
    (data / "up.json").write_text(json.dumps({"url": url, "nats_url": said}))
    asyncio.run(tell(data / "fleet.db", said, secrets))


async def tell(store_file: Path, said: str, secrets: list[str]) -> None:
    artifact = Artifact("https://host.example/a", 1, "a" * 64)
    why = cause(CauseKind.SELF_TEST_FAILED, "it failed", said[:4000])
    order = Order("1" * 32, 1, "1.1.0", artifact, "now", phase=AgentUpgradePhase.FAILED, cause=why)
    async with SqliteStore(store_file, SystemClock()) as store:
        record = DeviceRecord("pi-9", "1.0.0", order=order)
        told = [Happening("phase", f"it said {one}") for one in secrets]
        await store.save(record, 0, told)


def contents(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def leaks(found: bytes, secrets: set[str]) -> Iterator[str]:
    for secret in secrets:
        for at in range(max(1, len(secret) - WINDOW + 1)):
            if secret[at : at + WINDOW].encode() in found:
                yield secret
                break
    for form in FORMS:
        if hit := form.search(found):
            yield f"{form.pattern!r} matches {hit[0]!r}"


def test_no_secret_is_in_it_wherever_one_was_written(
    fleet: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = secrets_of(fleet.data)
    secrets = [*sorted(own), *STRANGERS]
    put_everywhere(fleet.data, secrets)
    monkeypatch.setenv("FLEET_OF_THE_TEST", sorted(own)[0])
    monkeypatch.setenv("FLEET_PASSWORD", "correct-horse-battery-staple")
    bundle = tmp_path / "bundle.zip"
    ran = fleet("support-bundle", str(bundle))
    assert (ran.status, ran.err) == (0, "")
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    found = contents(bundle)
    assert len(found) >= 18
    everything = bundle.read_bytes() + b"\n".join([*found.values(), *map(str.encode, found)])
    assert list(leaks(everything, {*own, *PARTS_OF_STRANGERS})) == []
    assert everything.count(b"[redacted]") > 100
    assert everything.count(b"and more") > 100, "the rest of each line is there"


def test_the_end_of_a_long_log_never_begins_within_a_secret(fleet: Cli, tmp_path: Path) -> None:
    """Half of a secret that nobody knows has no form any more by which it could be told."""
    secret = STRANGERS[1]
    log = fleet.data / "nats/nats-server.log"
    for shift in range(0, len(secret), 20):
        line = f"{secret}\n"
        log.write_text(line * (2 * LOG_BYTES // len(line)) + "x" * shift + "\nthe end\n")
        bundle = tmp_path / f"bundle-{shift}.zip"
        assert fleet("support-bundle", str(bundle)).status == 0
        found = contents(bundle)["logs/nats/nats-server.log"]
        assert list(leaks(found, {secret})) == []
        assert found.endswith(b"the end\n")
        assert len(found) <= LOG_BYTES


def test_it_holds_what_a_maintainer_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet, bundle = Cli(tmp_path / "data", capsys), tmp_path / "bundle.zip"
    with up(fleet.data):
        ran = fleet("support-bundle", str(bundle), "--json")
    found = contents(bundle)
    assert ran.document == {"file": str(bundle), "parts": list(found)}
    documents = {name: json.loads(found[name]) for name in found if name.endswith(".json")}
    assert documents["now/health.json"]["plane_connected"]
    assert documents["now/devices.json"] == {"devices": []}
    assert documents["versions.json"]["harmony-fleet"]
    assert {one["check"] for one in documents["doctor.json"]} >= {"store", "control plane"}
    assert documents["store/releases.json"][0]["sha256"]
    assert b"Server is ready" in found["logs/nats/nats-server.log"]
    assert b"nats/accounts/keys.json" in found["files.txt"]
    assert b"store_dir" in found["settings/nats/nats-server.conf"]
    assert list(leaks(b"\n".join(found.values()), {(fleet.data / "token").read_text()})) == []


def test_what_is_missing_or_damaged_is_said_in_its_place(fleet: Cli, tmp_path: Path) -> None:
    (fleet.data / "fleet.db").write_bytes(b"damaged" * 100)
    bundle = tmp_path / "bundle.zip"
    assert fleet("support-bundle", str(bundle)).status == 0
    found = contents(bundle)
    assert b"damaged" in found["store/devices.json.missing.txt"]
    assert b"fleet up" in found["now/missing.txt"]


def test_a_link_among_the_logs_is_not_followed(fleet: Cli, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("somebody else's file")
    log = fleet.data / "devices/local-1/var/log/fleet-agent"
    log.mkdir(parents=True)
    (log / "fleet-agent.log").symlink_to(tmp_path / "elsewhere")
    bundle = tmp_path / "bundle.zip"
    assert fleet("support-bundle", str(bundle)).status == 0
    assert all(b"somebody else" not in part for part in contents(bundle).values())


def test_a_file_that_is_there_is_never_written_over(
    fleet: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = fleet("support-bundle", str(tmp_path / "backup"), "--json")
    assert (ran.status, ran.error["kind"]) == (2, "file_refused")
    monkeypatch.chdir(tmp_path)
    assert fleet("support-bundle").status == 0
    assert len(list(tmp_path.glob("fleet-support-*.zip"))) == 1
