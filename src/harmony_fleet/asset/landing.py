"""The file on disk: filled under a name of its own, and given its final name only once verified.

Rules
1. The partial lies beside the destination, names the digest that it is meant to have, and is
   never executable. One process at a time fills it.
2. `land` alone gives the final name, and refuses first: `refuse_unless_verified`.
3. The bytes are durable before they are executable, both before the name, the name before `land`
   returns. So after a power cut there is the whole file under the final name, or none of it.
4. Every byte is hashed as it is written; those that an earlier call left are read once.
"""

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harmony_fleet.asset.errors import (
    DigestMismatch,
    DiskFull,
    DownloadBusy,
    NotWritable,
    SizeMismatch,
)
from harmony_fleet.asset.policy import Expected

PARTIAL_MODE: Final = 0o600
BUFFER_BYTES: Final = 1024 * 1024

Check = Callable[[], None]
"""Called now and then while a file is read; what it raises ends the reading."""


def partial_path(destination: Path, sha256: str) -> Path:
    """Where the bytes of the asset with this digest are gathered until they can land."""
    return destination.with_name(f".{destination.name}.{sha256[:16]}.part")


def already_there(destination: Path, expected: Expected, mode: int, check: Check) -> bool:
    """Whether the verified file is at its destination; then it is durable and has its mode.

    Raises:
        NotWritable: a folder is in its place, or its mode cannot be set.
    """
    with _translated(destination):
        try:
            descriptor = os.open(destination, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP}:
                return False
            raise
        try:
            return _adopt(descriptor, destination, (expected, mode), check)
        finally:
            os.close(descriptor)


def _adopt(descriptor: int, path: Path, wanted: tuple[Expected, int], check: Check) -> bool:
    expected, mode = wanted
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise NotWritable(f"{path} is a folder, where a file is to be; remove it")
    if not stat.S_ISREG(status.st_mode) or not expected.allows_total(status.st_size):
        return False
    if _hash_of(descriptor, check).hexdigest() != expected.sha256:
        return False
    os.fchmod(descriptor, mode)
    os.fsync(descriptor)
    _sync_folder(path.parent)
    return True


class Partial:
    """An asset that is being gathered. Made by `open_partial`."""

    def __init__(self, descriptor: int, destination: Path, expected: Expected) -> None:
        self._descriptor, self._destination, self._expected = descriptor, destination, expected
        self._path = partial_path(destination, expected.sha256)
        self._hash = hashlib.sha256()
        self.held_bytes = 0

    def take_over(self, check: Check) -> None:
        """Hash what an earlier call left, and go on behind it; more than the asset's size is junk.

        `check` may end it at any time.
        """
        with _translated(self._path):
            left_bytes = os.fstat(self._descriptor).st_size
            if left_bytes > self._expected.size_bytes:
                self.empty()
                return
            self._hash = _hash_of(self._descriptor, check)
            self.held_bytes = left_bytes

    def append(self, data: bytes) -> None:
        """Raises DiskFull or NotWritable; what was written before stays."""
        with _translated(self._path):
            write_all(self._descriptor, data)
        self._hash.update(data)
        self.held_bytes += len(data)

    def empty(self) -> None:
        """Throw away what was gathered."""
        with _translated(self._path):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash, self.held_bytes = hashlib.sha256(), 0

    def remove(self) -> None:
        """Leave nothing behind. Removing it twice is removing it once."""
        with _translated(self._path):
            self._path.unlink(missing_ok=True)

    def refuse_unless_space(self) -> None:
        """Raises DiskFull where the rest of the file would not fit."""
        with _translated(self._path):
            disk = os.fstatvfs(self._descriptor)
        free_bytes = disk.f_bavail * disk.f_frsize
        needed_bytes = self._expected.size_bytes - self.held_bytes
        if free_bytes < needed_bytes:
            raise DiskFull(f"{self._path.parent}: {needed_bytes} bytes needed, {free_bytes} free")

    def is_verified(self) -> bool:
        """Whether the asset is here, all of it and nothing else."""
        right_size = self._expected.allows_total(self.held_bytes)
        return right_size and self._hash.hexdigest() == self._expected.sha256

    def refuse_unless_verified(self) -> None:
        """This is where a bad download is refused.

        Raises:
            SizeMismatch, DigestMismatch: the bytes gathered are not the asset.
        """
        if not self._expected.allows_total(self.held_bytes):
            raise SizeMismatch(f"{self.held_bytes} bytes, not {self._expected.size_bytes}")
        found = self._hash.hexdigest()
        if found != self._expected.sha256:
            raise DigestMismatch(
                f"what the server sent has the SHA-256 {found}, not {self._expected.sha256};"
                " check the URL and the order, one of them is wrong"
            )

    def land(self, mode: int) -> None:
        """Give the verified file its mode and its final name, durably.

        Raises:
            SizeMismatch, DigestMismatch: it is not the asset; nothing was done.
            DiskFull, NotWritable
        """
        self.refuse_unless_verified()
        with _translated(self._destination):
            os.fsync(self._descriptor)
            os.fchmod(self._descriptor, mode)
            os.fsync(self._descriptor)
            self._path.replace(self._destination)
            _sync_folder(self._destination.parent)


@contextmanager
def open_partial(destination: Path, expected: Expected) -> Iterator[Partial]:
    """The partial for this asset, empty until `take_over`. Those of other digests are removed.

    Raises:
        DownloadBusy: another process fills it.
        NotWritable: also where a link or another kind of file is in its place.
    """
    path = partial_path(destination, expected.sha256)
    with _translated(path):
        _remove_other_partials(destination, path)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, PARTIAL_MODE)
    try:
        with _translated(path):
            _claim(descriptor, path)
        try:
            yield Partial(descriptor, destination, expected)
        finally:
            # Nothing arrived, so there is nothing to resume. Only who claimed it may say so.
            if os.fstat(descriptor).st_size == 0:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _claim(descriptor: int, path: Path) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise NotWritable(f"{path} is not a regular file; remove it")
    busy = DownloadBusy(f"{path} is being filled by another process; wait for it")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy from error
    # Between our opening it and our locking it, the other may have landed it.
    if not path.exists() or path.lstat().st_ino != status.st_ino:
        raise busy
    os.fchmod(descriptor, PARTIAL_MODE)


def _remove_other_partials(destination: Path, own: Path) -> None:
    ours = re.compile(rf"\.{re.escape(destination.name)}\.[0-9a-f]{{16}}\.part")
    for other in destination.parent.iterdir():
        if other.name != own.name and ours.fullmatch(other.name):
            other.unlink(missing_ok=True)


def _hash_of(descriptor: int, check: Check) -> "hashlib._Hash":
    result, buffer = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES))
    while count := os.readv(descriptor, [buffer]):
        check()
        result.update(buffer[:count])
    return result


def write_all(descriptor: int, data: bytes) -> None:
    """Also where the system takes only a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{path.parent} is full: {error.strerror}") from error
        raise NotWritable(f"{path}: {error.strerror or error}") from error
