"""What every `ports.JournalStore` does, as plain functions that assert.

Give each of `CASES` a fresh `World`; `executor_suite` shows how, with pytest.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from harmony_fleet.agent.upgrade.events import (
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
)
from harmony_fleet.agent.upgrade.ports import JournalStore, JournalUnwritable
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.contracts.codec import encode

FIRST = Journal("first")
LATER = replace(
    FIRST, seq=3, highest=2, attempt=Attempt(None, 2, Stage.CUTOVER, "1.0.0", "1.1.0-rc.1")
)


class World(Protocol):
    def store(self) -> JournalStore:
        """Of a process that has just begun: each call gives another one, on the same disk."""

    def put(self, data: bytes) -> None:
        """Make these the bytes of the journal, behind the store's back."""

    def moved_aside(self) -> list[bytes]:
        """What was unreadable and is kept, oldest first."""

    def break_disk(self, broken: bool) -> None:
        """While broken, nothing can be written, not even with the reserve given up."""


Case = Callable[[World], None]


def name(case: Case) -> str:
    """The case as a sentence, for a test's id."""
    return case.__name__


def where_there_never_was_one_it_is_absent(world: World) -> None:
    found = world.store().read()
    assert isinstance(found, JournalAbsent), found
    assert found.new_id
    assert world.moved_aside() == []


def what_was_written_is_read_by_the_next_process(world: World) -> None:
    for journal in (FIRST, LATER, LATER, FIRST):
        world.store().write(journal)
        assert world.store().read() == JournalRead(journal)


def what_cannot_be_read_is_moved_aside_and_kept(world: World) -> None:
    for data in (b"", b"\0" * 4096, b"{", b"null", encode(LATER)[:-1], _with_stage("unheard_of")):
        before = world.moved_aside()
        world.put(data)
        found = world.store().read()
        assert isinstance(found, JournalUnreadable), (data, found)
        assert found.new_id
        assert world.moved_aside() == [*before, data]
        again = world.store().read()
        assert isinstance(again, JournalUnreadable), "lost is not the same as never there"


def after_a_loss_a_new_journal_can_be_written(world: World) -> None:
    world.put(b"lost")
    world.store().read()
    world.store().write(FIRST)
    assert world.store().read() == JournalRead(FIRST)
    assert world.moved_aside() == [b"lost"]


def what_was_moved_aside_is_bounded_and_the_newest_is_kept(world: World) -> None:
    for number in range(40):
        world.put(b"broken %d" % number)
        world.store().read()
    kept = world.moved_aside()
    assert 6 <= len(kept) <= 20, len(kept)
    assert kept[-1] == b"broken 39"


def a_journal_of_a_newer_version_that_is_understood_is_read(world: World) -> None:
    newer = json.loads(encode(LATER)) | {"schema": 9, "mood": {"of": "the day"}}
    newer["attempt"]["patience"] = 3
    world.put(json.dumps(newer).encode())
    assert world.store().read() == JournalRead(replace(LATER, schema=9))
    assert world.moved_aside() == []


def where_the_disk_refuses_the_old_journal_stands(world: World) -> None:
    world.store().write(FIRST)
    world.break_disk(True)
    assert _refused(world.store(), LATER)
    assert world.store().read() == JournalRead(FIRST)
    world.break_disk(False)
    world.store().write(LATER)
    assert world.store().read() == JournalRead(LATER)


CASES: tuple[Case, ...] = (
    where_there_never_was_one_it_is_absent,
    what_was_written_is_read_by_the_next_process,
    what_cannot_be_read_is_moved_aside_and_kept,
    after_a_loss_a_new_journal_can_be_written,
    what_was_moved_aside_is_bounded_and_the_newest_is_kept,
    a_journal_of_a_newer_version_that_is_understood_is_read,
    where_the_disk_refuses_the_old_journal_stands,
)


def _with_stage(stage: str) -> bytes:
    return encode(LATER).replace(b'"cutover"', f'"{stage}"'.encode())


def _refused(store: JournalStore, journal: Journal) -> bool:
    try:
        store.write(journal)
    except JournalUnwritable:
        return True
    return False
