"""Whether a program's file is what it should be. Says what is wrong as the end of a sentence.

Reads only. A text such as "is missing" goes behind the file's path in a fault.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from io import BufferedRandom, BufferedReader
from pathlib import Path

CHUNK_BYTES = 64 * 1024


def flaw(path: Path) -> str | None:
    """Why nobody could run this file, by its looks alone; None if there is no reason."""
    try:
        found = path.lstat()
    except OSError as error:
        return f"cannot be found ({error.strerror})"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_size == 0:
        return "is empty"
    return None if found.st_mode & 0o111 else "is not executable"


def damage(path: Path, sha256: str | None) -> str | None:
    """Why this file is not the program with that digest, or, without one, no whole program."""
    if looks := flaw(path):
        return looks
    try:
        with path.open("rb") as file:
            return damage_inside(file, sha256)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def damage_inside(file: BufferedReader | BufferedRandom, sha256: str | None) -> str | None:
    """The same of an open file's content, from its beginning."""
    file.seek(0)
    if sha256 is None:
        return _zip_damage(file)
    found = hashlib.file_digest(file, "sha256").hexdigest()
    return None if found == sha256 else f"has SHA-256 {found} instead of {sha256}"


def same(one: Path, other: Path) -> bool:
    """Both are regular files of the same bytes."""
    with one.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return other.is_file() and not other.is_symlink() and _has_digest(other, digest)


def chunks(descriptor: int) -> Iterator[bytes]:
    """All that an open file holds, whatever its position, which stays where it is."""
    offset = 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, offset):
        yield chunk
        offset += len(chunk)


def _has_digest(path: Path, sha256: str) -> bool:
    with path.open("rb") as file:
        return damage_inside(file, sha256) is None


def _zip_damage(file: BufferedReader | BufferedRandom) -> str | None:
    """A program is a zip behind a line that names its interpreter: it carries its own sums."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(file) as archive:
            known = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
            if not {member.compress_type for member in archive.infolist()} <= known:
                return "is compressed in a way that no release uses"
            if not archive.infolist():
                return "is an empty archive"
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        return f"is not a whole archive ({error})"
    return None if broken is None else f"is damaged in {broken}"
