import hashlib
import os
import stat
import sys
from pathlib import Path
from types import FrameType

import pytest

from harmony_fleet.asset import landing
from harmony_fleet.asset.errors import (
    DigestMismatch,
    DiskFull,
    DownloadBusy,
    DownloadCancelled,
    NotWritable,
    SizeMismatch,
)
from harmony_fleet.asset.landing import already_there, open_partial, partial_path
from harmony_fleet.asset.policy import Expected

CONTENT = b"every byte of it" * 1000
EXPECTED = Expected(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
MODE = 0o755


def go_on() -> None:
    """A check that lets the reading go on."""


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "agent-v1"


@pytest.fixture
def partial_file(destination: Path) -> Path:
    return partial_path(destination, EXPECTED.sha256)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_verified_partial_lands_with_its_mode_and_leaves_nothing_beside_it(
    destination: Path,
) -> None:
    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT[:100])
        partial.append(CONTENT[100:])
        partial.land(MODE)
    assert destination.read_bytes() == CONTENT
    assert mode_of(destination) == MODE
    assert list(destination.parent.iterdir()) == [destination]


def test_a_partial_with_a_wrong_byte_is_refused_and_never_executable(
    destination: Path, partial_file: Path
) -> None:
    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT[:-1] + b"!")
        with pytest.raises(DigestMismatch):
            partial.land(MODE)
    assert not destination.exists()
    assert mode_of(partial_file) == 0o600


def test_a_partial_of_another_size_is_refused(destination: Path) -> None:
    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT[:-1])
        with pytest.raises(SizeMismatch):
            partial.land(MODE)
    assert not destination.exists()


def test_the_bytes_are_durable_before_they_are_executable_and_both_before_the_name(
    destination: Path,
) -> None:
    calls: list[str] = []

    def note(_frame: FrameType, event: str, called: object) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_call" and name in {"fsync", "fchmod", "rename", "replace"}:
            calls.append(name)

    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT)
        sys.setprofile(note)
        try:
            partial.land(MODE)
        finally:
            sys.setprofile(None)
    assert calls == ["fsync", "fchmod", "fsync", "replace", "fsync"]


def test_what_an_earlier_call_left_is_taken_over(destination: Path) -> None:
    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT[:100])
    with open_partial(destination, EXPECTED) as partial:
        partial.take_over(go_on)
        assert partial.held_bytes == 100
        partial.append(CONTENT[100:])
        partial.land(MODE)
    assert destination.read_bytes() == CONTENT


def test_what_is_longer_than_the_asset_is_not_taken_over(
    destination: Path, partial_file: Path
) -> None:
    partial_file.write_bytes(CONTENT + b"!")
    with open_partial(destination, EXPECTED) as partial:
        partial.take_over(go_on)
        assert partial.held_bytes == 0


def test_an_execute_bit_on_what_was_left_is_taken_away(
    destination: Path, partial_file: Path
) -> None:
    partial_file.write_bytes(CONTENT)
    partial_file.chmod(0o777)
    with open_partial(destination, EXPECTED):
        assert mode_of(partial_file) == 0o600


def test_a_partial_of_another_artifact_is_removed_and_nothing_else_is(destination: Path) -> None:
    other = partial_path(destination, "f" * 64)
    strangers = [destination.with_name(".agent-v1.part"), partial_path(Path("x"), "f" * 64)]
    for path in (other, *(destination.parent / s for s in strangers)):
        path.write_bytes(b"half of something")
    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT)
    assert not other.exists()
    assert all((destination.parent / stranger).exists() for stranger in strangers)


def test_an_empty_partial_is_not_left_behind(destination: Path, partial_file: Path) -> None:
    with open_partial(destination, EXPECTED):
        assert partial_file.exists()
    assert not partial_file.exists()


def test_a_link_in_the_partials_place_is_not_followed(
    destination: Path, partial_file: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"of someone else")
    partial_file.symlink_to(precious)
    with pytest.raises(NotWritable), open_partial(destination, EXPECTED):
        pass
    assert precious.read_bytes() == b"of someone else"


def test_a_pipe_in_the_partials_place_is_refused(destination: Path, partial_file: Path) -> None:
    os.mkfifo(partial_file)
    with pytest.raises(NotWritable), open_partial(destination, EXPECTED):
        pass


def test_two_cannot_fill_one_partial(destination: Path) -> None:
    with open_partial(destination, EXPECTED), pytest.raises(DownloadBusy):  # noqa: SIM117
        with open_partial(destination, EXPECTED):
            pass


def test_a_partial_that_landed_while_we_waited_for_it_is_not_filled_again(
    destination: Path, partial_file: Path
) -> None:
    partial_file.write_bytes(CONTENT)
    descriptor = os.open(partial_file, os.O_RDWR)
    partial_file.rename(destination)
    try:
        with pytest.raises(DownloadBusy):
            landing._claim(descriptor, partial_file)
    finally:
        os.close(descriptor)


def test_the_verified_file_that_is_there_is_used_and_given_its_mode(destination: Path) -> None:
    destination.write_bytes(CONTENT)
    destination.chmod(0o600)
    assert already_there(destination, EXPECTED, MODE, go_on)
    assert mode_of(destination) == MODE


def test_a_wrong_file_that_is_there_is_not_used_and_not_made_executable(destination: Path) -> None:
    destination.write_bytes(b"!" * len(CONTENT))
    destination.chmod(0o600)
    assert not already_there(destination, EXPECTED, MODE, go_on)
    assert mode_of(destination) == 0o600


def test_a_link_to_the_right_file_is_not_the_file(destination: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    destination.symlink_to(tmp_path / "elsewhere")
    assert not already_there(destination, EXPECTED, MODE, go_on)


def test_a_pipe_at_the_destination_is_not_the_file(destination: Path) -> None:
    os.mkfifo(destination)
    assert not already_there(destination, EXPECTED, MODE, go_on)


def test_a_folder_at_the_destination_is_refused(destination: Path) -> None:
    destination.mkdir()
    with pytest.raises(NotWritable):
        already_there(destination, EXPECTED, MODE, go_on)


def test_a_destination_below_a_file_is_refused(destination: Path) -> None:
    destination.write_bytes(b"a file")
    with pytest.raises(NotWritable):
        already_there(destination / "below", EXPECTED, MODE, go_on)


def test_who_is_refused_leaves_the_file_of_who_fills_it_though_nothing_is_in_it_yet(
    destination: Path, partial_file: Path
) -> None:
    with open_partial(destination, EXPECTED) as partial:
        with pytest.raises(DownloadBusy), open_partial(destination, EXPECTED):
            pass
        assert partial_file.exists()
        partial.append(CONTENT)
        partial.land(MODE)
    assert destination.read_bytes() == CONTENT


def test_reading_what_was_left_can_be_cancelled(destination: Path, partial_file: Path) -> None:
    def cancel() -> None:
        raise DownloadCancelled("enough")

    partial_file.write_bytes(CONTENT[:100])
    with open_partial(destination, EXPECTED) as partial, pytest.raises(DownloadCancelled):
        partial.take_over(cancel)
    assert partial_file.read_bytes() == CONTENT[:100]


def test_a_file_that_cannot_fit_is_refused_before_it_is_asked_for(destination: Path) -> None:
    with (
        open_partial(destination, Expected(2**53, EXPECTED.sha256)) as partial,
        pytest.raises(DiskFull),
    ):
        partial.refuse_unless_space()


def test_what_is_held_already_needs_no_space(destination: Path) -> None:
    with open_partial(destination, EXPECTED) as partial:
        partial.append(CONTENT)
        partial.refuse_unless_space()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_disk_that_fills_up_meanwhile_is_told_as_such(destination: Path) -> None:
    descriptor = os.open("/dev/full", os.O_RDWR)
    try:
        with pytest.raises(DiskFull):
            landing.Partial(descriptor, destination, EXPECTED).append(CONTENT)
    finally:
        os.close(descriptor)
