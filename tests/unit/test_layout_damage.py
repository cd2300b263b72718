"""What the rollback target is checked for, and how a running program repairs its own file."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade import content
from harmony_fleet.agent.upgrade.durable import temporary
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, UpgradeFault
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.testing.programs import SHEBANG, write_program

OWN = "1.0.0"
SOURCE = "print('a program of some length')\n" * 20


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Of the process that runs from OWN, and has read its file to the end."""
    found = Layout(
        FLEET_AGENT, Paths(tmp_path, tmp_path / "l", tmp_path / "p", tmp_path), None, OWN
    )
    write_program(found.path_of(OWN), SOURCE)
    with found.path_of(OWN).open("rb") as own:
        own.read()
        found.own_descriptor = own.fileno()
        yield found


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_a_file_written_anew_replaces_the_damaged_one_and_the_descriptor_stays_usable(
    layout: Layout,
) -> None:
    path = layout.path_of(OWN)
    own = digest(path)
    for _ in range(2):
        path.unlink()
        path.write_bytes(b"something else")
        layout.check_target(OWN, own)
        assert digest(path) == own
        assert os.access(path, os.X_OK)
        assert not temporary(path).exists()


def test_only_the_own_version_is_written_anew(layout: Layout) -> None:
    own = digest(layout.path_of(OWN))
    with pytest.raises(UpgradeFault) as raised:
        layout.check_target("1.0.1", own)
    assert raised.value.cause is CauseKind.ROLLBACK_TARGET_DAMAGED
    assert not layout.path_of("1.0.1").exists()


def test_without_a_descriptor_nothing_is_written_anew(layout: Layout) -> None:
    own = digest(layout.path_of(OWN))
    layout.path_of(OWN).unlink()
    with pytest.raises(UpgradeFault, match="cannot be found"):
        replace(layout, own_descriptor=None).check_target(OWN, own)


def test_what_would_be_written_anew_is_checked_before_it_has_a_name(layout: Layout) -> None:
    path = layout.path_of(OWN)
    own = digest(path)
    with path.open("r+b") as file:
        file.write(b"overwritten in place, so that the open file is damaged too")
    damaged = path.read_bytes()
    with pytest.raises(UpgradeFault, match="what runs has SHA-256"):
        layout.check_target(OWN, own)
    assert path.read_bytes() == damaged
    assert not temporary(path).exists()


def test_where_the_disk_refuses_the_new_file_the_target_stays_damaged(layout: Layout) -> None:
    own = digest(layout.path_of(OWN))
    layout.path_of(OWN).unlink()
    temporary(layout.path_of(OWN)).mkdir()
    with pytest.raises(UpgradeFault, match="could not be written anew") as raised:
        layout.check_target(OWN, own)
    assert raised.value.cause is CauseKind.ROLLBACK_TARGET_DAMAGED


# Whole by its own manifest


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "program"
    write_program(path, SOURCE)
    return path


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_program_with_any_one_byte_of_its_source_changed_is_not_whole(
    program: Path, data: st.DataObject
) -> None:
    content_bytes = bytearray(program.read_bytes())
    start = content_bytes.index(SOURCE.encode())
    place = data.draw(st.integers(start, start + len(SOURCE) - 1))
    content_bytes[place] ^= data.draw(st.integers(1, 255))
    assert says_of(program, bytes(content_bytes))


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 900))
def test_a_program_of_which_the_end_is_missing_is_not_whole(program: Path, cut: int) -> None:
    whole = program.read_bytes()
    assert says_of(program, whole[: min(cut, len(whole) - 1)])
    assert content.damage(program, None) is None


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=400), place=st.integers(0, 900), keep=st.booleans())
def test_no_damage_makes_the_check_itself_fail(
    program: Path, data: bytes, place: int, keep: bool
) -> None:
    whole = program.read_bytes()
    says_of(program, whole[:place] + data + (whole[place + len(data) :] if keep else b""))


def test_an_archive_of_another_kind_than_releases_are_is_not_whole(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, None):
        path = tmp_path / f"program-{method}"
        path.write_bytes(SHEBANG)
        with zipfile.ZipFile(path, "a") as archive:
            if method is not None:
                archive.writestr("__main__.py", SOURCE, method)
        path.chmod(0o755)
        assert content.damage(path, None)


def says_of(beside: Path, data: bytes) -> str | None:
    path = beside.with_name("damaged")
    path.write_bytes(data)
    path.chmod(0o755)
    return content.damage(path, None)
