"""One supervisor for each root, and how to find it: a record lock on a file in the root.

The lock is the kernel's and ends with its holder; F_GETLK names the holder without touching the
lock. So there is no pid file that could be stale.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError

_FLOCK: Final = struct.Struct("hhqqi0q")
"""struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, pid."""


class AlreadyRunning(FleetError):
    """Another supervisor holds this root. It was not disturbed."""

    kind = "already_running"


@contextmanager
def take_lock(path: Path) -> Iterator[None]:
    """Held until the block, or the process, ends. Raises AlreadyRunning."""
    with path.open("ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(
                f"a supervisor of {path.parents[2]} runs already, as process {holder(path)}; "
                "stop it first, or use it"
            ) from error
        yield


def holder(path: Path) -> int | None:
    """The process that holds the lock; None where nobody does. Never ask in the holder itself."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else pid
