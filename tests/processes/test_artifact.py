"""The built artifact as real processes, with a stub in the place of `agent/main.py`."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import harmony_fleet
from harmony_fleet.release.build import DEVICE_FOLDERS, artifact_name, build

PACKAGE = Path(harmony_fleet.__file__).parent
RUN = (sys.executable, "-IS")
TIMEOUT_S = 20

WAITS_THEN_IMPORTS = """
import sys

def run() -> int:
    print("ready", flush=True)
    sys.stdin.readline()
    from harmony_fleet.agent import late
    print(late.WORD, flush=True)
    return 7
"""


def source(folder: Path, main: str, **modules: str) -> Path:
    """A copy of the device folders with `main` as agent/main.py and `modules` beside it."""
    for name in DEVICE_FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE / name, folder / name, ignore=ignored)
    for name, text in {"main": main, **modules}.items():
        (folder / "agent" / f"{name}.py").write_text(text)
    return folder


def artifact(folder: Path, main: str, version: str = "1.0.0", **modules: str) -> Path:
    build(version, folder, source(folder / f"source-{version}", main, **modules))
    return folder / artifact_name(version)


def output(*command: str | Path, **options: str | dict[str, str]) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        **options,  # type: ignore[call-overload]  # cwd and env, as they come
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has said it is ready, and is gone at the end whatever happens."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def go_on(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate("\n", timeout=TIMEOUT_S)
    return process.returncode, said


@pytest.fixture(scope="module")
def old_and_new(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions in which nothing is at the same offset."""
    folder = tmp_path_factory.mktemp("versions")
    old = artifact(folder, WAITS_THEN_IMPORTS, late="WORD = 'old'")
    new = artifact(folder, WAITS_THEN_IMPORTS, "1.1.0", late="WORD = 'new'", aaa="# more\nX = 1")
    return old, new


@pytest.fixture(scope="module")
def unpinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old version without the one line that pins it."""
    folder = tmp_path_factory.mktemp("unpinned")
    root = source(folder / "source", WAITS_THEN_IMPORTS, late="WORD = 'old'")
    bootstrap = root / "agent/bootstrap.py"
    pinned = bootstrap.read_text()
    bootstrap.write_text(pinned.replace("        pin(archive)\n", "        pass\n"))
    assert bootstrap.read_text() != pinned
    build("1.0.0", folder, root)
    return folder / artifact_name("1.0.0")


def copied(file: Path, to: Path) -> Path:
    shutil.copy(file, to)
    return to


def delete(running: Path, other: Path) -> None:
    running.unlink()


def rename(running: Path, other: Path) -> None:
    running.rename(running.with_name("elsewhere"))


def replace(running: Path, other: Path) -> None:
    copied(other, running.with_name("fresh")).rename(running)


disturbed = pytest.mark.parametrize("disturb", [delete, rename, replace])


@disturbed
def test_a_running_agent_imports_its_own_code_whatever_becomes_of_its_file(
    disturb: Callable[[Path, Path], None], old_and_new: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = old_and_new
    file = copied(old, tmp_path / "agent")
    with running(*RUN, file) as process:
        disturb(file, new)
        assert go_on(process) == (7, "old\n")


@disturbed
def test_without_the_pin_the_same_agent_breaks(
    disturb: Callable[[Path, Path], None],
    unpinned: Path,
    old_and_new: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    file = copied(unpinned, tmp_path / "agent")
    with running(*RUN, file) as process:
        disturb(file, old_and_new[1])
        assert go_on(process) == (1, "")


def test_a_link_that_is_swapped_and_its_old_version_pruned_changes_nothing_until_the_next_start(
    old_and_new: tuple[Path, Path], tmp_path: Path
) -> None:
    old = copied(old_and_new[0], tmp_path / "old")
    link = tmp_path / "link"
    link.symlink_to(old)
    with running(*RUN, link) as process:
        (tmp_path / "next").symlink_to(old_and_new[1])
        (tmp_path / "next").rename(link)
        old.unlink()
        assert go_on(process) == (7, "old\n")
    with running(*RUN, link) as process:
        assert go_on(process) == (7, "new\n")


def test_a_traceback_shows_source_lines_after_the_file_is_gone(tmp_path: Path) -> None:
    file = artifact(
        tmp_path,
        "import os, sys, traceback\n\n"
        "def run() -> int:\n"
        "    os.unlink(sys.argv[0])\n"
        "    print(''.join(traceback.format_stack()))\n"
        "    return 0\n",
    )
    said = output(*RUN, file)
    assert "    sys.exit(run())\n" in said
    assert "    print(''.join(traceback.format_stack()))\n" in said


SHOWS_ITSELF = """
import os
import subprocess
import sys

from harmony_fleet import __version__
from harmony_fleet.agent.bootstrap import pinned_descriptor

CHILD = '''
import os
for n in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink("/proc/self/fd/" + n))
    except OSError:
        pass
'''

def run() -> int:
    "Gone where compiled code is used."
    n = pinned_descriptor()
    assert n is not None
    command = [sys.executable, "-IS", "-c", CHILD]
    inherited = subprocess.run(command, close_fds=False, capture_output=True, text=True).stdout
    shown = {
        "version": __version__,
        "descriptor above standard": n > 2,
        "inode": os.fstat(n).st_ino,
        "path": sys.path[0] == f"/proc/self/fd/{n}",
        "inherited": "fleet-agent" in inherited,
        "compiled": run.__doc__ is None,
        "arguments": sys.argv[1:],
    }
    os.write(1, repr(shown).encode())
    return 0
"""


@pytest.fixture(scope="module")
def shows_itself(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("shows"), SHOWS_ITSELF, "3.2.1-rc.1")


def test_the_agent_holds_its_own_file_and_hands_it_to_no_child(shows_itself: Path) -> None:
    expected = {
        "version": "3.2.1-rc.1",
        "descriptor above standard": True,
        "inode": shows_itself.stat().st_ino,
        "path": True,
        "inherited": False,
        "compiled": True,
        "arguments": ["--self-test"],
    }
    assert output(*RUN, shows_itself, "--self-test") == repr(expected)


def test_standard_descriptors_that_are_closed_are_not_taken_for_the_archive(
    shows_itself: Path,
) -> None:
    closed = 'exec "$0" -IS "$1" 0<&- 2>&-'
    assert "'descriptor above standard': True" in output("sh", "-c", closed, RUN[0], shows_itself)


def test_it_starts_from_a_relative_path_and_without_any_flag(shows_itself: Path) -> None:
    folder = str(shows_itself.parent)
    assert "'path': True" in output(sys.executable, f"./{shows_itself.name}", cwd=folder)


def test_code_compiled_for_another_minor_is_passed_over(shows_itself: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "fleet-agent"
    with zipfile.ZipFile(shows_itself) as archive, zipfile.ZipFile(foreign, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            copy.writestr(name, b"\0\1\r\n" + data[4:] if name.endswith(".pyc") else data)
    assert "'compiled': False" in output(*RUN, foreign)


def other_pythons(minors: range) -> list[str]:
    """Those on PATH that start; a version manager's stand-ins may not."""
    found = []
    for minor in minors:
        name = shutil.which(f"python3.{minor}")
        show = "import sys; print(sys.version_info[1])"
        if name and minor != sys.version_info.minor:
            run = subprocess.run([name, "-IS", "-c", show], capture_output=True, timeout=TIMEOUT_S)
            found += [name] if run.stdout == b"%d\n" % minor else []
    return found


def test_a_python_below_the_floor_says_so_in_one_sentence(tmp_path: Path) -> None:
    root = source(tmp_path / "source", SHOWS_ITSELF)
    bootstrap = (root / "agent/bootstrap.py").read_text()
    assert "FLOOR = (3, 11)" in bootstrap
    (root / "agent/bootstrap.py").write_text(bootstrap.replace("(3, 11)", "(3, 999)"))
    build("1.0.0", tmp_path, root)
    for python in [sys.executable, *other_pythons(range(6, 11))]:
        run = subprocess.run(
            [python, "-IS", tmp_path / artifact_name("1.0.0")],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert run.returncode == 1
        assert run.stderr.startswith("fleet-agent needs Python 3.999 or newer, but ")
        assert run.stderr.count("\n") == 1


def test_libraries_that_a_site_happens_to_have_are_not_imported(tmp_path: Path) -> None:
    file = artifact(
        tmp_path,
        "def run() -> int:\n"
        "    from nats.aio import client, transport\n"
        "    print(transport.aiohttp, client.parse_email)\n"
        "    return 0\n",
    )
    site = tmp_path / "site"
    site.mkdir()
    for name in ("aiohttp", "multidict", "fast_mail_parser"):
        (site / f"{name}.py").write_text("parse_email = 'imported'")
    assert output(sys.executable, file, env={"PYTHONPATH": str(site)}) == "None None\n"
