"""The DeviceStore on one SQLite file: what `fleet up` runs on.

One writer at a time, in a thread of its own, so that no fsync holds up the event loop. A `save` is
in the write-ahead log and synced when it returns; those that came while the thread was busy share
one transaction (`sqlite_saves`). Records are JSON in a column beside the revision that
compare-and-set goes by. Several processes may use one file.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from harmony_fleet.operator.ports import Clock, ReleaseExists, Versioned
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Release
from harmony_fleet.operator.sqlite_file import (
    decoded,
    number,
    open_file,
    transaction,
    translated,
)
from harmony_fleet.operator.sqlite_saves import Save, commit, taken

T = TypeVar("T")

_EVENTS: Final = "SELECT number, device_id, at, kind, sentence, upgrade_id FROM event"


class SqliteStore:
    """Close it, or use it as an asynchronous context manager."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Opens or creates the file, which blocks for a few milliseconds. Raises StoreError."""
        self._path, self._clock = path, clock
        # Used by one thread at a time: this one, then the pool's only one.
        self._db = open_file(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting: deque[Save] = deque()

    async def load(self, device_id: str) -> Versioned | None:
        return await self._call(partial(self._load, device_id))

    async def load_all(self) -> Sequence[Versioned]:
        return await self._call(self._load_all)

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        save = Save(record, revision, tuple(happenings))
        self._waiting.append(save)
        self._thread.submit(self._commit_waiting)  # finds nothing where an earlier one took it
        return await asyncio.wrap_future(save.done)

    async def events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        return await self._call(partial(self._events, device_id, after, limit))

    async def add_release(self, release: Release) -> Release:
        return await self._call(partial(self._add_release, release))

    async def replace_release(self, release: Release) -> Release:
        return await self._call(partial(self._replace_release, release))

    async def withdraw_release(self, version: str, reason: str | None) -> Release | None:
        return await self._call(partial(self._withdraw_release, version, reason))

    async def release(self, version: str) -> Release | None:
        return await self._call(partial(self._release, version))

    async def releases(self) -> Sequence[Release]:
        return await self._call(self._releases)

    @property
    def durability(self) -> tuple[str, int]:
        """The journal mode and the level of synchronous (2 is FULL) that are in force."""
        mode = self._db.execute("PRAGMA journal_mode").fetchone()[0]
        return str(mode), number(self._db, "PRAGMA synchronous")

    async def close(self) -> None:
        """What was asked before is done first. Idempotent."""
        await asyncio.to_thread(self._thread.shutdown)
        self._db.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, work: Callable[[], T]) -> T:
        """One who is cancelled while he waits does not know: the work may still be done."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[], T]) -> T:
        with translated(self._path):
            return work()

    # In the thread

    def _load(self, device_id: str) -> Versioned | None:
        query = "SELECT record, revision FROM device WHERE device_id = ?"
        row = self._db.execute(query, (device_id,)).fetchone()
        return row and self._versioned(*row)

    def _load_all(self) -> Sequence[Versioned]:
        rows = self._db.execute("SELECT record, revision FROM device ORDER BY device_id")
        return [self._versioned(*row) for row in rows]

    def _commit_waiting(self) -> None:
        if saves := taken(self._waiting):
            commit(self._db, self._path, saves, self._clock.now())

    def _events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        where = "number > ?1" if device_id is None else "number > ?1 AND device_id = ?3"
        query = f"{_EVENTS} WHERE {where} ORDER BY number LIMIT ?2"
        values = (after, limit) if device_id is None else (after, limit, device_id)
        return [DeviceEvent(*row) for row in self._db.execute(query, values)]

    def _add_release(self, release: Release) -> Release:
        with transaction(self._db):
            return self._added(release)

    def _replace_release(self, release: Release) -> Release:
        with transaction(self._db):
            there = self._added(release)
            return self._rewritten(replace(release, withdrawn=there.withdrawn))

    def _withdraw_release(self, version: str, reason: str | None) -> Release | None:
        with transaction(self._db):
            there = self._release(version)
            return there and self._rewritten(replace(there, withdrawn=reason))

    def _rewritten(self, release: Release) -> Release:
        query = "UPDATE release SET record = ? WHERE version = ?"
        self._db.execute(query, (msgspec.json.encode(release), release.version))
        return release

    def _added(self, release: Release) -> Release:
        there = self._release(release.version)
        if there is None:
            query = "INSERT INTO release(version, record) VALUES(?, ?)"
            self._db.execute(query, (release.version, msgspec.json.encode(release)))
            return release
        if there.sha256 != release.sha256:
            raise ReleaseExists(release.version)
        return there

    def _release(self, version: str) -> Release | None:
        query = "SELECT record FROM release WHERE version = ?"
        row = self._db.execute(query, (version,)).fetchone()
        return row and decoded(self._path, Release, row[0])

    def _releases(self) -> Sequence[Release]:
        rows = self._db.execute("SELECT record FROM release ORDER BY number")
        return [decoded(self._path, Release, row[0]) for row in rows]

    def _versioned(self, body: bytes, revision: int) -> Versioned:
        return Versioned(decoded(self._path, DeviceRecord, body), revision)
