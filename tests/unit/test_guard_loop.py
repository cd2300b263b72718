"""The guard's loop and its commands: over fakes, and over the files of a device."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from tests.unit.upgrade_cases import DISK, Device, attempt_in, kind_and_stage

from harmony_fleet.agent.upgrade import durable
from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.deadman import Bounds
from harmony_fleet.agent.upgrade.events import (
    ExpiryMark,
    JournalRead,
)
from harmony_fleet.agent.upgrade.guard import GuardPorts, tail
from harmony_fleet.agent.upgrade.guard_command import (
    CONTROLS,
    LEAVE_UNIT,
    MARK,
    RESTART_UNIT,
    Files,
    dry_run,
    expired,
    run_guard,
)
from harmony_fleet.agent.upgrade.journal import FileJournal
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, JournalUnwritable
from harmony_fleet.agent.upgrade.record import Journal, Stage, after_loss, end
from harmony_fleet.agent.upgrade.states import (
    GuardDone,
)
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.upgrade import Cause, CauseKind, cause
from harmony_fleet.testing.fake_clock import FakeClock
from harmony_fleet.testing.fake_executor import FakeExecutor
from harmony_fleet.testing.fake_journal import FakeJournal
from harmony_fleet.testing.fake_versions import FakeFile
from harmony_fleet.testing.programs import write_program
from harmony_fleet.testing.upgrade_samples import (
    ID,
    IDLE,
    NEW,
    NOW,
    OLD,
    OTHER_ID,
    STARTS_ALLOWED,
    journal_in,
)

NO_CONTACT = cause(CauseKind.NO_CONTACT, "the control had contact twice")
BOUNDS = Bounds(probation_s=600.0, spacing_s=90.0, outage_s=86_400.0)

# Over fakes


def device_in(stage: Stage, link: str = NEW, **changes: object) -> Device:
    """In the middle of the upgrade ID, with the files of both versions."""
    device = Device(FakeExecutor(OLD, place=link, previous=OLD, attempt_open=True))
    device.executor.files[NEW] = FakeFile(b"program")
    changes.setdefault("target_sha256", device.executor.files[OLD].sha256)
    device.journal.write(journal_in(stage, **changes))
    return device


def test_an_upgrade_that_nobody_committed_is_reverted_on_the_disk_and_in_the_journal() -> None:
    device = device_in(Stage.CUTOVER)
    after = device.guard()
    assert isinstance(after, GuardDone)
    assert kind_and_stage(after) == (CauseKind.INTERRUPTED, Stage.ROLLED_BACK)
    assert after.journal == device.now
    assert device.executor.link_version() == OLD
    assert not device.executor.attempt_open
    stages = [journal.attempt.stage for journal in device.journal.writes if journal.attempt]
    assert stages == [Stage.CUTOVER, Stage.REVERTING, Stage.ROLLED_BACK]


def test_the_journal_and_the_links_folder_are_made_durable_before_anything_is_done() -> None:
    device = device_in(Stage.CUTOVER)
    device.guard()
    assert device.executor.calls[0] == ("make_durable",)


def test_the_candidate_is_left_alone() -> None:
    device = device_in(Stage.CUTOVER)
    device.guard()
    assert device.asked("stop_candidate") == device.asked("prune") == 0


def test_a_start_in_probation_is_counted_and_nothing_else_is_touched() -> None:
    device = device_in(Stage.COMMITTED, starts=1)
    device.clock.seconds = 2000.0
    device.guard()
    assert device.now == journal_in(
        Stage.COMMITTED,
        starts=2,
        since=BootTime("boot-1", 2000.0),
        target_sha256=device.executor.files[OLD].sha256,
    )
    assert (device.executor.link_version(), device.executor.attempt_open) == (NEW, True)


def test_a_commit_without_its_link_is_swapped_again() -> None:
    device = device_in(Stage.COMMITTED, link=OLD)
    device.guard()
    assert device.executor.link_version() == NEW


def test_a_commit_whose_link_the_disk_refuses_is_left_to_the_primary() -> None:
    device = device_in(Stage.COMMITTED, link=OLD)
    device.executor.faults["swap_link"] = DISK
    assert isinstance(device.guard(), GuardDone)
    assert device.executor.link_version() == OLD


def test_a_mark_of_the_dead_man_timer_rolls_back() -> None:
    device = device_in(Stage.COMMITTED)
    after = device.guard(ExpiryMark(ID, NO_CONTACT))
    assert isinstance(after, GuardDone)
    assert kind_and_stage(after) == (CauseKind.NO_CONTACT, Stage.ROLLED_BACK)
    assert device.executor.link_version() == OLD


def test_a_damaged_target_changes_nothing_and_the_start_goes_on() -> None:
    device = device_in(Stage.COMMITTED, starts=STARTS_ALLOWED, target_sha256="e" * 64)
    writes = len(device.journal.writes)
    assert isinstance(device.guard(), GuardDone)
    assert len(device.journal.writes) == writes
    assert device.executor.link_version() == NEW


def test_a_link_that_cannot_be_put_back_stays_in_reverting_for_the_primary() -> None:
    device = device_in(Stage.CUTOVER)
    device.executor.faults["swap_link"] = DISK
    after = device.guard()
    assert isinstance(after, GuardDone)
    assert attempt_in(after).stage is Stage.REVERTING
    assert device.executor.link_version() == NEW


def test_an_attempt_open_that_cannot_be_removed_is_left_to_the_primary() -> None:
    device = device_in(Stage.CUTOVER)
    device.executor.faults["close_attempt"] = DISK
    after = device.guard()
    assert isinstance(after, GuardDone)
    assert attempt_in(after).stage is Stage.ROLLED_BACK
    assert device.executor.attempt_open


def test_a_journal_that_cannot_be_written_leaves_the_link_alone() -> None:
    device = device_in(Stage.CUTOVER)
    device.journal.unwritable = True
    with pytest.raises(JournalUnwritable):
        device.guard()
    assert device.executor.link_version() == NEW


def test_a_journal_lost_with_the_link_on_the_new_version_is_taken_as_committed_and_counted() -> (
    None
):
    device = device_in(Stage.COMMITTED)
    device.journal.data = b"\0" * 100
    device.guard()
    assert device.journal.aside == [b"\0" * 100]
    attempt = device.now.attempt
    assert attempt is not None
    assert (attempt.upgrade_id, attempt.from_version, attempt.starts) == (None, OLD, 1)


def test_an_ended_journal_is_not_even_written_again() -> None:
    device = device_in(Stage.ROLLED_BACK, link=OLD)
    device.guard()
    assert len(device.journal.writes) == 1


# Over the files of a device


@dataclass
class Disk:
    root: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(seconds=NOW.seconds))
    log: Callable[[], str] = str

    def __post_init__(self) -> None:
        versions, state = self.root / "versions", self.root / "state"
        for folder in (versions, state):
            folder.mkdir()
        self.paths = Paths(versions, self.root / "fleet-agent", versions / "previous", state)
        self.layout = Layout(FLEET_AGENT, self.paths)
        serial = count(1)
        self.journal = FileJournal(state, lambda: f"journal-{next(serial)}")
        self.sha256 = write_program(self.layout.path_of(OLD), "print('old')")
        write_program(self.layout.path_of(NEW), "print('new')")
        self.layout.swap_link(NEW)
        self.layout.point_previous(OLD)
        self.layout.open_attempt()
        self.files = Files(state)

    @property
    def ports(self) -> GuardPorts:
        return GuardPorts(OLD, self.layout, self.journal, self.clock, STARTS_ALLOWED, self.log)

    def write(self, stage: Stage, **changes: object) -> Journal:
        journal = journal_in(stage, **{"target_sha256": self.sha256, **changes})
        self.journal.write(journal)
        return journal

    def read(self) -> Journal:
        found = self.journal.read()
        assert isinstance(found, JournalRead)
        return found.journal

    def mark(self, upgrade_id: str, why: Cause) -> None:
        durable.write_file(self.files.state / MARK, encode(ExpiryMark(upgrade_id, why)))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def ending_of(journal: Journal) -> tuple[Stage, CauseKind | None]:
    assert journal.attempt is not None
    why = journal.attempt.cause
    return journal.attempt.stage, why.kind if why else None


def test_on_files_an_upgrade_that_nobody_committed_is_reverted(disk: Disk) -> None:
    disk.write(Stage.CUTOVER)
    assert run_guard(disk.ports, disk.files) == 0
    assert disk.layout.link_version() == OLD
    assert ending_of(disk.read()) == (Stage.ROLLED_BACK, CauseKind.INTERRUPTED)
    assert not (disk.files.state / "attempt-open").exists()


def test_on_files_a_crash_loop_is_rolled_back_with_the_last_log_lines(disk: Disk) -> None:
    disk.log = lambda: "Traceback: the last line"
    disk.write(Stage.COMMITTED, starts=STARTS_ALLOWED)
    assert run_guard(disk.ports, disk.files) == 0
    assert ending_of(disk.read()) == (Stage.ROLLED_BACK, CauseKind.CRASH_LOOP)
    assert "Traceback: the last line" in str(disk.read().attempt)


def test_on_files_the_log_is_not_even_read_where_no_upgrade_is_under_way(disk: Disk) -> None:
    def unread() -> str:
        raise AssertionError("a start of every day must not wait for the log")

    disk.log = unread
    disk.write(Stage.SUCCEEDED)
    assert run_guard(disk.ports, disk.files) == 0


def test_on_files_a_mark_is_obeyed_and_removed(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    disk.mark(ID, NO_CONTACT)
    assert run_guard(disk.ports, disk.files) == 0
    assert ending_of(disk.read()) == (Stage.ROLLED_BACK, CauseKind.NO_CONTACT)
    assert disk.files.mark() is None


def test_on_files_a_mark_that_cannot_be_read_is_no_mark(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    (disk.files.state / MARK).write_bytes(b"{")
    assert run_guard(disk.ports, disk.files) == 0
    assert ending_of(disk.read()) == (Stage.COMMITTED, None)


def test_on_files_a_damaged_target_leaves_the_new_version_in_place(disk: Disk) -> None:
    disk.write(Stage.COMMITTED, starts=STARTS_ALLOWED)
    disk.layout.path_of(OLD).write_bytes(b"cut short")
    assert run_guard(disk.ports, disk.files) == 0
    assert disk.layout.link_version() == NEW


@dataclass
class RefusingJournal(FakeJournal):
    unwritable: bool = True


def test_a_guard_that_cannot_write_or_sync_says_so_by_its_status_and_a_log_line(
    disk: Disk,
) -> None:
    cutover = FakeJournal()
    cutover.write(journal_in(Stage.CUTOVER, target_sha256=disk.sha256))
    unwritable = RefusingJournal(cutover.data)
    assert run_guard(replace(disk.ports, journal=unwritable), disk.files) == 1
    versions = FakeExecutor(OLD, faults={"make_durable": DISK})
    assert run_guard(replace(disk.ports, versions=versions), disk.files) == 1
    assert disk.layout.link_version() == NEW


def test_a_dry_run_reads_what_a_guard_reads_and_writes_nothing(disk: Disk) -> None:
    disk.write(Stage.CUTOVER)
    before = {path: path.stat().st_mtime_ns for path in disk.root.rglob("*")}
    assert dry_run(disk.ports) == 0
    assert {path: path.stat().st_mtime_ns for path in disk.root.rglob("*")} == before


def test_the_tail_of_a_log_is_its_end_and_of_none_is_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a" * 3000 + b"\xff end")
    assert len(tail(log)) == 2048
    assert tail(log).endswith("� end")
    assert tail(log, 4) == " end"
    assert tail(tmp_path / "none") == tail(tmp_path) == ""


# guard --expired


@dataclass
class Control:
    """The old version's self-test: what it finds, and what happens meanwhile."""

    contact: bool = True
    meanwhile: Callable[[], object] = lambda: None
    runs: int = 0

    def __call__(self) -> bool:
        self.runs += 1
        self.meanwhile()
        return self.contact


def wake(disk: Disk, control: Callable[[], bool], after_s: float) -> int:
    """So long after the commit."""
    disk.clock.seconds = NOW.seconds + after_s
    return expired(disk.ports, disk.files, BOUNDS, control)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.COMMITTED])
def test_nothing_expires_where_nothing_is_committed(disk: Disk, stage: Stage) -> None:
    disk.write(stage)
    control = Control()
    assert wake(disk, control, 100_000) == LEAVE_UNIT
    assert control.runs == 0


def test_nothing_expires_before_probations_time(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    control = Control()
    assert wake(disk, control, 599) == LEAVE_UNIT
    assert control.runs == 0


def test_nothing_expires_without_a_journal_that_can_be_read(disk: Disk) -> None:
    assert wake(disk, Control(), 100_000) == LEAVE_UNIT
    disk.journal.path.write_bytes(b"\0")
    assert wake(disk, Control(), 100_000) == LEAVE_UNIT


def test_two_controls_far_enough_apart_leave_a_mark_and_have_the_unit_restarted(
    disk: Disk,
) -> None:
    disk.write(Stage.COMMITTED)
    control = Control(contact=True)
    assert wake(disk, control, 660) == LEAVE_UNIT
    assert wake(disk, control, 720) == LEAVE_UNIT
    assert wake(disk, control, 780) == RESTART_UNIT
    mark = disk.files.mark()
    assert mark is not None
    assert (mark.upgrade_id, mark.cause.kind) == (ID, CauseKind.NO_CONTACT)
    assert run_guard(disk.ports, disk.files) == 0
    assert ending_of(disk.read()) == (Stage.ROLLED_BACK, CauseKind.NO_CONTACT)
    assert disk.files.controls() is None


def test_a_control_counts_from_its_end_when_it_is_known_that_there_is_contact(disk: Disk) -> None:
    """The plane may have come back while it ran: the new version has had no more time than that."""
    disk.write(Stage.COMMITTED)

    def forty_seconds_later() -> None:
        disk.clock.seconds += 40

    assert wake(disk, Control(meanwhile=forty_seconds_later), 660) == LEAVE_UNIT
    assert wake(disk, Control(), 660 + BOUNDS.spacing_s + 39) == LEAVE_UNIT
    assert wake(disk, Control(), 660 + BOUNDS.spacing_s + 40) == RESTART_UNIT


def test_a_mark_that_is_there_already_restarts_without_another_control(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    disk.mark(ID, NO_CONTACT)
    control = Control()
    assert wake(disk, control, 700) == RESTART_UNIT
    assert control.runs == 0


def test_a_mark_for_another_upgrade_is_not_taken_for_this_one(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    disk.mark(OTHER_ID, NO_CONTACT)
    control = Control()
    assert wake(disk, control, 700) == LEAVE_UNIT
    assert control.runs == 1


def test_without_contact_it_waits_up_to_the_bound_and_then_blames_the_plane(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    control = Control(contact=False)
    for after_s in (700, 10_000, 86_400):
        assert wake(disk, control, after_s) == LEAVE_UNIT
    assert wake(disk, control, 86_401) == RESTART_UNIT
    assert run_guard(disk.ports, disk.files) == 0
    assert ending_of(disk.read()) == (Stage.ROLLED_BACK, CauseKind.PLANE_UNREACHABLE)
    assert disk.read().quarantined == IDLE.quarantined


def test_a_control_that_cannot_run_is_no_contact_and_in_the_end_probation_has_expired(
    disk: Disk,
) -> None:
    def broken() -> bool:
        raise RuntimeError("the old version cannot run its self-test either")

    disk.write(Stage.COMMITTED)
    assert wake(disk, Control(contact=True), 660) == LEAVE_UNIT
    assert wake(disk, broken, 86_400) == LEAVE_UNIT
    assert wake(disk, broken, 86_401) == RESTART_UNIT
    assert run_guard(disk.ports, disk.files) == 0
    assert ending_of(disk.read()) == (Stage.ROLLED_BACK, CauseKind.PROBATION_EXPIRED)


def test_contact_that_was_lost_in_between_begins_the_count_again(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    assert wake(disk, Control(contact=True), 660) == LEAVE_UNIT
    assert wake(disk, Control(contact=False), 720) == LEAVE_UNIT
    assert wake(disk, Control(contact=True), 780) == LEAVE_UNIT
    assert wake(disk, Control(contact=True), 870) == RESTART_UNIT


def test_a_new_boot_counts_from_its_beginning_and_forgets_the_controls(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    assert wake(disk, Control(), 660) == LEAVE_UNIT
    disk.clock = FakeClock("boot-2", 100.0)
    control = Control()
    assert expired(disk.ports, disk.files, BOUNDS, control) == LEAVE_UNIT
    assert control.runs == 0
    disk.clock = FakeClock("boot-2", 5000.0)
    assert expired(disk.ports, disk.files, BOUNDS, control) == LEAVE_UNIT
    assert control.runs == 1


def test_a_success_during_the_control_wins(disk: Disk) -> None:
    journal = disk.write(Stage.COMMITTED)
    assert wake(disk, Control(), 660) == LEAVE_UNIT
    success = end(journal, Stage.SUCCEEDED, None)
    control = Control(meanwhile=lambda: disk.journal.write(success))
    assert wake(disk, control, 800) == LEAVE_UNIT
    assert disk.files.mark() is None


def test_where_there_is_nothing_to_go_back_to_the_unit_is_not_interrupted(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    disk.mark(ID, NO_CONTACT)
    disk.layout.path_of(OLD).write_bytes(b"cut short")
    assert wake(disk, Control(), 700) == LEAVE_UNIT


def test_controls_that_cannot_be_read_are_begun_again(disk: Disk) -> None:
    disk.write(Stage.COMMITTED)
    (disk.files.state / CONTROLS).write_bytes(b"[]")
    assert wake(disk, Control(), 700) == LEAVE_UNIT
    assert wake(disk, Control(), 800) == RESTART_UNIT


def test_a_mark_that_cannot_be_written_leaves_the_unit_and_is_tried_at_the_next_waking(
    disk: Disk,
) -> None:
    disk.write(Stage.COMMITTED)
    assert wake(disk, Control(), 660) == LEAVE_UNIT
    in_the_way = durable.temporary(disk.files.state / MARK)
    in_the_way.mkdir()
    (in_the_way / "full").touch()
    assert wake(disk, Control(), 800) == LEAVE_UNIT
    (in_the_way / "full").unlink()
    in_the_way.rmdir()
    assert wake(disk, Control(), 860) == RESTART_UNIT


def test_a_journal_lost_in_probation_expires_too(disk: Disk) -> None:
    disk.journal.write(after_loss("journal-9", link=NEW, previous=OLD))
    assert wake(disk, Control(), 660) == LEAVE_UNIT
    assert wake(disk, Control(), 800) == RESTART_UNIT
    assert run_guard(disk.ports, disk.files) == 0
    assert disk.layout.link_version() == OLD
