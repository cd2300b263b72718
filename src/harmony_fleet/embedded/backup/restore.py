"""Puts a backup in the place of a data folder: checked first, then all of it or nothing.

The message plane's buckets are not in a backup. Where the folder has the backup's own accounts,
its message plane stays as it is, and with it what offline devices have said last; else the
message plane begins empty. Either way devices and operator say again what they know.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harmony_fleet.agent.upgrade.durable import sync
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.accounts import Accounts, DataFolderUnusable, unusable
from harmony_fleet.embedded.backup.archive import Archive, opened
from harmony_fleet.embedded.backup.manifest import (
    ARTIFACTS,
    KEYS,
    STORE,
    BackupFile,
    BackupUnusable,
    Manifest,
)
from harmony_fleet.embedded.backup.pending import STAGING, commit, finish
from harmony_fleet.embedded.data_folder import LOCK, AlreadyUp, locked
from harmony_fleet.embedded.nats import DataFolderInUse, take_lock
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.operator.sqlite_file import RESTORE
from harmony_fleet.operator.sqlite_snapshot import stored

MARGIN_BYTES: Final = 16 << 20
"""Room that a restore leaves on the disk."""


class RestoreRefused(FleetError):
    """The folder is served, or holds something. Nothing was changed."""

    kind = "restore_refused"


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    aside: Path | None
    """Where what was there before is now."""


def restore(file: Path, data: Path, *, replace: bool) -> Restored:
    """Blocks. Raises BackupUnusable, RestoreRefused, DataFolderUnusable: nothing was changed.

    Raises RestoreUnfinished: it is restored once `fleet up` has put the rest in its place.
    """
    with opened(file) as archive:
        _refuse_where_there_is_something(data, replace)
        with _for_us_alone(data):
            _refuse_where_there_is_something(data, replace)
            _refuse_without_room(data, archive.manifest)
            with _staging(data) as staging:
                _unpack(archive, staging)
                _check_whole(file, archive.manifest, staging)
                _leave_the_same_accounts(data, staging)
                return Restored(archive.manifest, commit(data, staging))


def _refuse_where_there_is_something(data: Path, replace: bool) -> None:
    if replace or not data.is_dir():
        return
    for one in data.iterdir():
        if one.name != LOCK and not one.name.startswith(STAGING):
            raise RestoreRefused(
                f"{data} is not empty, there is {one.name}: name an empty folder by --data, or say "
                "--replace, which moves what a control plane has there aside"
            )


@contextmanager
def _for_us_alone(data: Path) -> Iterator[None]:
    """No control plane serves it, and none can begin to. It is made where it is missing."""
    is_new = not data.exists()
    try:
        with locked(data):
            _refuse_where_its_server_runs(data / "nats")
            finish(data)
            if is_new:
                with suppress(PermissionError):  # one may make folders where one cannot read
                    sync(data.parent)
            yield
    except AlreadyUp as error:
        raise RestoreRefused(
            f"the control plane runs on {data}: end it first, or restore into another folder "
            "by --data"
        ) from error


def _refuse_where_its_server_runs(nats: Path) -> None:
    if not (nats / "lock").exists():
        return
    try:
        os.close(take_lock(nats / "lock"))
    except DataFolderInUse as error:
        raise RestoreRefused(
            f"the NATS server of {nats} still runs: end it, or wait until it has ended"
        ) from error


def _refuse_without_room(data: Path, manifest: Manifest) -> None:
    free_bytes = shutil.disk_usage(data).free
    if free_bytes < manifest.size_bytes + MARGIN_BYTES:
        raise DataFolderUnusable(
            f"the backup needs {manifest.size_bytes} bytes, and {data} has {free_bytes} free: free "
            "some space; nothing was changed"
        )


@contextmanager
def _staging(data: Path) -> Iterator[Path]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    staging = data / f"{STAGING}{stamp}-{secrets.token_hex(2)}"
    try:
        staging.mkdir(mode=0o700)
        yield staging
    except OSError as error:
        raise unusable(data, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack(archive: Archive, staging: Path) -> None:
    (staging / ARTIFACTS).mkdir(mode=0o700)
    for file in archive.manifest.files:
        path = staging / file.name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(archive, file, path)
    (staging / "nats").chmod(0o700)


def _write(archive: Archive, file: BackupFile, path: Path) -> None:
    mode = 0o644 if file.name.startswith(ARTIFACTS) else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        for chunk in archive.chunks(file):
            out.write(chunk)


def _check_whole(path: Path, manifest: Manifest, staging: Path) -> None:
    """That a control plane can start on it. Raises BackupUnusable."""
    try:
        found = stored(staging / STORE)
        Accounts.open(staging / "nats/accounts")
    except (StoreError, DataFolderUnusable) as error:
        words = str(error).replace(f"{staging}/", "its ").removesuffix(f": {RESTORE}")
        raise BackupUnusable(
            f"{path} cannot be restored: {words}: restore another backup"
        ) from error
    digests = {file.name: file.sha256 for file in manifest.files}
    for release in found.releases:
        if not release.artifact_name:
            continue  # on another server, and never here
        digest = digests.get(f"{ARTIFACTS}{release.artifact_name}")
        if digest != release.sha256 and release.artifact_name not in manifest.missing:
            raise BackupUnusable(
                f"{path} cannot be restored: the artifact of its release {release.version} is "
                "missing from it, or is another file: take another backup"
            )


def _leave_the_same_accounts(data: Path, staging: Path) -> None:
    if all(_same(data / name, staging / name) for name in KEYS):
        shutil.rmtree(staging / "nats")


def _same(there: Path, new: Path) -> bool:
    try:
        return there.read_bytes() == new.read_bytes()
    except OSError:
        return False
