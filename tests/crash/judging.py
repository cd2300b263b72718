"""What must be true of a device after a power cut: before its start, and once it has started."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from demo import at_rest
from tests.crash.disk import Disk, File, Link, Operation, Snapshot
from tests.crash.start import AT_REST, Device, Started

from harmony_fleet.agent.upgrade.durable import temporary
from harmony_fleet.agent.upgrade.events import JournalAbsent, JournalRead
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.agent.upgrade.states import Idle, Probation
from harmony_fleet.contracts import codec

JOURNAL = "var/lib/fleet-agent/journal.json"
EXECUTABLE = 0o111

Key = tuple[tuple[str, object], ...]
Story = tuple[str | None, type[Idle | Probation], Stage, str]
"""Of which upgrade, how the device rests, what the journal says of it, and what runs."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One state of the folders, and the least that must be in it."""

    snapshot: Snapshot
    durable_seq: int
    """Of the newest journal that was durable before the cut; -1: none was."""

    @property
    def key(self) -> Key:
        return tuple(sorted(self.snapshot.items()))


def losses(disk: Disk, operations: Iterable[Operation]) -> Iterator[Loss]:
    """Every state that a power cut during the operations may leave, each once. Changes `disk`."""
    found: dict[Key, Loss] = {}
    for operation in operations:
        disk.do(operation)
        seq = durable_seq(disk)
        for snapshot in disk.crash_states():
            loss = Loss(snapshot, seq)
            known = found.get(loss.key)
            if known is None or seq > known.durable_seq:
                found[loss.key] = loss
    yield from found.values()


def durable_seq(disk: Disk) -> int:
    entry = disk.durable(JOURNAL)
    return codec.decode(Journal, entry.content, 1 << 16).seq if isinstance(entry, File) else -1


def start_in_one_story(device: Device, loss: Loss) -> tuple[Journal | None, Started]:
    """The folders hold this loss: it starts, and starts once more, and all is as it must be."""
    refuse_what_was_never_verified(device, loss.snapshot)
    journal = journal_in(device, loss)
    first = device.start()
    refuse_another_story(journal, first)
    refuse_what_is_left(device, first)
    again = device.start()
    assert (again.running, type(again.state)) == (first.running, type(first.state))
    return journal, first


def refuse_what_was_never_verified(device: Device, snapshot: Snapshot) -> None:
    for name, entry in snapshot.items():
        if isinstance(entry, File) and entry.mode & EXECUTABLE:
            assert entry.content in device.versions, f"{name} can be executed, and is not whole"
        if isinstance(entry, Link):
            program = (device.root / name).resolve()
            if PurePosixPath(name).name.startswith(".") and not program.exists():
                continue  # left over under a name that nobody follows, and that is replaced
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
    """What became of the attempt of a journal that it once had, and which version runs."""
    if journal is None or journal.attempt is None:
        assert isinstance(started.state, Idle)
        assert started.state.journal.attempt is None
        return
    if not journal.attempt.stage.open:
        assert started.starts == 1
    assert isinstance(started.state, AT_REST)
    after = started.state.journal.attempt
    assert after is not None
    told = after.upgrade_id, type(started.state), after.stage, started.running
    assert told == story_of(journal.attempt)


def story_of(attempt: Attempt) -> Story:
    old, new = attempt.from_version, attempt.to_version
    ends: dict[Stage, tuple[type[Idle | Probation], Stage, str]] = {
        Stage.STAGING: (Idle, Stage.FAILED, old),
        Stage.VERIFYING: (Idle, Stage.FAILED, old),
        Stage.CUTOVER: (Idle, Stage.ROLLED_BACK, old),
        Stage.REVERTING: (Idle, Stage.ROLLED_BACK, old),
        Stage.COMMITTED: (Probation, Stage.COMMITTED, new),
        Stage.SUCCEEDED: (Idle, Stage.SUCCEEDED, new),
        Stage.FAILED: (Idle, Stage.FAILED, old),
        Stage.ROLLED_BACK: (Idle, Stage.ROLLED_BACK, old),
    }
    return (attempt.upgrade_id, *ends[attempt.stage])


def refuse_what_is_left(device: Device, started: Started) -> None:
    assert device.running() == started.running
    open_attempt = started.state.journal.open_attempt
    assert (device.paths.state / "attempt-open").exists() == (open_attempt is not None)
    if open_attempt is None:
        marks = (device.paths.state / name for name in at_rest.MARKS)
        left = [temporary(path) for path in (device.paths.link, device.paths.previous, *marks)]
        assert not [path.name for path in left if os.path.lexists(path)]
