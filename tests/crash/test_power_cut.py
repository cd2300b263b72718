"""A power cut at every instant of an upgrade, with every legal loss of what was not synced yet."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.crash.disk import Disk, File, Link, Snapshot, Sync
from tests.crash.recorder import FOLDERS
from tests.crash.start import Device, Started
from tests.crash.stories import PLOTS, TIMING, Recording, Recordings, record

from harmony_fleet.agent.upgrade.events import JournalAbsent, JournalRead
from harmony_fleet.agent.upgrade.record import Journal, Stage
from harmony_fleet.agent.upgrade.states import Idle, Probation
from harmony_fleet.contracts import codec

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

JOURNAL = "var/lib/fleet-agent/journal.json"
EXECUTABLE = 0o111


@cache
def recordings() -> Recordings:
    with TemporaryDirectory() as folder:
        return record(Path(folder))


@dataclass(frozen=True, slots=True)
class Loss:
    """One state of the folders, and the least that must be in it."""

    snapshot: Snapshot
    durable_seq: int
    """Of the newest journal that was durable before the cut; -1: none was."""


def losses(recording: Recording) -> Iterator[Loss]:
    """Every state that a power cut may leave, each once."""
    disk = Disk(FOLDERS, recording.before)
    found: dict[tuple[object, ...], Loss] = {}
    for operation in recording.operations:
        disk.do(operation)
        seq = _seq(disk)
        for snapshot in disk.crash_states():
            key = tuple(sorted(snapshot.items()))
            known = found.get(key)
            if known is None or seq > known.durable_seq:
                found[key] = Loss(snapshot, seq)
    yield from found.values()


def _seq(disk: Disk) -> int:
    entry = disk.durable(JOURNAL)
    return codec.decode(Journal, entry.content, 1 << 16).seq if isinstance(entry, File) else -1


@pytest.mark.parametrize("plot", PLOTS)
def test_the_model_of_the_disk_ends_where_the_disk_ended(plot: str) -> None:
    recording = recordings().by_plot[plot]
    disk = Disk(FOLDERS, recording.before)
    for operation in recording.operations:
        disk.do(operation)
    assert disk.now() == recording.after
    assert sum(isinstance(operation, Sync) for operation in recording.operations) > 10


@pytest.mark.parametrize("plot", PLOTS)
def test_whatever_a_power_cut_leaves_the_device_starts_in_one_consistent_story(
    plot: str, tmp_path: Path
) -> None:
    device = Device(tmp_path, recordings().versions, TIMING.versions_kept)
    count = 0
    for loss in losses(recordings().by_plot[plot]):
        device.lay(loss.snapshot)
        refuse_what_was_never_verified(device, loss.snapshot)
        journal = journal_in(device, loss)
        first = device.start()
        refuse_another_story(journal, first)
        refuse_what_is_left(device, first)
        again = device.start()
        assert (again.running, type(again.state)) == (first.running, type(first.state))
        count += 1
    print(f"{plot}: {count} states")  # noqa: T201
    assert count > 50


def refuse_what_was_never_verified(device: Device, snapshot: Snapshot) -> None:
    for name, entry in snapshot.items():
        if isinstance(entry, File) and entry.mode & EXECUTABLE:
            assert entry.content in device.versions, f"{name} can be executed, and is not whole"
        if isinstance(entry, Link):
            program = (device.root / name).resolve()
            assert program.is_file(), f"{name} leads nowhere"
            assert program.read_bytes() in device.versions, f"{name} leads to what is not whole"


def journal_in(device: Device, loss: Loss) -> Journal | None:
    """The journal as a start finds it: the one that was durable, or a later one, and whole."""
    found = device.journal.read()
    if isinstance(found, JournalAbsent):
        assert loss.durable_seq == -1, "the journal was lost"
        return None
    assert isinstance(found, JournalRead), "the journal cannot be read"
    assert found.journal.seq >= loss.durable_seq, "the journal is older than one that was durable"
    return found.journal


def refuse_another_story(journal: Journal | None, started: Started) -> None:
    """What became of the journal's attempt, and which version runs."""
    before = journal.open_attempt if journal else None
    after = started.state.journal.attempt
    if journal is None or before is None:
        assert isinstance(started.state, Idle)
        assert started.starts == 1
        return
    assert after is not None
    assert after.upgrade_id == before.upgrade_id
    ends: dict[Stage, tuple[type[Idle | Probation], Stage, str]] = {
        Stage.STAGING: (Idle, Stage.FAILED, before.from_version),
        Stage.VERIFYING: (Idle, Stage.FAILED, before.from_version),
        Stage.CUTOVER: (Idle, Stage.ROLLED_BACK, before.from_version),
        Stage.REVERTING: (Idle, Stage.ROLLED_BACK, before.from_version),
        Stage.COMMITTED: (Probation, Stage.COMMITTED, before.to_version),
    }
    assert (type(started.state), after.stage, started.running) == ends[before.stage]


def refuse_what_is_left(device: Device, started: Started) -> None:
    assert device.running() == started.running
    open_attempt = started.state.journal.open_attempt
    assert (device.paths.state / "attempt-open").exists() == (open_attempt is not None)
