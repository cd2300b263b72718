"""The artifact of this very source: what is in it, whether all of it loads, and the same bytes."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import harmony_fleet
from harmony_fleet.release.build import DEVICE_FOLDERS, artifact_name, build
from harmony_fleet.release.manifest import ReleaseFile

PACKAGE = Path(harmony_fleet.__file__).parent
MAX_BYTES = 1_600_000

BELONGS = re.compile(
    r"manifest\.json|__main__\.pyc?|harmony_fleet/__init__\.pyc?"
    r"|harmony_fleet/(contracts|asset|messaging|agent)/(\w+/)*\w+\.pyc?"
    r"|nats/(?!micro)(\w+/)*\w+\.pyc?|nats/LICENSE"
)

IMPORT_ALL = """
import sys

archive, names = sys.argv[1], sys.argv[2:]
sys.path.insert(0, archive)
from harmony_fleet.agent import bootstrap

bootstrap.pin(archive)
bootstrap.refuse_optional_imports()
import importlib

for name in names:
    importlib.import_module(name)
print(len(names))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReleaseFile]:
    folder = tmp_path_factory.mktemp("dist")
    release = build("1.2.3", folder)
    return folder / artifact_name("1.2.3"), release


def test_only_the_device_folders_and_nats_py_are_in_the_artifact(
    built: tuple[Path, ReleaseFile],
) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = archive.namelist()
    assert [name for name in names if BELONGS.fullmatch(name) is None] == []
    assert len(names) == len(set(names))
    sources = {name for name in names if name.endswith(".py")}
    assert {f"{name}c" for name in sources} == {name for name in names if name.endswith(".pyc")}
    assert {f"harmony_fleet/{folder}/__init__.py" for folder in DEVICE_FOLDERS} <= sources


def test_it_is_small(built: tuple[Path, ReleaseFile]) -> None:
    assert built[1].size_bytes <= MAX_BYTES


def test_every_module_in_it_imports_with_the_standard_library_alone(
    built: tuple[Path, ReleaseFile],
) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        files = [name for name in archive.namelist() if name.endswith(".py")]
    modules = {name[:-3].removesuffix("/__init__").replace("/", ".") for name in files}
    names = sorted(modules - {"__main__"})
    run = subprocess.run(
        [sys.executable, "-IS", "-c", IMPORT_ALL, built[0], *names],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (run.stderr, run.stdout) == ("", f"{len(names)}\n")


def copied(root: Path) -> Path:
    for folder in DEVICE_FOLDERS:
        shutil.copytree(PACKAGE / folder, root / folder)
    return root


TRAPS = """
# What marshal writes differently from process to process, if it is left to itself.
CHARACTERS = ("\\0", "@", " ", "~", "\\x7f", "\\xe9", "", b"", b"@")
NUMBERS = (10**40, 1.5, -0.0, 2j, 7, 300)
SETS = "x" in {"alpha", "beta gamma", "delta", "@"}, 3 in {1.5, 2, "three"}
NESTED = ((1.5, "not a name"), (1.5, "not a name"), ..., None)
"""


def test_two_builds_in_different_surroundings_give_the_same_bytes(tmp_path: Path) -> None:
    """Folder, times, umask, time zone, hash seed, and what the process has done before."""
    here, there = copied(tmp_path / "here"), tmp_path / "else" / "source"
    (here / "agent/traps.py").write_text(TRAPS)
    shutil.copytree(here, there)
    for path in there.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    held = [sys.intern(chr(number)) for number in range(0, 256, 3)]
    build("1.2.3", tmp_path, here)
    del held
    command = ["build", "--version", "1.2.3", "--output", "out", "--source", "source"]
    subprocess.run(
        [sys.executable, "-m", "harmony_fleet.release", *command],
        cwd=tmp_path / "else",
        env={"PYTHONHASHSEED": "12345", "TZ": "Asia/Kathmandu"},
        umask=0o077,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=20,
    )
    one, other = (tmp_path / place / artifact_name("1.2.3") for place in (".", "else/out"))
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_mode == other.stat().st_mode
