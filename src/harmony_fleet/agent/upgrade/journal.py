"""The journal on disk: one JSON file, replaced whole, and never lost without a trace.

Rules
1. What cannot be read is moved aside and kept, never overwritten by reading it.
2. Reading never raises: a device whose journal is damaged must still start.
3. A full disk must not keep a revert from being journaled: the reserve is given up first.

What the fields mean, and how they may change, is `record`'s.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harmony_fleet.agent.upgrade import durable
from harmony_fleet.agent.upgrade.events import (
    Found,
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
)
from harmony_fleet.agent.upgrade.ports import JournalUnwritable
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.identity import MAX_COUNT

FILE_NAME = "journal.json"
RESERVE_NAME = "reserve"
MAX_BYTES = 64 * 1024
"""The largest that `record` makes is about 20 KiB; a newer version may add to it."""
MAX_SEQ = MAX_COUNT // 2
"""No device makes so many statements: the file is damaged, and counting on would not go far."""
UNREADABLE_KEPT = 8

_ASIDE = re.compile(re.escape(FILE_NAME) + r"\.unreadable-([1-9][0-9]{0,8})", re.ASCII)


def reserve_in(folder: Path) -> durable.Reserve:
    """What the journal and the link may take where the disk is full."""
    return durable.Reserve(folder / RESERVE_NAME)


@dataclass(frozen=True)
class FileJournal:
    """`journal.json` in `folder`, of which this is the only writer.

    Without that folder there is none, and none can be written.
    """

    folder: Path
    new_id: Callable[[], str]
    write_file: Callable[[Path, bytes], None] = durable.write_file

    @property
    def path(self) -> Path:
        return self.folder / FILE_NAME

    def read(self) -> Found:
        try:
            with self.path.open("rb") as file:
                return JournalRead(_decoded(file.read(MAX_BYTES + 1)))
        except FileNotFoundError:
            # Moved aside, and the power went before a fresh one was written: not a new device.
            lost = JournalUnreadable if self._kept() else JournalAbsent
            return lost(self.new_id())
        except (OSError, MalformedMessage):
            self._move_aside()
            return JournalUnreadable(self.new_id())

    def write(self, journal: Journal) -> None:
        data = _encoded(journal)
        reserve = reserve_in(self.folder)
        try:
            reserve.backs(lambda: self.write_file(self.path, data))
        except OSError as error:
            raise JournalUnwritable(
                f"could not write {self.path}: {error.strerror or error}; "
                "free some space on its disk, or make it writable"
            ) from error
        reserve.refill()

    def _move_aside(self) -> None:
        """Where that fails it stays where it is, and is found unreadable again."""
        with suppress(OSError):
            reserve_in(self.folder).backs(self._rename)
            durable.sync(self.folder)
        with suppress(OSError):
            for number in self._kept()[:-UNREADABLE_KEPT]:
                self._aside(number).unlink()

    def _rename(self) -> None:
        newest = max(self._kept(), default=0)
        self.path.rename(self._aside(newest + 1))

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{FILE_NAME}.unreadable-{number}")

    def _kept(self) -> list[int]:
        """The numbers of those moved aside, oldest first."""
        with suppress(FileNotFoundError):
            found = (_ASIDE.fullmatch(entry.name) for entry in self.folder.iterdir())
            return sorted(int(match[1]) for match in found if match)
        return []


def _decoded(data: bytes) -> Journal:
    journal = decode(Journal, data, MAX_BYTES)
    if journal.seq > MAX_SEQ:
        raise MalformedMessage(f"seq {journal.seq}: {MAX_SEQ} is the most that a device can reach")
    return journal


def _encoded(journal: Journal) -> bytes:
    try:
        data = encode(journal)
    except ValueError as error:
        raise JournalUnwritable(f"the journal cannot be written as JSON: {error}") from error
    if len(data) > MAX_BYTES:
        raise JournalUnwritable(f"a journal of {len(data)} bytes: {MAX_BYTES} is the most")
    return data
