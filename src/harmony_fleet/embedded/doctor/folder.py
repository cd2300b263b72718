"""The data folder: there, private, with room, and without what a restore has left."""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from harmony_fleet.embedded.backup.pending import ASIDE, COMMITTED, STAGING, unfinished
from harmony_fleet.embedded.certificates import CA_KEY, SERVER
from harmony_fleet.embedded.data_folder import LOCK
from harmony_fleet.embedded.doctor.finding import Finding, ok, problem, warning

FOLDER: Final = "data folder"
SECRETS: Final = "secrets"
DISK: Final = "disk space"

NO_ROOM_BYTES: Final = 16 << 20
"""Four times what the message plane's server needs to be worth a restart."""
LITTLE_ROOM_BYTES: Final = 512 << 20
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_TLS_SECRETS: Final = (f"tls/{CA_KEY}", f"tls/{SERVER}")
_SECRET_PLACES: Final = (
    "token",
    "nats/accounts/*",
    "nats/accounts/resolver/*",
    *_TLS_SECRETS,
    "devices/*/etc/fleet-agent/device.creds*",
    *(
        f"{folder}*/{place}"
        for folder in (ASIDE, STAGING, COMMITTED)
        for place in ("token", "nats/accounts/*", "nats/accounts/resolver/*", *_TLS_SECRETS)
    ),
)


def look_at_folder(data: Path) -> Iterable[Finding]:
    if not data.exists():
        yield warning(
            FOLDER, f"there is no {data} yet", "`fleet up` makes it, or name it by --data"
        )
        return
    if not (data.is_dir() and os.access(data, os.R_OK | os.W_OK | os.X_OK)):
        yield problem(
            FOLDER, f"{data} is no folder that you can write to", "run as the user of `fleet up`"
        )
        return
    if unfinished(data):
        yield problem(
            FOLDER, f"a restore into {data} was cut off", "`fleet up` finishes it: run it"
        )
    elif left := sorted(path.name for path in data.glob(f"{ASIDE}*")):
        yield warning(
            FOLDER,
            f"{data} keeps what it held before a restore, with its secrets: {', '.join(left)}",
            "delete that once all is well",
        )
    else:
        yield ok(FOLDER, str(data))


def can_be_listed(data: Path) -> bool:
    """Also where there is none yet."""
    try:
        os.listdir(data)  # noqa: PTH208 - whether it can be done is all that is asked
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def look_at_secrets(data: Path) -> Iterable[Finding]:
    found = list(secret_files(data))
    mine = os.geteuid()
    open_ones = [path for path in (data, *found) if path.stat().st_mode & _OTHERS]
    foreign = [path for path in found if mine and path.stat().st_uid != mine]
    if open_ones:
        yield problem(
            SECRETS,
            f"others on this machine may reach {_some(open_ones)}",
            f"chmod -R go-rwx {data}; a new token: delete the file, restart `fleet up`",
        )
    if foreign:
        yield problem(
            SECRETS,
            f"another user owns {_some(foreign)}",
            "run `fleet up`, and this command, as that user; or give the folder to this one",
        )
    if not open_ones and not foreign:
        yield ok(SECRETS, f"only their owner can read the {len(found)} files that hold some")


def secret_files(data: Path) -> Iterator[Path]:
    for place in _SECRET_PLACES:
        yield from (path for path in sorted(data.glob(place)) if path.is_file())


def look_at_disk(data: Path) -> Iterable[Finding]:
    free = shutil.disk_usage(data).free
    said = f"{free / 1e6:,.0f} MB free where {data} is"
    if free < NO_ROOM_BYTES:
        yield problem(DISK, said, "free some: orders and reports cannot be stored on a full disk")
    elif free < LITTLE_ROOM_BYTES:
        yield warning(DISK, said, "free some before the disk is full")
    else:
        yield ok(DISK, said)


def server_of(data: Path) -> int | None:
    """The process that serves the folder, where it can be seen. The lock is not touched."""
    lock = data.resolve() / LOCK
    try:
        pid = int(lock.read_text("ascii"))
        held = Path(f"/proc/{pid}/fd").iterdir()
        return pid if any(one.readlink() == lock for one in held) else None
    except (OSError, ValueError):
        return None


def _some(paths: list[Path], most: int = 3) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(str, paths[:most])) + more
