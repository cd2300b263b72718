"""How a restore becomes true all at once, in a folder whose other contents stay where they are.

Everything is laid out whole and durable below `.restoring-…` first. Renaming that folder to
`.restore-…` is the commit: before it nothing was changed, after it whoever takes the folder next
finishes what a kill or a power cut left over. Every step can be done again: a part that is still
below `.restore-…` is the new one, and what stands in its place is the old one.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from harmony_fleet.agent.upgrade.durable import sync
from harmony_fleet.contracts.errors import FleetError

STAGING: Final = ".restoring-"
COMMITTED: Final = ".restore-"
ASIDE: Final = "before-restore-"

PARTS: Final = {
    "fleet.db": ("fleet.db-wal", "fleet.db-shm", "fleet.db"),
    "token": ("token",),
    "nats-port": ("nats-port",),
    "artifacts": ("artifacts",),
    "nats": ("nats",),
    "tls": ("tls",),
}
"""Each with what gives way to it: an old store's log must never be read into the new store."""


class RestoreUnfinished(FleetError):
    """What was restored is committed, and not all in its place. Whoever serves it next goes on."""

    kind = "restore_unfinished"
    retryable = True


def unfinished(folder: Path) -> bool:
    """Whether a restore was committed, and cut off."""
    return any(folder.glob(f"{COMMITTED}*"))


def commit(folder: Path, staging: Path) -> Path | None:
    """Where the old parts are now; None: there were none. For the holder of the folder alone.

    Raises OSError: nothing was changed. Raises RestoreUnfinished.
    """
    _sync_all(staging)
    committed = folder / staging.name.replace(STAGING, COMMITTED, 1)
    staging.rename(committed)
    try:
        sync(folder)
        return _put_in(folder, committed)
    except OSError as error:
        raise RestoreUnfinished(
            f"the restore into {folder} is decided, and not finished, {error.filename or folder}: "
            f"{error.strerror or error}: mend its disk or permissions, then run `fleet up`, which "
            "finishes it"
        ) from error


def finish(folder: Path) -> None:
    """What was committed is put in, what was not is removed. For the holder alone."""
    for committed in sorted(folder.glob(f"{COMMITTED}*")):
        _put_in(folder, committed)
    for staging in folder.glob(f"{STAGING}*"):
        shutil.rmtree(staging, ignore_errors=True)


def _put_in(folder: Path, committed: Path) -> Path | None:
    aside = folder / committed.name.replace(COMMITTED, ASIDE, 1)
    new = [name for name in PARTS if os.path.lexists(committed / name)]
    for old in (name for part in new for name in PARTS[part]):
        if os.path.lexists(folder / old):
            aside.mkdir(mode=0o700, exist_ok=True)
            (folder / old).rename(aside / old)
    if aside.is_dir():
        sync(aside)
    sync(folder)
    for name in new:
        (committed / name).rename(folder / name)
    (folder / "up.json").unlink(missing_ok=True)
    sync(folder)
    shutil.rmtree(committed)
    sync(folder)
    return aside if aside.is_dir() else None


def _sync_all(top: Path) -> None:
    for folder, _, files in os.walk(top):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
