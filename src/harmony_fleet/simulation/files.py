"""`ports.Versions` and `ports.JournalStore` on the simulated disk, step by step as on a real one.

Each does its steps in the order of `layout` and `journal`, and keeps the contracts that they keep.
A program's file is known by the SHA-256 of its bytes; `TORN` stands for any that are none.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harmony_fleet.agent.upgrade.events import Found, JournalAbsent, JournalRead, JournalUnreadable
from harmony_fleet.agent.upgrade.journal import MAX_BYTES, UNREADABLE_KEPT
from harmony_fleet.agent.upgrade.ports import JournalUnwritable, UpgradeFault
from harmony_fleet.agent.upgrade.pruning import superfluous
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.codec import decode
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.simulation.disk import (
    ATTEMPT_OPEN,
    BIN,
    CONTROLS,
    EXPIRED,
    JOURNAL,
    LIB,
    LINK,
    PREVIOUS,
    RESERVE,
    STATE,
    UNREADABLE,
    VERSIONS,
    Disk,
    Value,
    file_of,
)

PREFIX = "fleet-agent-v"


@dataclass(frozen=True, slots=True)
class Program:
    """A regular file at the link's place, as a plain install leaves it, by its SHA-256."""

    sha256: str


@dataclass
class DiskVersions:
    """`ports.Versions`, as the process of version `running` has it."""

    disk: Disk
    running: str
    held_open: str
    """SHA-256 of the file that this process runs from, which it holds open."""
    kept: int = 3

    def link_version(self) -> str | None:
        return self._version_behind(LINK)

    def link_gone(self) -> bool:
        return self.disk.seen(LINK) is None

    def previous_version(self) -> str | None:
        return self._version_behind(PREVIOUS)

    def capture_revert_target(self, version: str) -> None:
        place = self.disk.seen(LINK)
        if not isinstance(place, Program):
            return
        kept = self.disk.seen(file_of(version))
        if kept is not None and kept != place.sha256:
            raise UpgradeFault(CauseKind.DEVICE_FAULT, f"another program is kept as {version}")
        with _faults(f"keep the installed program as {version}"):
            self._replace(file_of(version), place.sha256, VERSIONS)

    def check_target(self, version: str, sha256: str | None) -> None:
        if self._is_sound(self.disk.seen(file_of(version)), sha256):
            with _faults("sync"):
                self.disk.sync(VERSIONS)
            return
        if version == self.running and self._is_sound(self.held_open, sha256):
            with _faults(f"write {version} anew", CauseKind.ROLLBACK_TARGET_DAMAGED):
                self._replace(file_of(version), self.held_open, VERSIONS)
            return
        raise UpgradeFault(CauseKind.ROLLBACK_TARGET_DAMAGED, f"version {version} is damaged")

    def point_previous(self, version: str) -> None:
        self._point(PREVIOUS, version, LIB)

    def swap_link(self, version: str) -> None:
        self._point(LINK, version, BIN)

    def open_attempt(self) -> None:
        with _faults("create attempt-open"):
            self._replace(ATTEMPT_OPEN, True, STATE)

    def close_attempt(self) -> None:
        with _faults("remove attempt-open"):
            for name in (EXPIRED, CONTROLS, ATTEMPT_OPEN):
                self.disk.remove(name)
            self.disk.sync(STATE)

    def prune(self, keep: frozenset[str]) -> None:
        if self.disk.seen(ATTEMPT_OPEN) is not None:
            return
        linked = {self.link_version(), self.previous_version(), self.running}
        needed = keep.union(version for version in linked if version)
        names = [PREFIX + version for version in self.disk.listed(VERSIONS)]
        for name in superfluous(names, PREFIX, needed, self.kept):
            try:
                self.disk.remove(file_of(name.removeprefix(PREFIX)))
            except OSError:
                return

    def make_durable(self) -> None:
        with _faults("sync"):
            self.disk.sync(STATE)
            self.disk.sync(BIN)

    def land(self, version: str, sha256: str) -> None:
        """What staging has verified gets its name. Raises UpgradeFault."""
        with _faults(f"land {version}"):
            self._replace(file_of(version), sha256, VERSIONS)

    def _version_behind(self, link: str) -> str | None:
        version = self.disk.seen(link)
        return version if isinstance(version, str) else None

    def _point(self, link: str, version: str, folder: str) -> None:
        if self.disk.seen(file_of(version)) is None:  # by its looks alone, as the layout's
            raise UpgradeFault(CauseKind.DEVICE_FAULT, f"there is no file of {version}")
        with _faults(f"replace {link}"):
            if self._version_behind(link) != version:
                backed(self.disk, lambda: self.disk.put(link, version))
            self.disk.sync(folder)

    def _replace(self, name: str, value: object, folder: str) -> None:
        self.disk.put(name, value)
        self.disk.sync(folder)

    def _is_sound(self, found: object, sha256: str | None) -> bool:
        return isinstance(found, str) and sha256 in {None, found}


@dataclass
class DiskJournal:
    """`ports.JournalStore`."""

    disk: Disk
    new_id: Callable[[], str]

    def read(self) -> Found:
        found = self.disk.seen(JOURNAL)
        journal = _journal(found)
        if journal is not None:
            return JournalRead(journal)
        if found is not None:
            self._move_aside(found)
        elif self.disk.seen(UNREADABLE) is None:
            return JournalAbsent(self.new_id())
        return JournalUnreadable(self.new_id())

    def write(self, journal: Journal) -> None:
        try:
            backed(self.disk, lambda: self.disk.put(JOURNAL, journal))
            self.disk.sync(STATE)
        except OSError as error:
            raise JournalUnwritable(f"the simulated disk refuses it: {error}") from error

    def _move_aside(self, found: Value) -> None:
        """One rename on a real disk, two changes here; what is kept comes first: it is no loss."""
        kept = self.disk.seen(UNREADABLE)
        before = kept if isinstance(kept, tuple) else ()
        try:
            self.disk.put(UNREADABLE, (*before, found)[-UNREADABLE_KEPT:])
            self.disk.remove(JOURNAL)
            self.disk.sync(STATE)
        except OSError:
            return


def _journal(found: Value) -> Journal | None:
    """What is written here is kept as it is; bytes are what somebody else has put there."""
    if isinstance(found, Journal):
        return found
    if not isinstance(found, bytes):
        return None
    try:
        return decode(Journal, found, MAX_BYTES)
    except MalformedMessage:
        return None


def backed(disk: Disk, write: Callable[[], None]) -> None:
    """Where the disk is full, the reserve is given up for it, once."""
    try:
        write()
    except OSError as error:
        if error.errno != errno.ENOSPC or disk.seen(RESERVE) is None:
            raise
        del disk.names[RESERVE]
        write()


@contextmanager
def _faults(doing: str, refused: CauseKind = CauseKind.DEVICE_FAULT) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno == errno.ENOSPC and refused is CauseKind.DEVICE_FAULT
        raise UpgradeFault(
            CauseKind.DISK_FULL if full else refused, f"could not {doing}: {error}"
        ) from error
