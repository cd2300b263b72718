"""What an artifact says of itself, read without ever running or importing it.

An artifact is whatever file somebody named: it is read once, whole and bounded, and everything
said about it is said of those bytes. Who made it is not checked here.
"""

import errno
import hashlib
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.codec import decode
from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.contracts.identity import check_count, check_sha256, check_token, check_version

PROGRAM: Final = "fleet-agent"
MANIFEST_ENTRY: Final = "manifest.json"
PYTHON_FLOOR: Final = ">=3.11"

MAX_ARTIFACT_BYTES: Final = 8 * 1024 * 1024
"""Twenty times what one is. It also bounds how many entries the zip's directory can name."""
MAX_MANIFEST_BYTES: Final = 64 * 1024
MAX_UNPACKED_BYTES: Final = 64 * 1024 * 1024
SCHEMA: Final = 1
NOARCH: Final = "noarch"
_END_OF_ZIP: Final = 22
"""Bytes of a zip's last record, where no comment follows."""

_MINOR: Final = re.compile(r"3\.(0|[1-9]\d{0,2})", re.ASCII)

_BROKEN_ZIP: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted entry, a method or a zip version that is not implemented
    ValueError,
    OverflowError,
)
"""What the standard library raises for damaged archives: seen while fuzzing it, or documented."""


class NotAnArtifact(FleetError):
    """The file cannot be read, or is no agent of ours. Nothing of it was run."""

    kind = "not_an_artifact"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{str(path)!r} is not an agent's artifact: {reason}. "
            "Build one with `make agent VERSION=1.2.3` and name the file that it prints."
        )
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True)
class Manifest:
    version: str
    inputs_sha256: str
    """Over every source's name and bytes, in order. The same on each Python that builds it."""
    python_built: str
    """The minor, such as 3.11, that finds compiled code in it. Others compile as they start."""
    name: str = PROGRAM
    python: str = PYTHON_FLOOR
    platform: str = NOARCH
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.name != PROGRAM:
            raise InvalidValue(f"it names the program {self.name[:80]!r}, not {PROGRAM}")
        check_version(self.version)
        check_sha256(self.inputs_sha256)
        check_token(self.platform)
        check_count(self.schema, "schema", minimum=1)
        for text in (self.python_built, self.python.removeprefix(">=")):
            if _MINOR.fullmatch(text) is None:
                raise InvalidValue(f"{text[:80]!r} is not a Python version such as 3.11")


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One artifact's manifest, with the size and SHA-256 of the very bytes it was read from."""

    manifest: Manifest
    size_bytes: int
    sha256: str


def read_manifest(path: Path) -> Manifest:
    """Raises NotAnArtifact, as `describe` does."""
    return _manifest(path, _read_bounded(path))


def describe(path: Path) -> ReleaseFile:
    """Blocking: reads the whole file, at most 8 MiB.

    Raises:
        NotAnArtifact: unreadable, too large, a link or anything else but a regular file, not a
            zip, damaged, with a manifest that is not one, or without what an agent needs to run.
    """
    data = _read_bounded(path)
    _refuse_unless_it_could_run(path, data)
    return ReleaseFile(_manifest(path, data), len(data), hashlib.sha256(data).hexdigest())


def _read_bounded(path: Path) -> bytes:
    try:
        # Not a link: what it leads to may change between this look and the next.
        # Non-blocking: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            data = _regular_bytes(path, descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise NotAnArtifact(path, _why_unreadable(error)) from error
    if len(data) > MAX_ARTIFACT_BYTES:
        raise NotAnArtifact(path, f"it is larger than {MAX_ARTIFACT_BYTES} bytes")
    return data


def _regular_bytes(path: Path, descriptor: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise NotAnArtifact(path, "it is not a regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(MAX_ARTIFACT_BYTES + 1)


def _why_unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "it is a symbolic link; name the file that it leads to"
    return f"it cannot be read ({getattr(error, 'strerror', None) or error})"


def _refuse_unless_it_could_run(path: Path, data: bytes) -> None:
    """By its looks and its own sums: nothing of it is run."""
    manifest = _manifest(path, data)
    if manifest.schema > SCHEMA:
        raise NotAnArtifact(path, f"its manifest is of schema {manifest.schema:.3g}, unknown here")
    if manifest.platform != NOARCH:
        raise NotAnArtifact(path, f"it is for the platform {manifest.platform}, not {NOARCH}")
    if not data.startswith(b"#!"):
        raise NotAnArtifact(path, "its first line names no interpreter")
    if data[-_END_OF_ZIP:][:4] != b"PK\5\6":
        raise NotAnArtifact(path, "there is something behind its end")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _refuse_broken(path, archive)
    except _BROKEN_ZIP as error:
        raise NotAnArtifact(path, f"it is damaged ({error})") from error


def _refuse_broken(path: Path, archive: zipfile.ZipFile) -> None:
    if "__main__.py" not in archive.namelist():
        raise NotAnArtifact(path, "it has no __main__.py to run")
    if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
        raise NotAnArtifact(path, f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if (broken := archive.testzip()) is not None:
        raise NotAnArtifact(path, f"{broken[:80]!r} in it is damaged")


def _manifest(path: Path, data: bytes) -> Manifest:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            text = _manifest_entry(archive)
        return decode(Manifest, text, MAX_MANIFEST_BYTES)
    except FleetError as error:
        raise NotAnArtifact(path, str(error)) from error
    except _BROKEN_ZIP as error:
        raise NotAnArtifact(path, f"it is not a zip, or a damaged one ({error})") from error


def _manifest_entry(archive: zipfile.ZipFile) -> bytes:
    """Its bytes, checked against their CRC; never more of them inflated than the limit."""
    entries = [info for info in archive.infolist() if info.filename == MANIFEST_ENTRY]
    if len(entries) != 1:
        raise InvalidValue(f"it holds {len(entries)} entries named {MANIFEST_ENTRY}, not one")
    if entries[0].file_size > MAX_MANIFEST_BYTES:
        raise InvalidValue(f"its {MANIFEST_ENTRY} is larger than {MAX_MANIFEST_BYTES} bytes")
    if entries[0].compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise InvalidValue(f"its {MANIFEST_ENTRY} is compressed in an unknown way")
    with archive.open(entries[0]) as entry:
        return entry.read(MAX_MANIFEST_BYTES + 1)
