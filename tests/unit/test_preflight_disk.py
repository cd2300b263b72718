"""Room and folders, as a preflight judges them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from harmony_fleet.agent.folders import Folder
from harmony_fleet.agent.preflight.disk import Room, judge_folders, judge_room
from harmony_fleet.contracts.preflight import Check, CheckName, CheckState

NEEDED, SPARE = 1000, 100
VERSIONS = "/usr/bin"


def room(free_bytes: int, free_files: int | None = 9, folder: str = VERSIONS) -> Room:
    return Room(folder, free_bytes, NEEDED, SPARE, free_files)


def judged(*rooms: Room) -> tuple[CheckState, str]:
    found: Check = judge_room(rooms)
    assert found.name is CheckName.DISK_SPACE
    return found.state, found.detail


@pytest.mark.parametrize(
    ("free_bytes", "state"),
    [
        (NEEDED - 1, CheckState.FAILED),
        (NEEDED, CheckState.WARNING),
        (NEEDED + SPARE - 1, CheckState.WARNING),
        (NEEDED + SPARE, CheckState.OK),
    ],
)
def test_what_is_needed_must_fit_and_the_spare_room_should(
    free_bytes: int, state: CheckState
) -> None:
    found, words = judged(room(free_bytes))
    assert found is state
    assert f"{VERSIONS}: {free_bytes} bytes are free" in words
    assert str(NEEDED) in words


def test_the_file_system_that_lacks_room_is_the_one_that_is_named() -> None:
    state, words = judged(room(10**6), room(5, folder="/var/lib/fleet-agent"))
    assert state is CheckState.FAILED
    assert words.startswith("/var/lib/fleet-agent: 5 bytes are free")


def test_a_lack_of_room_is_told_before_a_lack_of_spare_room() -> None:
    state, _ = judged(room(NEEDED), room(5, folder="/var"))
    assert state is CheckState.FAILED


@pytest.mark.parametrize(
    ("free_files", "state"), [(0, CheckState.FAILED), (1, CheckState.OK), (None, CheckState.OK)]
)
def test_a_file_system_that_counts_its_files_must_have_one_left(
    free_files: int | None, state: CheckState
) -> None:
    assert judged(room(10**6, free_files))[0] is state


def test_where_no_folder_is_there_nothing_is_known_of_its_disk() -> None:
    assert judged()[0] is CheckState.UNKNOWN


@pytest.mark.parametrize(
    ("flaws", "state"),
    [
        ((), CheckState.OK),
        (("/usr/bin is on a file system mounted noexec", "/var cannot be written"), "failed"),
    ],
)
def test_every_flaw_of_a_folder_is_told(flaws: Sequence[str], state: CheckState) -> None:
    found = judge_folders(flaws)
    assert (found.name, found.state) == (CheckName.FOLDERS, state)
    assert all(flaw in found.detail for flaw in flaws)


SOUND = {"there": True, "writable": True}


@pytest.mark.parametrize(
    ("name", "looks", "flaw"),
    [
        ("versions", SOUND, None),
        ("state", {"there": False}, "is not there"),
        ("state", {"there": True}, "cannot be written"),
        ("state", {"there": True, "read_only": True}, "is on a read-only file system"),
        ("versions", SOUND | {"noexec": True}, "is on a file system mounted noexec"),
        ("state", SOUND | {"noexec": True}, None),
    ],
)
def test_a_folder_must_be_writable_and_that_of_the_versions_executable(
    name: str, looks: dict[str, bool], flaw: str | None
) -> None:
    assert Folder(name, Path("/x"), **looks).flaw == flaw
