"""SqliteStore and FakeStore keep one contract; below it, what only a file can suffer."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harmony_fleet.operator.ports import Conflict, DeviceStore, StoreError
from harmony_fleet.operator.records import DeviceRecord, Happening
from harmony_fleet.operator.sqlite_file import StoreUnusable
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.testing import store_suite
from harmony_fleet.testing.fake_store import FakeStore


class FixedClock:
    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class FakeWorld:
    store: FakeStore = field(default_factory=lambda: FakeStore(FixedClock()))
    events_kept = 1000

    async def settled(self) -> None:
        pass

    def another(self) -> DeviceStore:
        return self.store

    async def reopened(self) -> DeviceStore:
        return self.store


class SqliteWorld:
    events_kept = 1000

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[SqliteStore] = []
        self.store: DeviceStore = self.another()

    def another(self) -> DeviceStore:
        self._open.append(SqliteStore(self._path, FixedClock()))
        return self._open[-1]

    async def settled(self) -> None:
        pass

    async def reopened(self) -> DeviceStore:
        await self.close()
        return self.another()

    async def close(self) -> None:
        for store in self._open:
            await store.close()


@asynccontextmanager
async def fake_world(_folder: Path) -> AsyncIterator[store_suite.World]:
    yield FakeWorld()


@asynccontextmanager
async def sqlite_world(folder: Path) -> AsyncIterator[store_suite.World]:
    world = SqliteWorld(folder / "fleet.db")
    try:
        yield world
    finally:
        await world.close()


MakeWorld = Callable[[Path], AbstractAsyncContextManager[store_suite.World]]


@pytest.mark.parametrize("make", [fake_world, sqlite_world])
@pytest.mark.parametrize("case", store_suite.CASES, ids=store_suite.name)
def test_every_store_keeps_the_contract(
    case: store_suite.Case, make: MakeWorld, tmp_path: Path
) -> None:
    async def run() -> None:
        async with make(tmp_path) as world:
            await case(world)

    asyncio.run(run())


def test_a_broken_fake_raises_and_writes_nothing() -> None:
    store = FakeStore(FixedClock(), broken=StoreError("no disk"))
    with pytest.raises(StoreError, match="no disk"):
        asyncio.run(store.save(DeviceRecord("pi-1"), 0))
    store.broken = None
    assert asyncio.run(store.load("pi-1")) is None


OF_AN_OLDER_OPERATOR = b"""{"device_id":"pi-1","current_version":"1.0.0","order":{
"upgrade_id":"11111111111111111111111111111111","generation":1,"version":"2.0.0",
"artifact":{"url":"http://h/a","size_bytes":10,"sha256":"%s"},
"ordered_at":"2026-01-01T00:00:00Z","desired":"run","retry":false,"from_version":"1.0.0",
"phase":"Staging","since":"2026-01-01T00:00:00Z","attempt":1,"cause":null},
"past":[],"highest":1,"journal_id":"journal-1","seq":4}""" % (b"a" * 64)


def test_a_record_that_an_older_operator_stored_is_read_with_defaults(tmp_path: Path) -> None:
    async def run() -> None:
        async with SqliteStore(tmp_path / "fleet.db", FixedClock()) as store:
            await store.save(DeviceRecord("pi-1"), 0)
            with sqlite3.connect(tmp_path / "fleet.db") as db:
                db.execute("UPDATE device SET record = ?", (OF_AN_OLDER_OPERATOR,))
            db.close()
            found = await store.load("pi-1")
            assert found is not None
            order = found.record.order
            assert order is not None
            assert (order.generation, order.attempt, order.journal_id) == (1, 1, None)
            assert found.record.labels == ()
            assert not found.record.paused

    asyncio.run(run())


OF_A_RELEASE_OF_BEFORE = b"""{"version":"1.0.0","artifact_name":"a","size_bytes":7,
"sha256":"%s","python":">=3.11","added_at":"2026-01-01T00:00:00Z"}""" % (b"a" * 64)


def test_a_release_that_an_older_operator_stored_is_not_withdrawn_and_can_be(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with SqliteStore(tmp_path / "fleet.db", FixedClock()) as store:
            await store.add_release(store_suite.release())
            with sqlite3.connect(tmp_path / "fleet.db") as db:
                db.execute("UPDATE release SET record = ?", (OF_A_RELEASE_OF_BEFORE,))
            db.close()
            before = await store.release("1.0.0")
            assert before is not None
            assert before.withdrawn is None
            after = replace(before, withdrawn="it eats memory")
            assert await store.withdraw_release("1.0.0", "it eats memory") == after

    asyncio.run(run())


def test_of_many_writers_in_many_threads_each_revision_has_one(tmp_path: Path) -> None:
    won: list[str] = []

    async def count_up(name: str) -> None:
        async with SqliteStore(tmp_path / "fleet.db", FixedClock()) as store:
            for _ in range(20):
                found = await store.load("pi-1")
                revision = found.revision if found else 0
                try:
                    await store.save(DeviceRecord("pi-1"), revision, [Happening("win", name)])
                    won.append(name)
                except Conflict:
                    continue

    threads = [threading.Thread(target=asyncio.run, args=(count_up(str(n)),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def outcome() -> tuple[int, int]:
        async with SqliteStore(tmp_path / "fleet.db", FixedClock()) as store:
            found = await store.load("pi-1")
            assert found is not None
            return found.revision, len(await store.events("pi-1", 0, 1000))

    assert asyncio.run(outcome()) == (len(won), len(won))
    assert len(won) >= 20


def open_store(path: Path) -> None:
    SqliteStore(path, FixedClock())


def test_a_file_that_is_no_database_is_named_with_what_to_do_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnusable, match=r"fleet\.db is damaged.*restore"):
        open_store(path)
    assert path.read_bytes().startswith(b"not a database at all")


def test_a_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipe(name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="another program"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    fill(path, devices=1)
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(StoreUnusable, match=r"newer harmony-fleet .*schema 2, this one knows 1"):
        open_store(path)


def test_a_page_that_was_damaged_later_is_a_store_error_of_the_call(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    fill(path, devices=300)
    content = bytearray(path.read_bytes())
    content[4096 * 5 :] = b"\xa5" * (len(content) - 4096 * 5)
    path.write_bytes(content)

    async def read() -> None:
        async with SqliteStore(path, FixedClock()) as store:
            with pytest.raises(StoreUnusable, match=r"fleet\.db"):
                await store.load_all()

    asyncio.run(read())


def test_a_record_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    fill(path, devices=1)
    damage = sqlite3.connect(path)
    damage.execute("UPDATE device SET record = ?", (b'{"device_id": 7}',))
    damage.commit()
    damage.close()

    async def read() -> None:
        async with SqliteStore(path, FixedClock()) as store:
            with pytest.raises(StoreUnusable, match="DeviceRecord that cannot be read"):
                await store.load("pi-0")

    asyncio.run(read())


def test_a_folder_that_is_missing_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"fleet\.db cannot be used"):
        open_store(tmp_path / "missing" / "fleet.db")


def test_it_is_a_write_ahead_log_that_is_synced_at_every_commit(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = SqliteStore(path, FixedClock())
    try:
        assert store.durability == ("wal", 2)
        assert {path.stat().st_mode & 0o077 for path in path.parent.glob(f"{path.name}*")} == {0}
    finally:
        asyncio.run(store.close())


def test_the_event_loop_goes_on_while_another_process_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"

    async def run() -> list[str]:
        order: list[str] = []
        async with SqliteStore(path, FixedClock()) as store:
            holder = sqlite3.connect(path, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            save = asyncio.create_task(store.save(DeviceRecord("pi-1"), 0))
            save.add_done_callback(lambda _: order.append("saved"))
            for _ in range(10):
                await asyncio.sleep(0.001)
            order.append("the loop went on")
            holder.execute("COMMIT")
            holder.close()
            await save
        return order

    assert asyncio.run(run()) == ["the loop went on", "saved"]


def test_a_save_takes_little_of_the_processor(tmp_path: Path) -> None:
    async def run() -> float:
        async with SqliteStore(tmp_path / "fleet.db", FixedClock()) as store:
            record = store_suite.full_record()
            before = time.process_time()
            for revision in range(200):
                await store.save(record, revision, [Happening("phase", "a sentence " * 8)])
            return (time.process_time() - before) / 200

    assert asyncio.run(run()) < 0.002


def fill(path: Path, devices: int) -> None:
    async def run() -> None:
        async with SqliteStore(path, FixedClock()) as store:
            for number in range(devices):
                await store.save(DeviceRecord(f"pi-{number}"), 0, [Happening("e", "s" * 300)])

    asyncio.run(run())
