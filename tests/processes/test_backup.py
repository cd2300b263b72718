"""Backups of a control plane's data folder: what they hold, and what is never restored."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.processes.data_folders import NAME, fill, served_once
from tests.processes.stand_in_api import Cli

from harmony_fleet.embedded import new_file
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.embedded.backup import pending
from harmony_fleet.embedded.backup.make import back_up
from harmony_fleet.embedded.data_folder import held
from harmony_fleet.embedded.new_file import FileRefused
from harmony_fleet.operator.sqlite_file import open_file

PARTS = ("fleet.db", "token", "nats-port", "artifacts", "nats", "tls")


@dataclass(frozen=True)
class Fleet:
    cli: Cli
    backup: Path

    @property
    def data(self) -> Path:
        return self.cli.data

    def restore(self, *arguments: str) -> tuple[int, str]:
        ran = self.cli("restore", str(self.backup), "--json", *arguments)
        return ran.status, ran.error["kind"] if ran.status else str(ran.document["aside"])


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    """A data folder as `fleet up` leaves it, and a backup of it."""
    data = tmp_path / "data"
    served_once(data, "pi-1", "pi-2")
    fleet = Fleet(Cli(data, capsys), tmp_path / "backup")
    assert fleet.cli("backup", str(fleet.backup)).status == 0
    return fleet


def contents(data: Path) -> dict[str, bytes]:
    """Of the control plane's own files, the store's beside what SQLite makes of it."""
    found = {
        str(path.relative_to(data)): path.read_bytes()
        for part in PARTS[1:]
        for path in [data / part, *(data / part).rglob("*")]
        if path.is_file()
    }
    return found | {"fleet.db": repr(devices(data)).encode()}


def devices(data: Path) -> list[str]:
    db = open_file(data / "fleet.db")
    try:
        return [row[0] for row in db.execute("SELECT device_id FROM device ORDER BY device_id")]
    finally:
        db.close()


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_backup_holds_everything_and_only_its_owner_can_read_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    assert stat.S_IMODE(fleet.backup.stat().st_mode) == 0o600
    there = contents(fleet.data)
    fleet.cli.data.rename(tmp_path / "lost")
    assert fleet.restore() == (0, "None")
    assert contents(fleet.data) == there
    assert len(there) >= 14
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in fleet.data.rglob("*")}
    assert modes.pop(NAME) == 0o644
    assert set(modes.values()) == {0o600, 0o700}
    assert not left_over(tmp_path)


def test_it_says_that_it_is_secret_and_what_to_do_next(fleet: Fleet, tmp_path: Path) -> None:
    ran = fleet.cli("backup", str(tmp_path / "another"))
    assert "2 devices, 2 releases" in ran.out
    assert "keep it secret" in ran.out
    ran = fleet.cli("restore", str(fleet.backup), "--replace")
    assert "next: `fleet up`" in ran.out


def test_a_file_may_be_named_as_seen_from_here_and_the_folder_in_any_letters(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Cli(tmp_path / "a #1?% \u00fc", fleet.cli.capture)
    monkeypatch.chdir(tmp_path)
    assert odd("restore", "backup").status == 0
    assert odd("backup", "of #1?%").status == 0
    assert odd("restore", "of #1?%", "--replace").status == 0
    assert devices(odd.data) == ["pi-1", "pi-2"]


def test_a_file_that_is_there_is_never_written_over(fleet: Fleet) -> None:
    before = fleet.backup.read_bytes()
    ran = fleet.cli("backup", str(fleet.backup), "--json")
    assert (ran.status, ran.error["kind"]) == (2, "file_refused")
    assert fleet.backup.read_bytes() == before


@pytest.mark.parametrize("name", ["", "x" * 300, "data/token/x", "no/such/folder"])
def test_a_file_that_cannot_be_made_is_bad_input(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("backup", "support-bundle"):
        ran = fleet.cli(command, name, "--json")
        assert (ran.status, ran.error["kind"]) == (2, "file_refused"), ran
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backup", "data"]


def test_of_two_backups_to_one_file_at_once_one_is_made_and_is_whole(
    fleet: Fleet, tmp_path: Path
) -> None:
    file = tmp_path / "both"

    def tried(_: int) -> str:
        try:
            back_up(fleet.data, file)
        except FileRefused:
            return "refused"
        return "made"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(tried, range(4))) == ["made", "refused", "refused", "refused"]
    assert fleet.cli("restore", str(file), "--replace").status == 0
    assert not left_over(tmp_path)


@pytest.mark.parametrize(
    ("error", "status"), [(PermissionError(13, "no"), 0), (OSError(5, "Input/output error"), 1)]
)
def test_of_a_file_that_was_made_nobody_says_that_it_was_not(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, status: int
) -> None:
    def refuse_a_folder(path: Path) -> None:
        if path.is_dir():
            raise error

    monkeypatch.setattr(new_file, "sync", refuse_a_folder)
    ran = fleet.cli("backup", str(tmp_path / "another"))
    assert (ran.status, (tmp_path / "another").exists()) == (status, True)
    assert "not made" not in ran.err
    assert not left_over(tmp_path)


def test_a_file_system_without_hard_links_takes_a_backup(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert fleet.cli("backup", str(tmp_path / "another")).status == 0
    assert fleet.cli("restore", str(tmp_path / "another"), "--replace").status == 0
    assert not left_over(tmp_path)


def test_what_is_no_data_folder_is_not_backed_up(fleet: Fleet, tmp_path: Path) -> None:
    (fleet.data / "nats/accounts/keys.json").unlink()
    ran = fleet.cli("backup", str(tmp_path / "another"), "--json")
    assert (ran.status, ran.error["kind"]) == (2, "backup_refused")
    assert "keys.json is missing" in ran.error["message"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backup", "data"]


def test_a_damaged_store_is_not_backed_up_as_if_it_were_whole(fleet: Fleet, tmp_path: Path) -> None:
    store = fleet.data / "fleet.db"
    whole = store.read_bytes()
    store.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    ran = fleet.cli("backup", str(tmp_path / "another"), "--json")
    assert (ran.status, ran.error["kind"]) == (1, "store_unusable")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backup", "data"]


def test_an_artifact_that_is_lost_is_said_and_the_rest_is_backed_up(
    fleet: Fleet, tmp_path: Path
) -> None:
    (fleet.data / "artifacts" / NAME).write_bytes(b"damaged")
    ran = fleet.cli("backup", str(tmp_path / "another"), "--json")
    assert (ran.status, ran.document["missing_artifacts"]) == (0, [NAME])
    assert NAME in ran.err
    fleet.cli.data.rename(tmp_path / "lost")
    restored = fleet.cli("restore", str(tmp_path / "another"))
    assert (restored.status, NAME in restored.err) == (0, True)
    assert devices(fleet.data) == ["pi-1", "pi-2"]


def test_a_folder_that_is_not_empty_is_left_alone_until_it_is_said(fleet: Fleet) -> None:
    (fleet.data / "devices").mkdir()
    with held(fleet.data) as folder:
        asyncio.run(fill(folder.store, "pi-3"))
    changed = contents(fleet.data)
    assert fleet.restore() == (2, "restore_refused")
    assert contents(fleet.data) == changed
    status, aside = fleet.restore("--replace")
    assert status == 0
    assert devices(fleet.data) == ["pi-1", "pi-2"]
    assert devices(Path(aside)) == ["pi-1", "pi-2", "pi-3"]
    assert stat.S_IMODE(Path(aside).stat().st_mode) == 0o700
    assert (fleet.data / "devices").is_dir()
    assert not left_over(fleet.data)


def test_a_message_plane_with_other_accounts_gives_way(fleet: Fleet) -> None:
    ours = (fleet.data / "nats/accounts/keys.json").read_bytes()
    shutil.rmtree(fleet.data / "nats/accounts")
    Accounts.open(fleet.data / "nats/accounts")
    (fleet.data / "nats/jetstream").mkdir()
    status, aside = fleet.restore("--replace")
    assert status == 0
    assert (fleet.data / "nats/accounts/keys.json").read_bytes() == ours
    assert not (fleet.data / "nats/jetstream").exists()
    assert (Path(aside) / "nats/jetstream").exists()


def test_nothing_is_restored_under_a_control_plane_that_is_up(fleet: Fleet) -> None:
    before = contents(fleet.data)
    with held(fleet.data):
        assert fleet.restore("--replace") == (2, "restore_refused")
    assert contents(fleet.data) == before


EMPTY_AND_DIE = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("DELETE FROM device")
os._exit(0)
"""


def test_what_gives_way_never_leaves_its_log_to_the_restored_store(fleet: Fleet) -> None:
    """As a killed `fleet up` leaves it: the newest in the write-ahead log."""
    store = str(fleet.data / "fleet.db")
    subprocess.run([sys.executable, "-c", EMPTY_AND_DIE, store], check=True)
    assert (fleet.data / "fleet.db-wal").stat().st_size
    assert fleet.restore("--replace")[0] == 0
    assert devices(fleet.data) == ["pi-1", "pi-2"]


# Archives that somebody made to do harm, or that a disk has damaged


Members = dict[str, bytes]


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, found: Members) -> None:
    path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            archive.writestr(name, content)


def listed(found: Members, **changes: Any) -> Members:
    """With a manifest that says what is there, whatever that is."""
    manifest = json.loads(found["manifest.json"]) | {
        "files": [
            {"name": n, "size_bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()}
            for n, c in found.items()
            if n != "manifest.json"
        ]
    }
    return found | {"manifest.json": json.dumps(manifest | changes).encode()}


def without(found: Members, name: str) -> Members:
    return {n: c for n, c in found.items() if n != name}


def foreign_store(found: Members) -> bytes:
    """Of a schema of tomorrow: `PRAGMA user_version` is at offset 60 of a SQLite file."""
    store = found["fleet.db"]
    return store[:60] + (99).to_bytes(4, "big") + store[64:]


HOSTILE: dict[str, tuple[Callable[[Members], Members], str]] = {
    "a path that leaves the folder": (lambda m: listed(m | {"../evil": b"x"}), "is no name"),
    "an absolute path": (lambda m: listed(m | {"/tmp/evil": b"x"}), "is no name"),
    "a path within a name": (lambda m: listed(m | {"artifacts/../../evil": b"x"}), "is no name"),
    "a file of another kind": (lambda m: listed(m | {"up.lock": b"x"}), "is no name"),
    "a folder": (lambda m: m | {"artifacts/": b""}, "not a regular file"),
    "a file that is not listed": (lambda m: m | {"artifacts/x": b"x"}, "not in its manifest"),
    "a listed file that is missing": (lambda m: without(m, "token"), "token is missing"),
    "no store": (lambda m: listed(without(m, "fleet.db")), r"fleet\.db is missing"),
    "no keys": (lambda m: listed(without(m, "nats/accounts/keys.json")), "keys.json is missing"),
    "no artifact": (lambda m: listed(without(m, f"artifacts/{NAME}")), "artifact of its release"),
    "another artifact": (lambda m: listed(m | {f"artifacts/{NAME}": b"evil"}), "artifact of its"),
    "no manifest": (lambda m: without(m, "manifest.json"), "no manifest.json"),
    "a manifest that is none": (lambda m: m | {"manifest.json": b"[[[["}, "manifest cannot be"),
    "other bytes": (lambda m: m | {"token": m["token"].swapcase()}, "token is damaged"),
    "a file too large": (lambda m: listed(m | {"token": b"x" * (2 << 20)}), "too large"),
    "more than was listed": (lambda m: m | {"token": b"x" * (2 << 20)}, "missing or cut short"),
    "a newer backup": (lambda m: listed(m, schema=2), "newer harmony-fleet"),
    "a newer store": (lambda m: listed(m | {"fleet.db": foreign_store(m)}), "newer harmony-fleet"),
    "no store at all": (lambda m: listed(m | {"fleet.db": b""}), "no store"),
    "a damaged store": (lambda m: listed(m | {"fleet.db": m["fleet.db"][:9000]}), "damaged"),
    "keys that are none": (
        lambda m: listed(m | {"nats/accounts/keys.json": b"{}"}),
        "account folder its nats/accounts is damaged",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_backup_that_is_not_whole_and_right_changes_nothing(
    fleet: Fleet, what: str, tmp_path: Path
) -> None:
    change, words = HOSTILE[what]
    before = contents(fleet.data)
    packed(fleet.backup, change(members(fleet.backup)))
    for data in (fleet.data, tmp_path / "new"):
        ran = Cli(data, fleet.cli.capture)("restore", str(fleet.backup), "--replace", "--json")
        assert (ran.status, ran.error["kind"]) == (2, "backup_unusable"), ran
        assert re.search(words, ran.error["message"])
    assert contents(fleet.data) == before
    assert not left_over(fleet.data)
    assert {one.name for one in (tmp_path / "new").glob("*")} <= {"up.lock"}
    assert not left_over(tmp_path)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    fleet: Fleet, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        ran = fleet.cli("restore", str(path), "--replace")
        assert ran.status == 2
        assert "not a regular file" in ran.err


def test_a_link_in_a_backup_is_refused(fleet: Fleet) -> None:
    found = members(fleet.backup)
    fleet.backup.unlink()
    with zipfile.ZipFile(fleet.backup, "w") as archive:
        for name, content in found.items():
            member = zipfile.ZipInfo(name)
            kind = stat.S_IFLNK if name == "token" else stat.S_IFREG
            member.external_attr = (kind | 0o777) << 16
            archive.writestr(member, content)
    assert fleet.restore("--replace") == (2, "backup_unusable")


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(fleet: Fleet) -> None:
    """The manifest and the zip's directory agree on a size; the packed bytes hold far more."""
    said = listed(members(fleet.backup) | {"token": b"x" * 44})
    packed(fleet.backup, said | {"token": b"x" * (1 << 20)})
    with zipfile.ZipFile(fleet.backup, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.infolist()[list(said).index("token")].file_size = 44
        archive.comment = b"so that the directory is written anew"
    assert fleet.restore("--replace") == (2, "backup_unusable")


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, 0.99, -1])
def test_a_part_of_a_backup_is_refused(fleet: Fleet, part: float) -> None:
    whole = fleet.backup.read_bytes()
    cut = int(part * len(whole)) if 0 < part < 1 else int(part)
    fleet.backup.write_bytes(whole[:cut])
    assert fleet.restore("--replace") == (2, "backup_unusable")


def test_any_byte_that_is_damaged_is_noticed_or_does_no_harm(fleet: Fleet, tmp_path: Path) -> None:
    whole, there = fleet.backup.read_bytes(), contents(fleet.data)
    for number in range(40):
        at = len(whole) * number // 40
        fleet.backup.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        new = Cli(tmp_path / "new", fleet.cli.capture)
        ran = new("restore", str(fleet.backup), "--json")
        assert "Traceback" not in ran.err
        if ran.status == 0:
            assert contents(new.data) == there
            shutil.rmtree(new.data)
        else:
            assert ran.error["kind"] == "backup_unusable"
            assert {one.name for one in new.data.glob("*")} <= {"up.lock"}


# A restore that is cut off


def test_a_restore_that_fails_once_it_is_decided_says_so_and_the_next_start_finishes_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = contents(fleet.data)
    with held(fleet.data) as folder:
        asyncio.run(fill(folder.store, "pi-3"))
    (fleet.data / "token").write_text("t" * 43 + "\n")

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error", "token")

    with monkeypatch.context() as patch:
        patch.setattr(pending, "_put_in", refuse)
        assert fleet.restore("--replace") == (1, "restore_unfinished")
    with held(fleet.data):
        pass
    assert contents(fleet.data) == new
    assert not left_over(fleet.data)


DIE = """
import os, sys
left = int(sys.argv[1])

def count(event, _):
    global left
    if event in {"os.rename", "os.remove", "os.rmdir"}:
        left -= 1
        if left < 0:
            os._exit(9)

from harmony_fleet.cli.main import main
import harmony_fleet.embedded.backup.restore
sys.addaudithook(count)
sys.exit(main(sys.argv[2:]))
"""


def test_a_restore_that_is_killed_anywhere_is_whole_or_did_not_happen(
    fleet: Fleet, tmp_path: Path
) -> None:
    new, shared = contents(fleet.data), tmp_path / "shared"
    with held(fleet.data) as folder:
        asyncio.run(fill(folder.store, "pi-3"))
        shutil.rmtree(folder.nats)
        Accounts.open(folder.nats / "accounts")
    (fleet.data / "token").write_text("t" * 43 + "\n")
    old = contents(fleet.data)
    shutil.copytree(fleet.data, shared)
    seen, outcomes = 9, []
    for steps in range(100):
        shutil.rmtree(fleet.data)
        shutil.copytree(shared, fleet.data)
        argv = ["restore", str(fleet.backup), "--replace", "--data", str(fleet.data)]
        ran = subprocess.run([sys.executable, "-c", DIE, str(steps), *argv], capture_output=True)
        seen = ran.returncode
        with held(fleet.data):  # as `fleet up` does
            pass
        outcomes.append(contents(fleet.data) == new)
        assert outcomes[-1] or contents(fleet.data) == old, steps
        assert not left_over(fleet.data)
        if seen == 0:
            break
    assert seen == 0
    assert outcomes == sorted(outcomes), "once it is committed, it is finished"
    assert len(outcomes) > 10
    assert not all(outcomes)
