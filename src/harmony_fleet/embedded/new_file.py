"""A file that a person asked for: whole or absent, for its owner alone, never in another's place.

It is filled in a hidden folder beside it, which a killed process leaves there.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harmony_fleet.agent.upgrade.durable import sync
from harmony_fleet.contracts.errors import FleetError


class FileRefused(FleetError):
    """The file is there already, or cannot have that name. Nothing was written."""

    kind = "file_refused"


class FileFailed(FleetError):
    """The disk refused; the sentence says whether there is a file. None was changed."""

    kind = "file_failed"
    retryable = True


def _check_new(file: Path) -> None:
    """Raises FileRefused."""
    if not file.name:
        raise FileRefused("no file is named: name one that is not there yet")
    try:
        file.lstat()
    except FileNotFoundError as error:
        if not file.absolute().parent.is_dir():
            raise FileRefused(
                f"there is no folder {file.absolute().parent}: make it first"
            ) from error
    except OSError as error:
        raise FileRefused(f"{file} cannot be made ({error.strerror}): name another") from error
    else:
        raise FileRefused(f"{file} is there already: name another file, or move it away first")


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """A path to fill, in a folder of its own; durable as `file` after the block.

    Raises FileRefused, also where somebody else makes `file` meanwhile; FileFailed, for an OSError
    inside as well.
    """
    _check_new(file)
    try:
        with tempfile.TemporaryDirectory(
            prefix=".fleet-", dir=file.absolute().parent, ignore_cleanup_errors=True
        ) as folder:
            filled = Path(folder, "new")
            filled.touch(mode=0o600)
            yield filled
            sync(filled)
            _land(filled, file)
    except OSError as error:
        raise FileFailed(
            f"{file} was not made, {error.filename or file}: {error.strerror or error}: look at "
            "its disk and its permissions, and run as the user of `fleet up`"
        ) from error

    _keep(file)


def _keep(file: Path) -> None:
    try:
        with suppress(PermissionError):  # one may make files in a folder that one cannot read
            sync(file.absolute().parent)
    except OSError as error:
        raise FileFailed(
            f"{file} was made, and may not outlast a power cut ({error.strerror or error}): look "
            "at its disk"
        ) from error


def _land(filled: Path, file: Path) -> None:
    try:
        os.link(filled, file)
    except FileExistsError as error:
        raise FileRefused(f"{file} was made by another meanwhile: look at that one") from error
    except OSError:  # a file system without hard links
        _check_new(file)
        filled.rename(file)
