import hashlib
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import harmony_fleet
from harmony_fleet.agent import bootstrap
from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.release.__main__ import main
from harmony_fleet.release.build import (
    DEVICE_FOLDERS,
    OutputUnwritable,
    SourceUnusable,
    artifact_name,
    build,
)
from harmony_fleet.release.manifest import PYTHON_FLOOR, read_manifest

PACKAGE = Path(harmony_fleet.__file__).parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The smallest source that an artifact can be built from."""
    root = tmp_path / "source"
    for folder in DEVICE_FOLDERS:
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").write_text("")
    (root / "agent/bootstrap.py").write_bytes((PACKAGE / "agent/bootstrap.py").read_bytes())
    (root / "agent/main.py").write_text("def run() -> int:\n    return 0\n")
    return root


def entries_of(version: str, folder: Path) -> set[str]:
    with zipfile.ZipFile(folder / artifact_name(version)) as archive:
        return set(archive.namelist())


def test_what_is_returned_describes_the_file_that_was_written(root: Path, tmp_path: Path) -> None:
    built = build("1.2.3-rc.1", tmp_path / "made/for/it", root)
    file = tmp_path / "made/for/it/fleet-agent-1.2.3-rc.1"
    data = file.read_bytes()
    assert (built.size_bytes, built.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert built.manifest == read_manifest(file)
    assert built.manifest.version == "1.2.3-rc.1"
    assert built.manifest.python_built == f"3.{sys.version_info.minor}"
    assert data.startswith(b"#!/usr/bin/python3 -IS\nPK")
    assert file.stat().st_mode & 0o7777 == 0o755


def test_of_ours_only_importable_modules_of_the_device_folders_get_in(
    root: Path, tmp_path: Path
) -> None:
    for stray in ("agent/notes.json", "agent/.#main.py", "agent/main.py~", "agent/py.typed"):
        (root / stray).write_text("stray")
    for stray in ("operator/loop.py", "agent/__pycache__/main.pyc", "release/build.py", "top.py"):
        (root / stray).parent.mkdir(exist_ok=True)
        (root / stray).write_text("stray")
    build("1.2.3", tmp_path, root)
    modules = ["__main__.py", "harmony_fleet/__init__.py", "harmony_fleet/agent/main.py"]
    modules += [f"harmony_fleet/{folder}/__init__.py" for folder in DEVICE_FOLDERS]
    modules += ["harmony_fleet/agent/bootstrap.py"]
    ours = {name for name in entries_of("1.2.3", tmp_path) if not name.startswith("nats/")}
    assert ours == {*modules, *(f"{name}c" for name in modules), "manifest.json"}


def test_nats_py_gets_in_with_its_licence_and_without_its_service_framework(
    root: Path, tmp_path: Path
) -> None:
    build("1.2.3", tmp_path, root)
    nats = {name for name in entries_of("1.2.3", tmp_path) if name.startswith("nats/")}
    assert {"nats/LICENSE", "nats/aio/client.py", "nats/aio/client.pyc"} <= nats
    assert not any(name.startswith("nats/micro") for name in nats)
    assert {Path(name).suffix for name in nats - {"nats/LICENSE"}} == {".py", ".pyc"}


def test_entries_are_sorted_and_carry_no_time_owner_or_path_of_this_machine(
    root: Path, tmp_path: Path
) -> None:
    build("1.2.3", tmp_path, root)
    with zipfile.ZipFile(tmp_path / "fleet-agent-1.2.3") as archive:
        infos = archive.infolist()
        content = b"".join(archive.read(info) for info in infos)
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    marks = {(i.date_time, i.create_system, i.external_attr, i.compress_type) for i in infos}
    assert marks == {((1980, 1, 1, 0, 0, 0), 3, 0o100644 << 16, zipfile.ZIP_DEFLATED)}
    assert str(tmp_path).encode() not in content
    assert sys.prefix.encode() not in content


def test_the_inputs_digest_changes_with_a_byte_or_a_name_and_not_with_the_folder(
    root: Path, tmp_path: Path
) -> None:
    def digest() -> str:
        return build("1.2.3", tmp_path, root).manifest.inputs_sha256

    first = digest()
    assert digest() == first
    (root / "agent/a.py").write_text("")
    added = digest()
    (root / "agent/a.py").rename(root / "agent/b.py")
    moved = digest()
    (root / "agent/b.py").write_text("#")
    assert len({first, added, moved, digest()}) == 4
    (root / "agent/b.py").unlink()
    assert build("1.2.3", tmp_path, root.rename(tmp_path / "else")).manifest.inputs_sha256 == first


def test_the_floor_in_the_manifest_is_the_floor_that_the_bootstrap_checks() -> None:
    assert ">=" + ".".join(map(str, bootstrap.FLOOR)) == PYTHON_FLOOR


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.2.3+build", "../1.2.3", "1.2.3\n"])
def test_a_bad_version_is_refused_before_anything_is_written(version: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue):
        build(version, tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize("needed", ["agent/main.py", "agent/bootstrap.py", "asset/__init__.py"])
def test_an_incomplete_source_is_refused_by_the_name_of_what_is_missing(
    needed: str, root: Path, tmp_path: Path
) -> None:
    (root / needed).unlink()
    with pytest.raises(SourceUnusable, match=needed):
        build("1.2.3", tmp_path / "dist", root)
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize("broken", ["def run(:\n", "text = '\0'\n"])
def test_a_source_that_does_not_compile_is_refused_by_its_name(
    broken: str, root: Path, tmp_path: Path
) -> None:
    (root / "agent/main.py").write_text(broken)
    with pytest.raises(SourceUnusable, match=r"agent/main\.py"):
        build("1.2.3", tmp_path, root)


def test_a_source_too_large_for_a_device_is_refused(root: Path, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(9 * 2**20).translate(None, delete=b"\0\r\n\f")
    (root / "agent/ballast.py").write_bytes(b"# coding: latin-1\n# " + noise)
    with pytest.raises(SourceUnusable, match="at most"):
        build("1.2.3", tmp_path / "dist", root)


def test_an_output_that_is_no_folder_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "dist").write_text("a file")
    with pytest.raises(OutputUnwritable, match="dist"):
        build("1.2.3", tmp_path / "dist", root)
    assert (tmp_path / "dist").read_text() == "a file"


def test_a_failed_write_leaves_nothing_behind_and_what_was_there_untouched(
    root: Path, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "dist" / artifact_name("1.2.3")
    in_the_way.mkdir(parents=True)
    with pytest.raises(OutputUnwritable):
        build("1.2.3", tmp_path / "dist", root)
    assert list((tmp_path / "dist").iterdir()) == [in_the_way]


def test_building_again_replaces_the_file_and_never_writes_into_it(
    root: Path, tmp_path: Path
) -> None:
    build("1.2.3", tmp_path, root)
    with (tmp_path / "fleet-agent-1.2.3").open("rb") as held:
        before = held.read()
        (root / "agent/main.py").write_text("def run() -> int:\n    return 1\n")
        build("1.2.3", tmp_path, root)
        held.seek(0)
        assert held.read() == before
    assert (tmp_path / "fleet-agent-1.2.3").read_bytes() != before


def test_the_command_prints_path_size_and_digest(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["build", "--version", "1.2.3", "--output", str(tmp_path), "--source", str(root)]
    assert main(command) == 0
    data = (tmp_path / "fleet-agent-1.2.3").read_bytes()
    printed = capsys.readouterr().out
    assert printed.startswith(f"{tmp_path}/fleet-agent-1.2.3 ")
    assert f" {len(data)} bytes " in printed
    assert hashlib.sha256(data).hexdigest() in printed


@pytest.mark.parametrize(
    ("version", "source"), [("one", None), ("1.2.3", Path("/nonexistent")), ("1.2.3", Path("\0"))]
)
def test_the_command_refuses_bad_input_with_status_2_and_one_sentence(
    version: str, source: Path | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["build", "--version", version, "--output", str(tmp_path)]
    assert main([*command, "--source", str(source)] if source else command) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_without_nats_py_the_command_says_how_to_install_it(root: Path, tmp_path: Path) -> None:
    command = ["build", "--version", "1.2.3", "--output", str(tmp_path), "--source", str(root)]
    run = subprocess.run(
        [sys.executable, "-S", "-m", "harmony_fleet.release", *command],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.returncode == 2
    assert "pip install 'nats-py" in run.stderr
    assert "Traceback" not in run.stderr


def test_every_refusal_of_the_build_has_the_one_root() -> None:
    assert issubclass(SourceUnusable, FleetError)
    assert issubclass(OutputUnwritable, FleetError)
