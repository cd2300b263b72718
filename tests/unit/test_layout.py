"""The files of one program, where they differ from what any Versions does."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade import durable
from harmony_fleet.agent.upgrade.durable import temporary
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, Program, UpgradeFault
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import VERSION
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.testing.programs import write_program

VERSIONS = st.from_regex(VERSION, fullmatch=True).filter(lambda text: len(text) <= 63)
LINK_TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(
    lambda text: len(text.encode()) < 1000
)


def layout_in(root: Path) -> Layout:
    versions = root / "usr/lib/fleet-agent"
    paths = Paths(versions, root / "usr/bin/fleet-agent", versions / "previous", root / "state")
    for folder in (versions, paths.link.parent, paths.state):
        folder.mkdir(parents=True, exist_ok=True)
    return Layout(FLEET_AGENT, paths)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = layout_in(tmp_path)
    for version in ("1.0.0", "1.1.0"):
        write_program(found.path_of(version), f"print('{version}')")
    return found


@pytest.fixture(scope="module")
def empty() -> Iterator[Layout]:
    """One for many examples, which leave at most a link in it."""
    with TemporaryDirectory() as folder:
        yield layout_in(Path(folder))


# What may become a path


@settings(deadline=None, max_examples=60)
@given(
    text=st.one_of(
        st.text(), st.text("./-0a\n"), VERSIONS, st.builds("{}{}".format, VERSIONS, st.text())
    )
)
def test_no_text_leads_out_of_the_folder_of_versions(empty: Layout, text: str) -> None:
    try:
        path = empty.path_of(text)
    except InvalidValue:
        return
    assert VERSION.fullmatch(text)
    assert path.parent == empty.paths.versions
    assert Path(os.path.normpath(path)) == path
    assert path.name == f"fleet-agent-v{text}"


@settings(deadline=None, max_examples=60)
@given(
    text=st.one_of(
        LINK_TEXTS,
        st.builds("../lib/fleet-agent/fleet-agent-v{}".format, VERSIONS),
        st.builds("{}/fleet-agent-v{}".format, st.sampled_from([".", "..", "/", "//"]), VERSIONS),
        st.builds("../lib/fleet-agent/{}".format, LINK_TEXTS),
    )
)
def test_a_link_names_a_version_only_if_it_leads_straight_to_its_file(
    empty: Layout, text: str
) -> None:
    link = empty.paths.link
    link.unlink(missing_ok=True)
    link.symlink_to(text)
    version = empty.link_version()
    leads_to = os.path.normpath(link.parent / text)
    if version is None:
        named = leads_to.removeprefix(f"{empty.paths.versions}/fleet-agent-v")
        assert text.endswith("/") or not VERSION.fullmatch(named)
    else:
        assert leads_to == str(empty.path_of(version))


@pytest.mark.parametrize("name", ["", ".", "../agent", "a/b", "a b"])
def test_a_program_whose_name_is_no_file_name_is_refused(layout: Layout, name: str) -> None:
    with pytest.raises(InvalidValue):
        Layout(Program(name), layout.paths)


# Links


def test_an_absolute_link_is_read_as_a_relative_one_is(layout: Layout) -> None:
    layout.paths.link.symlink_to(layout.path_of("1.0.0").absolute())
    assert layout.link_version() == "1.0.0"


def test_a_link_still_leads_to_its_version_where_its_root_has_moved(
    layout: Layout, tmp_path: Path
) -> None:
    layout.swap_link("1.0.0")
    layout.point_previous("1.1.0")
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    there = layout_in(moved)
    assert (there.link_version(), there.previous_version()) == ("1.0.0", "1.1.0")
    assert there.paths.link.read_bytes() == there.path_of("1.0.0").read_bytes()


def test_folders_that_are_links_themselves_change_nothing(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/lib").symlink_to(layout.paths.versions)
    paths = Paths(
        tmp_path / "deep/lib", tmp_path / "bin/fleet-agent", tmp_path / "p", tmp_path / "state"
    )
    other = Layout(FLEET_AGENT, paths)
    other.swap_link("1.1.0")
    assert other.link_version() == layout.link_version() == "1.1.0"
    assert paths.link.read_bytes() == layout.path_of("1.1.0").read_bytes()


def test_a_link_by_way_of_another_link_names_no_version(layout: Layout) -> None:
    (layout.paths.versions / "current").symlink_to("fleet-agent-v1.0.0")
    layout.paths.link.symlink_to(layout.paths.versions / "current")
    assert layout.link_version() is None


def test_a_link_names_its_version_even_if_the_file_is_gone(layout: Layout) -> None:
    layout.swap_link("1.1.0")
    layout.path_of("1.1.0").unlink()
    assert layout.link_version() == "1.1.0"


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _without_its_execute_bit(path: Path) -> None:
    path.chmod(0o644)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_link_to_a_program(path: Path) -> None:
    path.unlink()
    path.symlink_to("fleet-agent-v1.0.0")


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "harm", [_emptied, _without_its_execute_bit, _a_folder, _a_link_to_a_program, _a_pipe]
)
def test_what_nobody_could_run_is_never_linked_nor_a_rollback_target(
    layout: Layout, harm: object
) -> None:
    assert callable(harm)
    layout.swap_link("1.0.0")
    harm(layout.path_of("1.1.0"))
    for step in (layout.swap_link, layout.point_previous):
        with pytest.raises(UpgradeFault, match=r"v1\.1\.0"):
            step("1.1.0")
    with pytest.raises(UpgradeFault) as raised:
        layout.check_target("1.1.0", None)
    assert raised.value.cause is CauseKind.ROLLBACK_TARGET_DAMAGED
    assert (layout.link_version(), layout.previous_version()) == ("1.0.0", None)


def test_whoever_looks_sees_the_old_or_the_new_program_and_never_none(layout: Layout) -> None:
    whole = {layout.path_of(version).read_bytes() for version in ("1.0.0", "1.1.0")}
    layout.swap_link("1.0.0")
    seen: set[bytes] = set()
    done = Event()

    def look() -> None:
        while not done.is_set():
            try:
                seen.add(layout.paths.link.read_bytes())
            except OSError:
                seen.add(b"nothing")

    reader = Thread(target=look)
    reader.start()
    for turn in range(200):
        layout.swap_link(("1.0.0", "1.1.0")[turn % 2])
    done.set()
    reader.join()
    assert seen <= whole


@pytest.mark.parametrize("left_over", ["file", "link"])
def test_a_temporary_link_that_a_crash_left_is_no_obstacle(layout: Layout, left_over: str) -> None:
    temp = temporary(layout.paths.link)
    if left_over == "file":
        temp.write_bytes(b"half")
    else:
        temp.symlink_to("/nowhere")
    layout.swap_link("1.0.0")
    assert layout.link_version() == "1.0.0"
    assert sorted(path.name for path in layout.paths.link.parent.iterdir()) == ["fleet-agent"]


def test_a_link_that_leads_there_already_needs_no_writing(layout: Layout) -> None:
    layout.swap_link("1.0.0")
    temporary(layout.paths.link).mkdir()
    layout.swap_link("1.0.0")
    with pytest.raises(UpgradeFault):
        layout.swap_link("1.1.0")
    assert layout.link_version() == "1.0.0"


# A plain install


def test_what_is_kept_of_a_plain_install_is_a_copy_of_its_own(layout: Layout) -> None:
    digest = write_program(layout.paths.link, "print('plain')")
    layout.paths.link.chmod(0o600)
    layout.capture_revert_target("0.9.0")
    layout.paths.link.write_bytes(b"overwritten in place")
    layout.check_target("0.9.0", digest)


def test_a_copy_that_a_crash_cut_off_is_begun_again(layout: Layout) -> None:
    digest = write_program(layout.paths.link, "print('plain')")
    temporary(layout.path_of("0.9.0")).write_bytes(b"half")
    layout.capture_revert_target("0.9.0")
    layout.check_target("0.9.0", digest)
    assert not temporary(layout.path_of("0.9.0")).exists()


# The mark, and faults of the device


def test_closing_an_attempt_takes_the_marks_of_the_dead_man_timer_with_it(layout: Layout) -> None:
    layout.open_attempt()
    for name in ("expired.json", "controls.json", "journal.json"):
        (layout.paths.state / name).write_bytes(b"{}")
    layout.close_attempt()
    assert [path.name for path in layout.paths.state.iterdir()] == ["journal.json"]


def test_a_folder_in_the_links_place_is_a_fault_before_anything_is_changed(layout: Layout) -> None:
    layout.paths.link.mkdir()
    with pytest.raises(UpgradeFault, match=r"is a folder.*remove it") as raised:
        layout.capture_revert_target("1.0.0")
    assert raised.value.cause is CauseKind.DEVICE_FAULT


def test_a_fault_names_the_path_and_what_to_do(layout: Layout) -> None:
    layout.paths.state.rmdir()
    for step in (layout.open_attempt, layout.close_attempt, layout.make_durable):
        with pytest.raises(UpgradeFault, match=f"{layout.paths.state}.*check") as raised:
            step()
        assert raised.value.cause is CauseKind.DEVICE_FAULT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(_path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(UpgradeFault, match="free some space") as raised:
        layout.open_attempt()
    assert raised.value.cause is CauseKind.DISK_FULL


def test_the_reserve_is_given_up_for_the_link(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = layout.paths.state / "reserve"
    reserve.write_bytes(b"room")
    link_to = durable.link_to

    def with_room(link: Path, target: Path) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link_to(link, target)

    monkeypatch.setattr(durable, "link_to", with_room)
    layout.swap_link("1.0.0")
    assert layout.link_version() == "1.0.0"


# Durability


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """The real fsync and rename, each noted with the file that it reached."""
    noted: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        fsync(descriptor)
        noted.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))

    def noting_replace(source: Path, target: Path) -> None:
        replace(source, target)
        noted.append(("rename", Path(target)))

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    return noted


def test_a_swap_is_a_rename_and_then_a_sync_of_its_folder(
    layout: Layout, calls: list[tuple[str, Path]]
) -> None:
    folder = layout.paths.link.parent
    layout.swap_link("1.0.0")
    assert calls == [("rename", layout.paths.link), ("fsync", folder)]
    calls.clear()
    layout.swap_link("1.0.0")
    assert calls == [("fsync", folder)]


def test_a_kept_program_is_synced_before_it_can_be_run_and_again_before_it_has_its_name(
    layout: Layout, calls: list[tuple[str, Path]]
) -> None:
    write_program(layout.paths.link, "print('plain')")
    layout.capture_revert_target("0.9.0")
    kept = layout.path_of("0.9.0")
    assert calls == [
        ("fsync", temporary(kept)),
        ("fsync", temporary(kept)),
        ("rename", kept),
        ("fsync", layout.paths.versions),
    ]


def test_a_program_that_is_kept_already_is_made_durable_all_the_same(
    layout: Layout, calls: list[tuple[str, Path]]
) -> None:
    """Whoever kept it first may have been killed between its name and the sync of its folder."""
    write_program(layout.paths.link, "print('plain')")
    layout.capture_revert_target("0.9.0")
    calls.clear()
    layout.capture_revert_target("0.9.0")
    kept = layout.path_of("0.9.0")
    assert calls == [("fsync", kept), ("fsync", kept.parent)]


def test_a_target_that_is_sound_is_durable_before_anybody_relies_on_it(
    layout: Layout, calls: list[tuple[str, Path]]
) -> None:
    """Whoever wrote it anew may have been killed between its name and the sync of its folder."""
    kept = layout.path_of("0.9.0")
    digest = write_program(kept, "print('sound')")
    calls.clear()
    layout.check_target("0.9.0", digest)
    assert calls == [("fsync", kept), ("fsync", kept.parent)]


def test_the_journal_and_both_folders_are_synced_before_a_journal_is_acted_on(
    layout: Layout, calls: list[tuple[str, Path]]
) -> None:
    journal = layout.paths.state / "journal.json"
    folders = [("fsync", layout.paths.state), ("fsync", layout.paths.link.parent)]
    layout.make_durable()
    assert calls == folders
    journal.write_bytes(b"{}")
    calls.clear()
    layout.make_durable()
    assert calls == [("fsync", journal), *folders]


def test_the_mark_of_an_attempt_is_synced_when_it_comes_and_when_it_goes(
    layout: Layout, calls: list[tuple[str, Path]]
) -> None:
    layout.open_attempt()
    layout.close_attempt()
    layout.close_attempt()
    assert calls == [("fsync", layout.paths.state)] * 3
