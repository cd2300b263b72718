"""Whether another primary decides for this device: the one that runs holds its state folder.

The service manager's own is never held up by it, whatever holds the folder: a device must have an
agent. Who types the program's name by hand beside it is refused.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from harmony_fleet.contracts.errors import FleetError

logger = logging.getLogger(__name__)


class AnotherRuns(FleetError):
    """Two would decide between commit and revert."""

    kind: ClassVar[str] = "another_runs"


@contextmanager
def holding(folder: Path) -> Iterator[bool]:
    """Whether it is held now, until the block ends; also where it cannot be had at all."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield True
        return
    try:
        yield _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.warning("this file system takes no lock: %s", error.strerror or error)
    return True
