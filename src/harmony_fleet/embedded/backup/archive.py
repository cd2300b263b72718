"""A backup's file, read: a zip that holds exactly what its manifest says, and regular files only.

Nothing is believed before it is checked, nothing is unpacked by zipfile itself, and no more is
read than the manifest announced, however much a member unpacks to.
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.embedded.backup.manifest import (
    MANIFEST,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    BackupFile,
    BackupUnusable,
    Manifest,
    read_manifest,
)

CHUNK_BYTES: Final = 1 << 20
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What the standard library raises for damaged archives."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Open inside `opened` only."""

    path: Path
    manifest: Manifest
    _zip: zipfile.ZipFile

    def chunks(self, file: BackupFile) -> Iterator[bytes]:
        """Its bytes. Raises BackupUnusable, at the latest after the last one, where they differ."""
        digest, left = hashlib.sha256(), file.size_bytes
        for chunk in self._read(file.name, file.size_bytes):
            digest.update(chunk)
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left or digest.hexdigest() != file.sha256:
            raise _unusable(self.path, f"its {file.name} is damaged: take another backup")

    def _read(self, name: str, size_bytes: int) -> Iterator[bytes]:
        try:
            with self._zip.open(name) as member:
                for _ in range(0, size_bytes + 1, CHUNK_BYTES):
                    if chunk := member.read(CHUNK_BYTES):
                        yield chunk
        except _BROKEN as error:
            raise _unusable(
                self.path, f"its {name} is damaged ({error}): take another backup"
            ) from error


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The backup with its manifest and its list of members checked; their bytes not yet.

    Raises BackupUnusable.
    """
    try:
        # Opening a named pipe would wait for its writer.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise _unusable(path, f"it cannot be read ({error.strerror or error})") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _unusable(path, "it is not a regular file")
        try:
            archive = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise _unusable(
                path, f"it is no backup, or only a part of one ({error}): take another"
            ) from error
        with archive:
            yield Archive(path, _checked_manifest(path, archive), archive)


def _checked_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    members = {member.filename: member for member in archive.infolist()}
    try:
        _check_members(archive.infolist())
        manifest = read_manifest(_manifest_bytes(archive, members))
        _check_list(members, manifest)
    except BackupUnusable as error:
        raise _unusable(path, str(error)) from error
    return manifest


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_FILES + 1 or len({one.filename for one in members}) != len(members):
        raise BackupUnusable("it holds too many files, or one of them twice")
    for member in members:
        mode = stat.S_IFMT(member.external_attr >> 16)
        if mode not in {0, stat.S_IFREG} or member.is_dir():
            raise BackupUnusable(f"{member.filename[:120]!r} in it is not a regular file")
        if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
            raise BackupUnusable(f"{member.filename[:120]!r} in it is packed in an unknown way")


def _manifest_bytes(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> bytes:
    if MANIFEST not in members:
        raise BackupUnusable(f"it has no {MANIFEST}: it is no backup of `fleet backup`")
    try:
        with archive.open(MANIFEST) as file:
            return file.read(MAX_MANIFEST_BYTES + 1)
    except _BROKEN as error:
        raise BackupUnusable(f"its {MANIFEST} is damaged: take another backup") from error


def _check_list(members: dict[str, zipfile.ZipInfo], manifest: Manifest) -> None:
    announced = {file.name: file.size_bytes for file in manifest.files}
    for name in members.keys() - {MANIFEST} - announced.keys():
        raise BackupUnusable(f"{name[:120]!r} in it is not in its manifest")
    for name, size_bytes in announced.items():
        if name not in members or members[name].file_size != size_bytes:
            raise BackupUnusable(f"its {name} is missing or cut short: take another backup")


def _unusable(path: Path, reason: str) -> BackupUnusable:
    return BackupUnusable(f"{path} cannot be restored: {reason}")
