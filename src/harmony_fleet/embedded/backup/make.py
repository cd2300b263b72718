"""Makes a backup, while the control plane serves the folder or not: nothing of it is held up.

The store comes first, of one instant; the artifacts that it names after it: they are there before
the store names them, and are never changed. The account keys, the authority and the token are
never changed either. The file is whole or absent, and readable by its owner alone.
"""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import harmony_fleet
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.backup.archive import CHUNK_BYTES
from harmony_fleet.embedded.backup.manifest import (
    ACCOUNTS,
    ARTIFACTS,
    CERTIFICATES,
    MANIFEST,
    REQUIRED,
    STORE,
    BackupFile,
    Manifest,
)
from harmony_fleet.embedded.backup.pending import unfinished
from harmony_fleet.embedded.new_file import new_file
from harmony_fleet.operator.records import Release
from harmony_fleet.operator.sqlite_snapshot import snapshot, stored
from harmony_fleet.operator.system import SystemClock

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every member: what counts is in the manifest."""


class BackupRefused(FleetError):
    """There is nothing to back up. Nothing was written."""

    kind = "backup_refused"


@dataclass(frozen=True, slots=True)
class Made:
    manifest: Manifest
    size_bytes: int
    """Of the file."""


def back_up(data: Path, file: Path) -> Made:
    """Blocks. Raises FileRefused, BackupRefused, FileFailed, StoreError."""
    _refuse_unless_whole(data)
    with new_file(file) as new:
        copy = new.with_name("store")
        snapshot(data / STORE, copy)
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
            manifest = _fill(archive, data, copy, SystemClock().now())
        size_bytes = new.stat().st_size
    return Made(manifest, size_bytes)


def _refuse_unless_whole(data: Path) -> None:
    if unfinished(data):
        raise BackupRefused(f"a restore into {data} was cut off: `fleet up` finishes it; run it")
    for name in REQUIRED:
        if not (data / name).is_file():
            raise BackupRefused(
                f"{data / name} is missing, so {data} is no whole data folder of a control plane: "
                "name the one that `fleet up` serves by --data"
            )


def _fill(archive: zipfile.ZipFile, data: Path, copy: Path, now: str) -> Manifest:
    found = stored(copy)
    files = [_add(archive, STORE, copy)]
    secured = [name for name in CERTIFICATES if (data / name).is_file()]
    small = (*REQUIRED[1:], *_resolved(data), *secured)
    files += [_add(archive, name, data / name) for name in small]
    missing = []
    for release in found.releases:
        if not release.artifact_name:
            continue  # on another server, and never here
        name, path = f"{ARTIFACTS}{release.artifact_name}", data / ARTIFACTS / release.artifact_name
        if is_whole(path, release):
            files.append(_add(archive, name, path))
        else:
            missing.append(release.artifact_name)
    manifest = Manifest(
        harmony_fleet.__version__,
        now,
        len(found.devices),
        len(found.releases),
        tuple(files),
        tuple(missing),
    )
    archive.writestr(_member(MANIFEST), encode(manifest))
    return manifest


def _resolved(data: Path) -> list[str]:
    """The accounts as the message plane's server has them."""
    return [f"{ACCOUNTS}resolver/{p.name}" for p in sorted(data.glob(f"{ACCOUNTS}resolver/A*.jwt"))]


def is_whole(path: Path, release: Release) -> bool:
    """Whether the file is the release's artifact, byte for byte."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return (file.tell(), digest) == (release.size_bytes, release.sha256)
    except OSError:
        return False


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> BackupFile:
    digest, size_bytes = hashlib.sha256(), 0
    member = _member(name)
    with path.open("rb") as file, archive.open(member, "w", force_zip64=True) as out:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
            out.write(chunk)
    return BackupFile(name, size_bytes, digest.hexdigest())


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o100600 << 16
    return member
