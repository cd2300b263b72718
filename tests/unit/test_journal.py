"""The journal on a device's disk, where it differs from what any store does."""

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade import durable
from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.durable import RESERVE_BYTES, temporary
from harmony_fleet.agent.upgrade.events import (
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
)
from harmony_fleet.agent.upgrade.journal import FILE_NAME, MAX_BYTES, MAX_SEQ, FileJournal
from harmony_fleet.agent.upgrade.ports import JournalUnwritable
from harmony_fleet.agent.upgrade.record import Attempt, Installed, Journal, Stage
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.upgrade import (
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Ended,
)

FIRST, SECOND = Journal("first"), Journal("second", seq=7)

COUNTS = st.integers(0, 2**53)
COUNTS_FROM_1 = st.integers(1, 2**53)
TOKENS = st.text("09azAZ_-", min_size=1, max_size=64)
VERSIONS = st.sampled_from(["0.0.0", "1.10.0", "2.0.0-rc.1", "999999999.0.0-x-y.0a"])
UPGRADE_IDS = st.integers(0, 2**128 - 1).map("{:032x}".format)
DIGESTS = st.integers(0, 2**256 - 1).map("{:064x}".format)
CAUSES = st.builds(Cause, st.sampled_from(CauseKind), st.text(max_size=400), st.text(max_size=99))
ARTIFACTS = st.builds(Artifact, st.just("https://fleet.example/agent"), COUNTS_FROM_1, DIGESTS)
ATTEMPTS = st.builds(
    Attempt,
    upgrade_id=st.none() | UPGRADE_IDS,
    generation=COUNTS,
    stage=st.sampled_from(Stage),
    from_version=VERSIONS,
    to_version=VERSIONS,
    artifact=st.none() | ARTIFACTS,
    target_sha256=st.none() | DIGESTS,
    retry=st.booleans(),
    tries=COUNTS,
    starts=COUNTS,
    since=st.none() | st.builds(BootTime, TOKENS, st.floats(0, 1e12)),
    cause=st.none() | CAUSES,
    deferred=st.none() | UPGRADE_IDS,
)
ENDED = st.builds(
    Ended,
    UPGRADE_IDS,
    COUNTS_FROM_1,
    st.sampled_from([phase for phase in AgentUpgradePhase if phase.final]),
    st.none() | st.sampled_from(CauseKind),
)
JOURNALS = st.builds(
    Journal,
    journal_id=TOKENS,
    seq=st.integers(0, MAX_SEQ),
    highest=COUNTS,
    attempt=st.none() | ATTEMPTS,
    ended=st.lists(ENDED, max_size=4).map(tuple),
    ended_complete=st.booleans(),
    lost=st.booleans(),
    quarantined=st.lists(DIGESTS, max_size=4).map(tuple),
    installed=st.none() | st.builds(Installed, VERSIONS, DIGESTS),
    schema=st.integers(1, 99),
)
NAMES = {field.name for field in fields(Journal)}


def store_in(folder: Path) -> FileJournal:
    ids = count(1)
    return FileJournal(folder, lambda: f"id-{next(ids)}")


@pytest.fixture
def store(tmp_path: Path) -> FileJournal:
    return store_in(tmp_path)


@pytest.fixture(scope="module")
def shared() -> Iterator[FileJournal]:
    """One for many examples."""
    with TemporaryDirectory() as folder:
        yield store_in(Path(folder))


@settings(deadline=None, max_examples=60)
@given(journal=JOURNALS)
def test_every_journal_is_read_as_it_was_written(shared: FileJournal, journal: Journal) -> None:
    shared.write(journal)
    assert shared.read() == JournalRead(journal)


@settings(deadline=None, max_examples=60)
@given(
    journal=JOURNALS,
    unknown=st.dictionaries(st.text().filter(lambda name: name not in NAMES), st.integers()),
)
def test_fields_of_a_newer_version_are_ignored(
    shared: FileJournal, journal: Journal, unknown: dict[str, int]
) -> None:
    shared.path.write_text(json.dumps(unknown | json.loads(encode(journal))))
    assert shared.read() == JournalRead(journal)


@settings(deadline=None, max_examples=60)
@given(data=st.binary() | st.text().map(str.encode))
def test_whatever_bytes_are_there_reading_goes_on_and_keeps_them(
    shared: FileJournal, data: bytes
) -> None:
    shared.path.write_bytes(data)
    assert isinstance(shared.read(), JournalUnreadable)
    assert not shared.path.exists()
    assert data in [path.read_bytes() for path in aside(shared)]


@settings(deadline=None, max_examples=60)
@given(journal=JOURNALS, cut=st.floats(0, 1, exclude_max=True))
def test_a_journal_that_is_cut_off_anywhere_is_unreadable(
    shared: FileJournal, journal: Journal, cut: float
) -> None:
    data = encode(journal)
    shared.path.write_bytes(data[: int(cut * len(data))])
    assert isinstance(shared.read(), JournalUnreadable)


@pytest.mark.parametrize(
    "data",
    [
        b'{"journal_id":"a","seq":%s}' % (b"9" * 5000),
        b'{"journal_id":"a","seq":%d}' % (MAX_SEQ + 1),
        b'{"journal_id":"a","attempt":{"upgrade_id":null,"generation":1,"stage":"cutover",'
        b'"from_version":"1.0.0","to_version":"1.1.0",'
        b'"since":{"boot_id":"b","seconds":1%s}}}' % (b"0" * 400),
        b"[" * 20_000,
        b'{"journal_id":"a"}' + b" " * MAX_BYTES,
        b'{"journal_id":"../../etc"}',
    ],
    ids=["huge integer", "uncountable", "no float", "deep", "too long", "bad id"],
)
def test_bytes_made_to_trip_the_reader_are_only_unreadable(store: FileJournal, data: bytes) -> None:
    store.path.write_bytes(data)
    assert isinstance(store.read(), JournalUnreadable)
    assert [path.read_bytes() for path in aside(store)] == [data]


def test_without_its_folder_there_is_no_journal_and_none_is_written(store: FileJournal) -> None:
    store.folder.rmdir()
    assert isinstance(store.read(), JournalAbsent)
    with pytest.raises(JournalUnwritable):
        store.write(FIRST)


def test_a_folder_in_the_journals_place_is_moved_aside(store: FileJournal) -> None:
    store.path.mkdir()
    assert isinstance(store.read(), JournalUnreadable)
    store.write(FIRST)
    assert store.read() == JournalRead(FIRST)


def test_where_it_cannot_be_moved_aside_it_stays_where_it_is(store: FileJournal) -> None:
    """A name that is too long for the file system is one that no rename can give."""
    long_name = store.folder / ("x" * 255)
    long_name.write_bytes(b"broken")

    class Stuck(FileJournal):
        @property
        def path(self) -> Path:
            return long_name

        def _aside(self, number: int) -> Path:
            return self.folder / f"{'x' * 255}-{number}"

    stuck = Stuck(store.folder, store.new_id)
    assert isinstance(stuck.read(), JournalUnreadable)
    assert isinstance(stuck.read(), JournalUnreadable)
    assert long_name.read_bytes() == b"broken"


def test_a_journal_that_could_not_be_read_again_is_not_written(store: FileJournal) -> None:
    store.write(FIRST)
    for quarantined in (("ab" * 32,) * 2000, ("\ud800",)):
        with pytest.raises(JournalUnwritable):
            store.write(Journal("a", quarantined=quarantined))
    assert store.read() == JournalRead(FIRST)


def test_a_temporary_file_that_a_crash_left_is_no_obstacle(store: FileJournal) -> None:
    temporary(store.path).write_bytes(b"half")
    store.write(FIRST)
    assert store.read() == JournalRead(FIRST)
    assert not temporary(store.path).exists()


def test_whoever_reads_sees_the_old_or_the_new_journal_and_never_none(store: FileJournal) -> None:
    whole = {encode(FIRST), encode(SECOND)}
    store.write(FIRST)
    seen: set[bytes] = set()
    done = Event()

    def look() -> None:
        while not done.is_set():
            seen.add(store.path.read_bytes() if store.path.exists() else b"nothing")

    reader = Thread(target=look)
    reader.start()
    for turn in range(100):
        store.write((FIRST, SECOND)[turn % 2])
    done.set()
    reader.join()
    assert seen <= whole


def test_a_journal_is_synced_before_its_name_and_its_name_before_write_returns(
    store: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(FIRST)
    noted: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        noted.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        noted.append(("rename", Path(target)))
        assert Path(source).read_bytes() == encode(SECOND)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    store.write(SECOND)
    assert noted == [
        ("fsync", temporary(store.path)),
        ("rename", store.path),
        ("fsync", store.folder),
    ]


def test_what_is_moved_aside_is_durable_there_before_anybody_hears_of_it(
    store: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, bool]] = []
    fsync = os.fsync

    def noting_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path, bool(aside(store))))
        fsync(descriptor)

    store.path.write_bytes(b"broken")
    monkeypatch.setattr(os, "fsync", noting_fsync)
    store.read()
    assert synced == [(store.folder, True)]


# The reserve


class SmallDisk:
    """Has room for one journal only after the reserve is gone."""

    def __init__(self, folder: Path, number: int = errno.ENOSPC) -> None:
        self.reserve, self.number = folder / "reserve", number
        self.full = False

    def write_file(self, path: Path, data: bytes) -> None:
        if self.full and self.reserve.exists():
            raise OSError(self.number, os.strerror(self.number))
        durable.write_file(path, data)


def test_the_reserve_really_holds_its_room(store: FileJournal) -> None:
    store.write(FIRST)
    reserve = (store.folder / "reserve").stat()
    assert reserve.st_size == RESERVE_BYTES
    assert reserve.st_blocks * 512 >= RESERVE_BYTES


def test_a_reserve_that_is_there_is_left_alone(store: FileJournal) -> None:
    store.write(FIRST)
    before = (store.folder / "reserve").stat()
    store.write(SECOND)
    after = (store.folder / "reserve").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_the_reserve_makes_room_and_comes_back_later(
    tmp_path: Path, number: int
) -> None:
    disk = SmallDisk(tmp_path, number)
    store = FileJournal(tmp_path, lambda: "new", disk.write_file)
    store.write(FIRST)
    disk.full = True
    store.write(SECOND)
    assert store.read() == JournalRead(SECOND)
    disk.full = False
    store.write(FIRST)
    assert disk.reserve.stat().st_size == RESERVE_BYTES


def test_no_other_fault_costs_the_reserve(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path, errno.EIO)
    store = FileJournal(tmp_path, lambda: "new", disk.write_file)
    store.write(FIRST)
    disk.full = True
    with pytest.raises(JournalUnwritable, match=str(tmp_path / FILE_NAME)):
        store.write(SECOND)
    assert disk.reserve.exists()
    assert store.read() == JournalRead(FIRST)


def test_without_a_reserve_a_full_disk_leaves_the_old_journal(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.write(FIRST)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "reserve").unlink()
    with pytest.raises(JournalUnwritable, match="free some space"):
        FileJournal(tmp_path, store.new_id, full).write(SECOND)
    assert store.read() == JournalRead(FIRST)


def test_no_reserve_is_made_where_it_would_take_the_last_room(
    store: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "RESERVE_LEAVES_BYTES", 2**60)
    store.write(FIRST)
    assert not (store.folder / "reserve").exists()


def aside(store: FileJournal) -> list[Path]:
    return list(store.folder.glob(f"{FILE_NAME}.unreadable-*"))
