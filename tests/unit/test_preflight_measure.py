"""What a preflight finds on a device's disks; nothing there may be other than before."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harmony_fleet.agent.config import PathsConfig
from harmony_fleet.agent.preflight.measure import Disks, measure
from harmony_fleet.agent.preflight.program import Kind
from harmony_fleet.agent.upgrade.durable import RESERVE_BYTES, RESERVE_LEAVES_BYTES
from harmony_fleet.agent.upgrade.record import Installed, Journal, fresh
from harmony_fleet.asset.landing import partial_path
from harmony_fleet.contracts.preflight import PreflightCommand
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.testing.programs import write_program

NEW = b"the bytes of version 2.0.0"
ARTIFACT = Artifact("http://h/a", len(NEW), hashlib.sha256(NEW).hexdigest())
ASKED = PreflightCommand("pi-1", "2.0.0", ARTIFACT, "2026-01-01T00:00:00Z")
JOURNAL = fresh("journal-1")


class Machine:
    """Version 1.0.0 is installed, and runs."""

    def __init__(self, root: Path) -> None:
        self.paths = PathsConfig(
            supervisor=root / "none",
            versions=root / "bin",
            link=root / "local/fleet-agent",
            previous=root / "lib/previous",
            state=root / "state",
        )
        for folder in (self.paths.versions, self.paths.state):
            folder.mkdir()
        for place in (self.paths.link, self.paths.previous):
            place.parent.mkdir()
        write_program(self.file("1.0.0"), "print('1.0.0')")
        self.paths.link.symlink_to(self.file("1.0.0"))
        self.root = root

    def file(self, version: str) -> Path:
        return self.paths.versions / f"fleet-agent-v{version}"

    def look(self, journal: Journal = JOURNAL, asked: PreflightCommand = ASKED) -> Disks:
        before = list(self.state())
        found = measure(self.paths, "1.0.0", asked, journal)
        assert list(self.state()) == before
        return found

    def proven(self) -> Journal:
        """The journal of a device whose running version came by an upgrade."""
        digest = hashlib.sha256(self.file("1.0.0").read_bytes()).hexdigest()
        return replace(JOURNAL, installed=Installed("1.0.0", digest))

    def state(self) -> Iterator[tuple[object, ...]]:
        for path in sorted(self.root.rglob("*")):
            found = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            yield path, found.st_mode, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, content


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# Room


def test_the_artifact_and_the_reserve_must_fit_on_the_one_file_system(machine: Machine) -> None:
    (room,) = machine.look().rooms
    disk = os.statvfs(machine.paths.versions)
    assert room.needed_bytes == len(NEW) + RESERVE_BYTES
    assert room.spare_bytes == RESERVE_LEAVES_BYTES
    assert room.free_bytes <= disk.f_blocks * disk.f_frsize
    assert room.folder == str(machine.paths.versions)


@pytest.mark.machine_may_refuse
def test_two_file_systems_are_measured_each_for_what_is_put_there(machine: Machine) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == machine.root.stat().st_dev:
        pytest.skip("this machine has no second file system at /dev/shm")
    machine.paths = replace(machine.paths, state=elsewhere)
    versions, state = machine.look().rooms
    assert (versions.needed_bytes, state.needed_bytes) == (len(NEW), RESERVE_BYTES)


def test_what_an_earlier_download_left_need_not_fit_again(machine: Machine) -> None:
    partial_path(machine.file("2.0.0"), ARTIFACT.sha256).write_bytes(NEW[:10])
    (room,) = machine.look().rooms
    assert room.needed_bytes == len(NEW) - 10 + RESERVE_BYTES


def test_a_plain_file_is_kept_and_needs_its_room(machine: Machine) -> None:
    program = machine.file("1.0.0").read_bytes()
    machine.file("1.0.0").unlink()
    machine.paths.link.unlink()
    machine.paths.link.write_bytes(program)
    (room,) = machine.look().rooms
    assert room.needed_bytes == len(NEW) + len(program) + RESERVE_BYTES


@pytest.mark.parametrize(
    ("content", "staged"), [(NEW, True), (NEW[:-1] + b"x", False), (NEW + b"x", False)]
)
def test_an_artifact_that_is_here_already_is_known_by_its_digest_whatever_its_mode(
    machine: Machine, content: bytes, staged: bool
) -> None:
    machine.file("2.0.0").write_bytes(content)
    found = machine.look()
    assert found.staged is staged
    (room,) = found.rooms
    assert room.needed_bytes == RESERVE_BYTES + (0 if staged else len(NEW))


def test_a_link_in_the_artifacts_place_is_no_artifact(machine: Machine) -> None:
    (machine.root / "elsewhere").write_bytes(NEW)
    machine.file("2.0.0").symlink_to(machine.root / "elsewhere")
    assert not machine.look().staged


# Folders


def test_a_folder_that_is_missing_is_told_and_its_disk_is_not_measured(machine: Machine) -> None:
    machine.paths = replace(
        machine.paths, state=machine.root / "gone", versions=machine.root / "away"
    )
    found = machine.look()
    assert found.rooms == ()
    assert found.folder_flaws == (
        f"{machine.root / 'gone'} is not there",
        f"{machine.root / 'away'} is not there",
    )


def test_folders_that_can_be_written_have_no_flaw(machine: Machine) -> None:
    assert machine.look().folder_flaws == ()


# Links


def test_the_link_and_what_it_leads_to_are_found(machine: Machine) -> None:
    link = machine.look().link
    assert (link.kind, link.version, link.flaw) == (Kind.LINK, "1.0.0", None)
    machine.file("1.0.0").chmod(0o644)
    assert machine.look().link.flaw == "is not executable"


def test_a_link_to_elsewhere_leads_to_no_version(machine: Machine) -> None:
    machine.paths.previous.symlink_to("/nowhere/at/all")
    found = machine.look().previous
    assert (found.kind, found.version, found.leads_to) == (Kind.LINK, None, "/nowhere/at/all")
    assert found.flaw is not None
    assert "cannot be found" in found.flaw


def test_a_link_that_leads_to_itself_leads_to_no_version(machine: Machine) -> None:
    machine.paths.previous.symlink_to(machine.paths.previous)
    found = machine.look().previous
    assert (found.kind, found.version) == (Kind.LINK, None)
    assert found.flaw is not None


def test_what_lies_at_a_links_place_is_told_apart(machine: Machine) -> None:
    assert machine.look().previous.kind is Kind.NOTHING
    machine.paths.previous.mkdir()
    assert machine.look().previous.kind is Kind.OTHER
    machine.paths.previous.rmdir()
    machine.paths.previous.write_bytes(b"")
    assert machine.look().previous.kind is Kind.FILE


# The file to go back to


def test_a_digest_that_the_journal_recorded_is_what_the_file_must_have(machine: Machine) -> None:
    journal = machine.proven()
    target = machine.look(journal).target
    assert (target.known, target.damage, target.mendable) == (True, None, False)
    write_program(machine.file("1.0.0"), "print('another')")
    damage = machine.look(journal).target.damage
    assert damage is not None
    assert "instead of" in damage


def test_a_digest_of_another_version_says_nothing_of_this_one(machine: Machine) -> None:
    other = replace(JOURNAL, installed=Installed("0.9.0", "ab" * 32))
    target = machine.look(other).target
    assert (target.known, target.damage) == (False, None)


def test_without_a_digest_a_program_is_whole_by_its_own_sums(machine: Machine) -> None:
    machine.file("1.0.0").write_bytes(b"#!/bin/sh\nexit 0\n")
    damage = machine.look().target.damage
    assert damage is not None
    assert "not a whole archive" in damage


def plain(machine: Machine) -> None:
    machine.paths.link.unlink()
    write_program(machine.paths.link, "print('1.0.0')")


def test_of_a_plain_file_that_no_upgrade_has_kept_yet_the_file_itself_is_the_target(
    machine: Machine,
) -> None:
    plain(machine)
    machine.file("1.0.0").unlink()
    target = machine.look().target
    assert (target.damage, target.clash) == (None, False)


def test_a_plain_file_and_the_version_that_is_kept_must_be_one_program(machine: Machine) -> None:
    plain(machine)
    assert not machine.look().target.clash
    write_program(machine.file("1.0.0"), "print('another')")
    assert machine.look().target.clash
