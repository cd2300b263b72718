"""The SQLite file below the store: opened, recognised, and its errors said in our words.

A file that is another program's, of a newer version, or damaged is left as it was.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from harmony_fleet.operator.ports import StoreError

T = TypeVar("T")

SCHEMA: Final = 1
APPLICATION_ID: Final = 0x464C5431
"""`FLT1`, in the file's header: a database of another program is not touched."""
BUSY_TIMEOUT_MS: Final = 5000
OPEN_TRIES: Final = 100
OPEN_RETRY_S: Final = 0.02

RESTORE: Final = (
    "move the file and those beside it (-wal, -shm) away and restore a copy, or start with an "
    "empty one; the devices go on as they are"
)
_TABLES: Final = (
    """CREATE TABLE device(
        device_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, record BLOB NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE event(
        number INTEGER PRIMARY KEY AUTOINCREMENT, device_id TEXT NOT NULL, at TEXT NOT NULL,
        kind TEXT NOT NULL, sentence TEXT NOT NULL, upgrade_id TEXT
    )""",
    "CREATE INDEX event_of_device ON event(device_id, number)",
    """CREATE TABLE release(
        number INTEGER PRIMARY KEY AUTOINCREMENT, version TEXT NOT NULL UNIQUE, record BLOB NOT NULL
    )""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)


class StoreUnusable(StoreError):
    """The file is damaged, foreign or of a newer version. Trying again does not help."""

    kind = "store_unusable"
    retryable = False


def open_file(path: Path) -> sqlite3.Connection:
    """With its tables, a write-ahead log, and a sync at each commit. Blocks. Raises StoreError.

    A new one can be read by its owner alone.

    For one thread at a time, whichever it is.
    """
    with translated(path):
        with suppress(OSError):  # what keeps it from being made, SQLite says better
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Takes the write lock at once, so that a read in it is still true at its commit."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite raises inside becomes a StoreError that names the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _as_store_error(path, error) from error


def number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def decoded(path: Path, kind: type[T], body: bytes) -> T:
    """A record of the file at `path`. Raises StoreUnusable."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, TypeError) as error:  # TypeError: a column of another type
        raise StoreUnusable(
            f"{path} holds a {kind.__name__} that cannot be read ({error}): {RESTORE}"
        ) from error


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _is_ours(db, path)
    _use_write_ahead_log(db)
    db.execute("PRAGMA synchronous = FULL")
    with transaction(db):
        if not _is_ours(db, path):
            for statement in _TABLES:
                db.execute(statement)


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Two who open a new file at once refuse each other here without waiting: SQLite's rule."""
    for patience in range(OPEN_TRIES, -1, -1):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not patience or error.sqlite_errorname != "SQLITE_BUSY":
                raise
            time.sleep(OPEN_RETRY_S)


_IDENTITY: Final = """
SELECT (SELECT application_id FROM pragma_application_id),
       (SELECT user_version FROM pragma_user_version),
       (SELECT count(*) FROM sqlite_schema)
"""
"""In one statement, so of one instant: somebody else may be making the tables just now."""


def _is_ours(db: sqlite3.Connection, path: Path) -> bool:
    """False for a new file. Raises StoreUnusable for one that is not ours to write."""
    application, schema, tables = db.execute(_IDENTITY).fetchone()
    empty = not tables
    if application != APPLICATION_ID and not (application == schema == 0 and empty):
        raise StoreUnusable(
            f"{path} is a database of another program: move it away, or choose another data folder"
        )
    if schema > SCHEMA:
        raise StoreUnusable(
            f"{path} was written by a newer harmony-fleet (store schema {schema}, this one knows "
            f"{SCHEMA}): run the newer one"
        )
    return bool(application == APPLICATION_ID)


def require_ours(db: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnusable unless it is a store already, of a schema that is known here."""
    if not _is_ours(db, path):
        raise StoreUnusable(f"{path} is no store, it is empty: {RESTORE}")


def _as_store_error(path: Path, error: sqlite3.Error) -> StoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreUnusable(f"{path} is damaged ({error}): {RESTORE}")
    if name.startswith("SQLITE_FULL"):
        return StoreError(f"{path} cannot grow, the disk is full: free some space")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(f"{path} is held by another process: try again")
    return StoreError(f"{path} cannot be used ({error}): check the folder's permissions and disk")
