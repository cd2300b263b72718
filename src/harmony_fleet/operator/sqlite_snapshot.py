"""The store's file as a whole: copied while others write to it, checked, and looked through.

Reads only. The operator that serves the file goes on meanwhile.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Release
from harmony_fleet.operator.sqlite_file import (
    BUSY_TIMEOUT_MS,
    RESTORE,
    StoreUnusable,
    decoded,
    require_ours,
    translated,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    devices: tuple[DeviceRecord, ...]
    releases: tuple[Release, ...]


def snapshot(source: Path, target: Path) -> None:
    """All of one instant, in one file of its own; `target` is new. Blocks. Raises StoreError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with reading(source) as db, translated(target), closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # whoever asked makes it durable
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # else it would want two files beside it


def stored(path: Path) -> Stored:
    """What the file holds, once SQLite has found it whole. Raises StoreError."""
    with reading(path) as db:
        check(db, path)
        return Stored(
            tuple(_records(db, path, "SELECT record FROM device", DeviceRecord)),
            tuple(_records(db, path, "SELECT record FROM release ORDER BY number", Release)),
        )


def last_events(path: Path, most: int) -> list[DeviceEvent]:
    """Of all devices, oldest first. Raises StoreError."""
    query = """SELECT number, device_id, at, kind, sentence, upgrade_id FROM event
        ORDER BY number DESC LIMIT ?"""
    with reading(path) as db:
        return [DeviceEvent(*row) for row in db.execute(query, (most,))][::-1]


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Never makes or changes the file. Raises StoreError, also for a file that is not ours."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated(path), closing(sqlite3.connect(uri, uri=True)) as db:
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        require_ours(db, path)
        yield db


def check(db: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnusable where SQLite finds damage."""
    (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise StoreUnusable(f"{path} is damaged ({said}): {RESTORE}")


def _records(db: sqlite3.Connection, path: Path, query: str, kind: type[T]) -> Iterator[T]:
    for (body,) in db.execute(query):
        yield decoded(path, kind, body)
