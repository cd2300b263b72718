"""The journal's contract, held by the file on disk, the fake, and the simulated disk."""

import errno
import re
from itertools import count
from pathlib import Path

import pytest

from harmony_fleet.agent.upgrade.durable import temporary
from harmony_fleet.agent.upgrade.journal import FILE_NAME, FileJournal
from harmony_fleet.simulation.disk import JOURNAL, UNREADABLE, Disk
from harmony_fleet.simulation.files import DiskJournal
from harmony_fleet.testing import journal_suite
from harmony_fleet.testing.fake_journal import FakeJournal
from harmony_fleet.testing.journal_suite import Case, World


class FileWorld:
    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self.ids = count(1)

    def store(self) -> FileJournal:
        return FileJournal(self.path.parent, lambda: f"id-{next(self.ids)}")

    def put(self, data: bytes) -> None:
        self.path.write_bytes(data)

    def moved_aside(self) -> list[bytes]:
        found = {
            int(match[1]): path.read_bytes()
            for path in self.path.parent.iterdir()
            if (match := re.fullmatch(r"journal\.json\.unreadable-(\d+)", path.name))
        }
        return [found[number] for number in sorted(found)]

    def break_disk(self, broken: bool) -> None:
        """A folder stands where the temporary file would."""
        obstacle = temporary(self.path)
        if broken:
            obstacle.mkdir()
        else:
            obstacle.rmdir()


class FakeWorld:
    def __init__(self) -> None:
        self.journal = FakeJournal()

    def store(self) -> FakeJournal:
        return self.journal

    def put(self, data: bytes) -> None:
        self.journal.data = data

    def moved_aside(self) -> list[bytes]:
        return self.journal.aside

    def break_disk(self, broken: bool) -> None:
        self.journal.unwritable = broken


class SimulatedWorld:
    def __init__(self) -> None:
        self.disk = Disk()
        self.ids = count(1)

    def store(self) -> DiskJournal:
        return DiskJournal(self.disk, lambda: f"id-{next(self.ids)}")

    def put(self, data: bytes) -> None:
        self.disk.put(JOURNAL, data)

    def moved_aside(self) -> list[bytes]:
        kept = self.disk.seen(UNREADABLE)
        return [one for one in kept if isinstance(one, bytes)] if isinstance(kept, tuple) else []

    def break_disk(self, broken: bool) -> None:
        self.disk.before = _refuse if broken else _let


def _refuse(_change: str) -> None:
    raise OSError(errno.ENOSPC, "no space")


def _let(_change: str) -> None:
    pass


@pytest.fixture(params=["file", "fake", "simulated"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    match request.param:
        case "fake":
            return FakeWorld()
        case "simulated":
            return SimulatedWorld()
        case _:
            return FileWorld(tmp_path)


@pytest.mark.parametrize("case", journal_suite.CASES, ids=journal_suite.name)
def test_a_journal_store(case: Case, world: World) -> None:
    case(world)
