"""The disk steps of real upgrades, done again on a real ext4 that is cut off between two of them.

    unshare --mount … python -m tests.crash.real_cuts CASES FOLDER

What ext4 has kept must be one of the states that the model allows; the agent's start on it is
judged as in the model. In every other case the start is cut off as well, and starts again.
"""

import os
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.disk import (
    FILE_MODE,
    Chmod,
    Create,
    Disk,
    Operation,
    Rename,
    Snapshot,
    Symlink,
    Sync,
    Truncate,
    Unlink,
    Write,
)
from tests.crash.ext4 import Ext4
from tests.crash.ext4 import Loss as Lost
from tests.crash.in_process import recorded
from tests.crash.judging import (
    Loss,
    durable_seq,
    refuse_another_story,
    refuse_what_was_never_verified,
    start_in_one_story,
)
from tests.crash.recorder import FOLDERS, snapshot_of
from tests.crash.start import Device

from harmony_fleet.agent.upgrade.events import JournalRead


@dataclass(frozen=True, slots=True)
class Cut:
    """After so many steps, and after that part of the recovery's steps, if that is cut off, too."""

    plot: str
    before: Snapshot
    steps: tuple[Operation, ...]
    lost: Lost
    of_recovery: float | None

    def __str__(self) -> str:
        return f"{self.plot}, {len(self.steps)} steps, {self.lost.name}, {self.of_recovery}"


@dataclass(frozen=True, slots=True)
class Cuts:
    versions: dict[bytes, str]
    kept: int
    cuts: tuple[Cut, ...]


def play(cut: Cut, disk: Ext4, device: Device, beside: Device) -> None:
    """`beside`: on a disk that is not cut off, to find out what the recovery does."""
    loss = cut_off(disk, device, cut.before, cut.steps, cut.lost)
    if cut.of_recovery is None:
        start_in_one_story(device, loss)
        return
    refuse_what_was_never_verified(device, loss.snapshot)
    beside.lay(loss.snapshot)
    found = beside.journal.read()
    with recorded(beside.root) as steps:
        beside.start()
    done = steps[: round(cut.of_recovery * len(steps))]
    second = cut_off(disk, device, loss.snapshot, done, cut.lost)
    _, started = start_in_one_story(device, second)
    refuse_another_story(found.journal if isinstance(found, JournalRead) else None, started)


def cut_off(
    disk: Ext4, device: Device, before: Snapshot, steps: Sequence[Operation], lost: Lost
) -> Loss:
    """What is left after those steps. It is mounted before and after."""
    device.lay(before)
    disk.sync()
    model = Disk(FOLDERS, before)
    for operation in steps:
        do(device.root, operation)
        model.do(operation)
    disk.cut_power(lost)
    left = snapshot_of(device.root)
    legal = any(left == allowed for allowed in model.crash_states())
    assert legal, f"the model does not allow what ext4 has left: {sorted(left)}"
    return Loss(left, durable_seq(model))


def do(root: Path, operation: Operation) -> None:
    path = root / operation.path
    match operation:
        case Create(_, mode):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode & FILE_MODE))
            path.chmod(mode)
        case Write(_, offset, data):
            with path.open("r+b", buffering=0) as file:
                file.seek(offset)
                file.write(data)
        case Truncate(_, size_bytes):
            os.truncate(path, size_bytes)
        case Chmod(_, mode):
            path.chmod(mode)
        case Symlink(_, target):
            path.symlink_to(target)
        case Rename(_, to):
            path.rename(root / to)
        case Unlink():
            path.unlink()
        case Sync():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def main(file: Path, folder: Path) -> None:
    told: Cuts = pickle.loads(file.read_bytes())  # noqa: S301 - the test's own
    beside = Device(folder / "beside", told.versions, told.kept)
    for cut in told.cuts:
        disk = Ext4.make(folder)
        device = Device(disk.root, told.versions, told.kept)
        disk.mount()
        try:
            play(cut, disk, device, beside)
        except BaseException as error:
            error.add_note(str(cut))
            raise
        finally:
            disk.unmount()
    print(len(told.cuts))  # noqa: T201


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
