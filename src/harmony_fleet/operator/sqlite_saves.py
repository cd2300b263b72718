"""Saves that wait together are committed together: one transaction, one sync, for all of them.

Rules
1. In the order in which they were asked for, each compared and set by itself: what is refused, or
   cannot be written, leaves no trace, and undoes none of the others.
2. Nobody is answered before the commit. Where that fails, all of them have failed.
3. What was cancelled before its turn is not done; afterwards it is, and nobody is told.
"""

import sqlite3
from collections import deque
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from harmony_fleet.operator.ports import Conflict
from harmony_fleet.operator.records import DeviceRecord, Happening
from harmony_fleet.operator.sqlite_file import transaction, translated

EVENTS_KEPT: Final = 1000
"""For each device."""

_PRUNE: Final = """DELETE FROM event WHERE device_id = ?1 AND number <= (
    SELECT number FROM event WHERE device_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)"""


@dataclass(frozen=True, slots=True, eq=False)
class Save:
    record: DeviceRecord
    revision: int
    happenings: tuple[Happening, ...]
    done: "Future[int]" = field(default_factory=Future)
    """Of the new revision. Raises Conflict, StoreError."""


def taken(waiting: deque[Save]) -> list[Save]:
    """All that wait by now and were not cancelled; from here on they are done."""
    saves = [waiting.popleft() for _ in range(len(waiting))]
    return [save for save in saves if save.done.set_running_or_notify_cancel()]


def commit(db: sqlite3.Connection, path: Path, saves: list[Save], at: str) -> None:
    """Blocks. Whatever happens, every `done` is done afterwards."""
    outcomes: list[int | Exception]
    try:
        with translated(path), transaction(db):
            outcomes = [_apart(db, path, save, at) for save in saves]
    except Exception as error:  # noqa: BLE001 - it is raised where each of them waits
        outcomes = [copy(error) for _ in saves]
    for save, outcome in zip(saves, outcomes, strict=True):
        if isinstance(outcome, Exception):
            save.done.set_exception(outcome)
        else:
            save.done.set_result(outcome)


def _apart(db: sqlite3.Connection, path: Path, save: Save, at: str) -> int | Exception:
    """Raises where the whole transaction is lost with it."""
    outcome: int | Exception = save.revision + 1
    db.execute("SAVEPOINT one")
    try:
        with translated(path):
            _write(db, save, at)
    except Exception as error:
        if not db.in_transaction:
            raise
        db.execute("ROLLBACK TO one")
        outcome = error
    db.execute("RELEASE one")
    return outcome


def _write(db: sqlite3.Connection, save: Save, at: str) -> None:
    device_id = save.record.device_id
    if not _compare_and_set(db, device_id, msgspec.json.encode(save.record), save.revision):
        raise Conflict(f"{device_id} was written by another since it was read")
    if save.happenings:
        _tell(db, device_id, save.happenings, at)


def _compare_and_set(db: sqlite3.Connection, device_id: str, body: bytes, revision: int) -> bool:
    if revision == 0:
        query = "INSERT INTO device VALUES(?, 1, ?) ON CONFLICT DO NOTHING"
        return db.execute(query, (device_id, body)).rowcount == 1
    query = "UPDATE device SET revision = ?, record = ? WHERE device_id = ? AND revision = ?"
    return db.execute(query, (revision + 1, body, device_id, revision)).rowcount == 1


def _tell(
    db: sqlite3.Connection, device_id: str, happenings: tuple[Happening, ...], at: str
) -> None:
    db.executemany(
        "INSERT INTO event(device_id, at, kind, sentence, upgrade_id) VALUES(?, ?, ?, ?, ?)",
        [(device_id, at, one.kind, one.sentence, one.upgrade_id) for one in happenings],
    )
    db.execute(_PRUNE, (device_id, EVENTS_KEPT))
