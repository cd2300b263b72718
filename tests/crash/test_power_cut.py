"""A power cut at every instant of an upgrade, with every legal loss of what was not synced yet.

Then, as a recovery writes to the disk as well, a second one at every instant of that; and one at
every instant of a start that found what a killed agent had left unsynced. `make test` takes a
sample of each, `make test-full` all.
"""

import os
import pickle
import random
import shutil
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from tests.crash.disk import Disk, File, Operation, Sync, Write
from tests.crash.in_process import recorded
from tests.crash.judging import (
    JOURNAL,
    Key,
    Loss,
    losses,
    refuse_another_story,
    start_in_one_story,
)
from tests.crash.recorder import FOLDERS, operations, snapshot_of, traced
from tests.crash.start import Device
from tests.crash.stories import PLOTS, TIMING, Recording, recordings

from harmony_fleet.agent.upgrade.events import JournalRead
from harmony_fleet.agent.upgrade.record import Journal

T = TypeVar("T")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

SAMPLE = 30
"""Of each plot, where not all are tried."""


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "root", recordings().versions, TIMING.versions_kept)


def chosen(plot: str, found: Sequence[T], what: str) -> Sequence[T]:
    taken = found
    if not os.environ.get("HARMONY_FLEET_FULL"):
        taken = random.Random(plot).sample(found, min(SAMPLE, len(found)))
    print(f"{plot}, {what}: {len(taken)} of {len(found)} states")  # noqa: T201
    return taken


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
    plot: str, device: Device
) -> None:
    recording = recordings().by_plot[plot]
    every = list(losses(Disk(FOLDERS, recording.before), recording.operations))
    for loss in chosen(plot, every, "a cut"):
        device.lay(loss.snapshot)
        start_in_one_story(device, loss)
    assert len(every) > 50


@dataclass(frozen=True, slots=True)
class Again:
    """What a power cut leaves of a start; and the journal that this start had found."""

    loss: Loss
    journal: Journal | None


@pytest.mark.parametrize("plot", PLOTS)
def test_whatever_a_second_power_cut_leaves_of_the_recovery_the_story_stays_the_same(
    plot: str, device: Device
) -> None:
    recording = recordings().by_plot[plot]
    every = list(losses(Disk(FOLDERS, recording.before), recording.operations))
    found = cut_in_recovery(chosen(plot, every, "the first of two cuts"), device)
    for again in chosen(plot, found, "the second of two cuts"):
        device.lay(again.loss.snapshot)
        _, started = start_in_one_story(device, again.loss)
        refuse_another_story(again.journal, started)
    assert len(found) > SAMPLE


def cut_in_recovery(firsts: Sequence[Loss], device: Device) -> list[Again]:
    """Each state of the disk and each story that it must go on with, once."""
    found: dict[tuple[Key, object], Again] = {}
    for loss in firsts:
        device.lay(loss.snapshot)
        journal, done = recorded_start(device)
        for second in losses(Disk(FOLDERS, loss.snapshot), done):
            again = Again(second, journal)
            found.setdefault((second.key, journal and journal.attempt), again)
    return list(found.values())


@pytest.mark.parametrize("plot", PLOTS)
def test_a_power_cut_while_a_killed_agent_comes_back_leaves_one_consistent_story(
    plot: str, device: Device
) -> None:
    """What the killed one had not synced is there, and may still be lost."""
    recording = recordings().by_plot[plot]
    kills = chosen(plot, range(len(recording.operations)), "a kill")
    found = cut_after_kill(recording, frozenset(kills), device)
    for loss in chosen(plot, found, "a kill and a cut"):
        device.lay(loss.snapshot)
        start_in_one_story(device, loss)
    assert len(found) > SAMPLE


def cut_after_kill(recording: Recording, kills: frozenset[int], device: Device) -> list[Loss]:
    """By the number of the operation after which it is killed."""
    found: dict[Key, Loss] = {}
    disk = Disk(FOLDERS, recording.before)
    for number, operation in enumerate(recording.operations):
        disk.do(operation)
        if number not in kills:
            continue
        device.lay(disk.now())
        _, done = recorded_start(device)
        for loss in losses(deepcopy(disk), done):
            known = found.setdefault(loss.key, loss)
            if loss.durable_seq > known.durable_seq:
                found[loss.key] = loss
    return list(found.values())


def recorded_start(device: Device) -> tuple[Journal | None, list[Operation]]:
    """The journal that it finds, and all that it does to the disk; checked against the disk."""
    found = device.journal.read()
    before = snapshot_of(device.root)
    with recorded(device.root) as done:
        device.start()
    disk = Disk(FOLDERS, before)
    for operation in done:
        disk.do(operation)
    assert disk.now() == snapshot_of(device.root), "it wrote past its recorder"
    return (found.journal if isinstance(found, JournalRead) else None), done


@pytest.mark.parametrize("plot", ["rolled back by the guard", "from a plain file and back"])
def test_a_start_is_recorded_in_this_process_as_the_kernel_sees_it(
    plot: str, device: Device, tmp_path: Path
) -> None:
    loss = in_the_middle_of_a_revert(recordings().by_plot[plot])
    device.lay(loss.snapshot)
    _, here = recorded_start(device)
    device.lay(loss.snapshot)
    (tmp_path / "device").write_bytes(pickle.dumps(device))
    with traced(tmp_path / "trace", sys.executable, "-c", START, str(tmp_path / "device")) as one:
        assert one.wait(60) == 0
    kernel = operations(tmp_path / "trace", device.root, loss.snapshot)
    assert [without_chance(one) for one in here] == [without_chance(one) for one in kernel]


START = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')).start()"


def in_the_middle_of_a_revert(recording: Recording) -> Loss:
    """Its link still leads to the new version."""
    found = losses(Disk(FOLDERS, recording.before), recording.operations)
    return next(loss for loss in found if b'"stage":"cutover"' in journal_bytes(loss))


def journal_bytes(loss: Loss) -> bytes:
    entry = loss.snapshot.get(JOURNAL)
    return entry.content if isinstance(entry, File) else b""


def without_chance(operation: Operation) -> Operation:
    """The reserve is filled with random bytes."""
    if isinstance(operation, Write) and "reserve" in operation.path:
        return replace(operation, data=b"")
    return operation
