"""A journal in memory, which keeps the promises of `ports.JournalStore`."""

from dataclasses import dataclass, field

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

MAX_BYTES = 64 * 1024
ASIDE_KEPT = 8


@dataclass
class FakeJournal:
    """It survives its process: give the same one to the next.

    Set `data` to what a bad disk would leave there, and `unwritable` to refuse every write.
    """

    data: bytes | None = None
    unwritable: bool = False
    aside: list[bytes] = field(default_factory=list)
    writes: list[Journal] = field(default_factory=list)
    """All that were made durable, in their order."""
    ids_given: int = 0

    def read(self) -> Found:
        if self.data is None:
            lost = JournalUnreadable if self.aside else JournalAbsent
            return lost(self._new_id())
        try:
            return JournalRead(decode(Journal, self.data, MAX_BYTES))
        except MalformedMessage:
            self.aside = [*self.aside, self.data][-ASIDE_KEPT:]
            self.data = None
            return JournalUnreadable(self._new_id())

    def write(self, journal: Journal) -> None:
        if self.unwritable:
            raise JournalUnwritable("the disk of this fake is broken; set unwritable to False")
        self.data = encode(journal)
        self.writes.append(journal)

    @property
    def last(self) -> Journal | None:
        return self.writes[-1] if self.writes else None

    def _new_id(self) -> str:
        self.ids_given += 1
        return f"journal-{self.ids_given}"
