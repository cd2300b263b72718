"""Saves that wait together are one transaction in SQLite, and each has its own outcome."""

import asyncio
import resource
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.transactions import transactions
from tests.contract.test_device_store import FixedClock

from harmony_fleet.operator.ports import Conflict, StoreError, Versioned
from harmony_fleet.operator.records import DeviceRecord, Happening
from harmony_fleet.operator.sqlite_saves import Save, taken
from harmony_fleet.operator.sqlite_store import SqliteStore

Saving = asyncio.Task[int]


def in_store(folder: Path, use: Callable[[SqliteStore, Path], Awaitable[None]]) -> None:
    async def run() -> None:
        path = folder / "fleet.db"
        async with SqliteStore(path, FixedClock()) as store:
            await use(store, path)

    asyncio.run(run())


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process writes: whoever saves now waits."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield
    holder.execute("COMMIT")
    holder.close()


@contextmanager
def no_room(path: Path) -> Iterator[None]:
    """The write-ahead log, which is written at the commit, cannot grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size_bytes = path.with_name(f"{path.name}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def saving(
    store: SqliteStore, record: DeviceRecord, revision: int = 0, *told: Happening
) -> Saving:
    """Asked for when this returns, in this order."""
    task = asyncio.create_task(store.save(record, revision, told))
    await asyncio.sleep(0)
    return task


async def outcomes(tasks: Sequence[Saving]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def found(store: SqliteStore, device_id: str) -> Versioned:
    stored = await store.load(device_id)
    assert stored is not None
    return stored


def test_saves_that_wait_together_are_one_transaction(tmp_path: Path) -> None:
    async def use(store: SqliteStore, path: Path) -> None:
        before = transactions(path)
        with held(path):
            first = await saving(store, DeviceRecord("first"))
            rest = [await saving(store, DeviceRecord(f"pi-{n}")) for n in range(50)]
        assert await outcomes([first, *rest]) == [1] * 51
        assert transactions(path) - before <= 2  # the thread had the first alone, or all of them
        assert len(await store.load_all()) == 51

    in_store(tmp_path, use)


def test_a_save_that_finds_nobody_beside_it_is_not_held_back(tmp_path: Path) -> None:
    async def use(store: SqliteStore, path: Path) -> None:
        before = transactions(path)
        for number in range(5):
            await store.save(DeviceRecord("pi-1"), number)
        assert transactions(path) - before == 5

    in_store(tmp_path, use)


def test_a_conflict_undoes_none_of_the_others_and_tells_nothing(tmp_path: Path) -> None:
    async def use(store: SqliteStore, path: Path) -> None:
        with held(path):
            tasks = [
                await saving(store, DeviceRecord("pi-1"), 0, Happening("one", "1")),
                await saving(store, DeviceRecord("pi-2"), 7, Happening("two", "2")),
                await saving(store, DeviceRecord("pi-3"), 0, Happening("three", "3")),
            ]
        one, two, three = await outcomes(tasks)
        assert (one, three) == (1, 1)
        assert isinstance(two, Conflict)
        assert [event.kind for event in await store.events(None, 0, 9)] == ["one", "three"]
        assert await store.load("pi-2") is None

    in_store(tmp_path, use)


def test_what_cannot_be_written_fails_by_itself_and_leaves_no_trace(tmp_path: Path) -> None:
    unwritable = Happening("bad", "half of a pair: \ud800")

    async def use(store: SqliteStore, path: Path) -> None:
        with held(path):
            tasks = [
                await saving(store, DeviceRecord("pi-1")),
                await saving(store, DeviceRecord("pi-2"), 0, Happening("good", ""), unwritable),
                await saving(store, DeviceRecord("pi-3")),
            ]
        one, two, three = await outcomes(tasks)
        assert (one, three) == (1, 1)
        assert isinstance(two, UnicodeEncodeError)
        assert await store.load("pi-2") is None
        assert list(await store.events(None, 0, 9)) == []

    in_store(tmp_path, use)


def test_a_commit_that_fails_fails_all_and_leaves_what_was_there(tmp_path: Path) -> None:
    async def use(store: SqliteStore, path: Path) -> None:
        await store.save(DeviceRecord("pi-0"), 0)
        with no_room(path):
            with held(path):
                tasks = [
                    await saving(store, DeviceRecord("pi-0", "2.0.0"), 1, Happening("a", "")),
                    await saving(store, DeviceRecord("pi-1")),
                    await saving(store, DeviceRecord("pi-2")),
                ]
            errors = await outcomes(tasks)
        assert [type(error) for error in errors] == [StoreError] * 3
        assert len(set(map(id, errors))) == 3  # each waiter raises one of its own
        assert await found(store, "pi-0") == Versioned(DeviceRecord("pi-0"), 1)
        assert len(await store.load_all()) == 1
        assert list(await store.events(None, 0, 9)) == []
        assert await store.save(DeviceRecord("pi-1"), 0) == 1

    in_store(tmp_path, use)


def test_of_two_saves_of_one_record_the_first_is_first(tmp_path: Path) -> None:
    async def use(store: SqliteStore, path: Path) -> None:
        with held(path):
            tasks = [
                await saving(store, DeviceRecord("other")),
                await saving(store, DeviceRecord("pi-1", "1.0.0"), 0, Happening("v", "first")),
                await saving(store, DeviceRecord("pi-1", "2.0.0"), 1, Happening("v", "second")),
                await saving(store, DeviceRecord("pi-1", "3.0.0"), 1, Happening("v", "late")),
            ]
        *_, first, second, late = await outcomes(tasks)
        assert (first, second) == (1, 2)
        assert isinstance(late, Conflict)
        stored = await found(store, "pi-1")
        assert (stored.record.current_version, stored.revision) == ("2.0.0", 2)
        told = [event.sentence for event in await store.events("pi-1", 0, 9)]
        assert told == ["first", "second"]

    in_store(tmp_path, use)


def test_who_is_cancelled_while_he_waits_takes_nobody_with_him(tmp_path: Path) -> None:
    async def use(store: SqliteStore, path: Path) -> None:
        with held(path):
            busy = await saving(store, DeviceRecord("busy"))
            gone = await saving(store, DeviceRecord("gone"))
            stays = await saving(store, DeviceRecord("stays"))
            gone.cancel()
            await asyncio.wait([gone])
        assert gone.cancelled()
        assert await outcomes([busy, stays]) == [1, 1]
        assert (await found(store, "stays")).revision == 1

    in_store(tmp_path, use)


def test_what_was_cancelled_before_its_turn_is_not_done() -> None:
    gone, stays = Save(DeviceRecord("gone"), 0, ()), Save(DeviceRecord("stays"), 0, ())
    gone.done.cancel()
    waiting = deque([gone, stays])
    assert taken(waiting) == [stays]
    assert not waiting
    assert not stays.done.cancel()
