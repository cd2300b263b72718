"""Files that are whole or absent whatever is cut off when, and room kept for a full disk.

Raises OSError as it comes: its callers know what to say of it. A crash leaves at most one
temporary file for each name, hidden beside it, and the next writer of that name replaces it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PRIVATE = 0o600
RESERVE_BYTES = 64 * 1024
"""Several times the largest journal, and one inode."""
RESERVE_LEAVES_BYTES = 16 * RESERVE_BYTES
"""No reserve is made where less than this would stay free for others."""


def temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, mode: int) -> Iterator[BufferedRandom]:
    """A file to fill: durable at `path` after the block, which can be left early by raising.

    Nobody else can read it, or run it, before the block has ended without an error.
    """
    temp = temporary(path)
    temp.unlink(missing_ok=True)
    descriptor = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            if mode != PRIVATE:  # only once the bytes are durable: a power cut may keep the mode
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
        temp.replace(path)
    except BaseException:
        with suppress(OSError):
            temp.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: atomic, and durable when it returns."""
    with replacing(path, PRIVATE) as file:
        file.write(data)


def link_to(link: Path, target: Path) -> None:
    """Let `link` lead to `target`, by a relative path: atomic, and durable when it returns.

    Relative, so that it leads to the same file whether its root is `/` or mounted elsewhere.
    """
    folder = os.path.realpath(target.parent)
    content = os.path.relpath(folder, os.path.realpath(link.parent))
    temp = temporary(link)
    temp.unlink(missing_ok=True)
    temp.symlink_to(Path(content, target.name))
    try:
        temp.replace(link)
    except OSError:
        with suppress(OSError):
            temp.unlink()
        raise
    sync(link.parent)


def is_full(error: OSError) -> bool:
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Reserve:
    """A file that holds room which the few writes that must not fail may take."""

    path: Path

    def backs(self, write: Callable[[], T]) -> T:
        """Do it; where the disk is full, give up the reserve and do it again."""
        try:
            return write()
        except OSError as error:
            if not is_full(error) or not self._given_up():
                raise
            return write()

    def refill(self) -> None:
        """Costs one system call where the reserve is there. Never raises."""
        with suppress(OSError):
            if not self._is_there() and self._has_room():
                # Random, so that no file system can store it as a hole or compress it away.
                write_file(self.path, os.urandom(RESERVE_BYTES))

    def _given_up(self) -> bool:
        try:
            self.path.unlink()
            sync(self.path.parent)
        except OSError:
            return False
        return True

    def _is_there(self) -> bool:
        return self.path.exists()

    def _has_room(self) -> bool:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize >= RESERVE_BYTES + RESERVE_LEAVES_BYTES
