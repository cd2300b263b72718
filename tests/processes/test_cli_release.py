import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.processes.stand_in_api import Cli, Script, device, standing

import harmony_fleet
from harmony_fleet.cli.main import main


def artifact(folder: Path, version: str = "1.1.0") -> Path:
    """A zip with a manifest, and nothing that runs: if it is run, it is seen."""
    manifest = {"name": "fleet-agent", "version": version, "inputs_sha256": "0" * 64}
    data = io.BytesIO(b"#!/bin/sh\ntouch was-run\n")
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("manifest.json", json.dumps({**manifest, "python_built": "3.11"}))
        archive.writestr("__main__.py", "open('was-run', 'w')")
    file = folder / f"fleet-agent-v{version}"
    file.write_bytes(data.getvalue())
    file.chmod(0o755)
    return file


def release(file: Path, version: str = "1.1.0") -> dict[str, Any]:
    content = file.read_bytes()
    return {
        "version": version,
        "artifact_name": file.name,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "python": ">=3.11",
        "added_at": "2026-02-03T04:05:06.789012Z",
    }


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return artifact(tmp_path)


@pytest.fixture
def script(file: Path) -> Script:
    return Script(releases=[release(file)])


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capsys)


def test_the_version_is_the_manifests_and_the_bytes_arrive_as_they_are(
    fleet: Cli, script: Script, file: Path
) -> None:
    ran = fleet("release", "add", str(file))
    assert ran.status == 0
    assert ran.out.startswith("release 1.1.0 added: ")
    assert script.asked == [("PUT", "/api/v1/releases/1.1.0", file.read_bytes())]
    assert not Path("was-run").exists()


def test_in_json_the_release_is_the_operators_document(
    fleet: Cli, script: Script, file: Path
) -> None:
    assert fleet("release", "add", str(file), "--json").document == release(file)
    assert fleet("release", "show", "1.1.0", "--json").document == release(file)
    assert fleet("release", "list", "--json").document == {"releases": [release(file)]}


def test_the_same_bytes_again_are_no_error(fleet: Cli, script: Script, file: Path) -> None:
    script.raw["PUT /api/v1/releases/1.1.0"] = json.dumps(release(file)).encode()
    ran = fleet("release", "add", str(file))
    assert (ran.status, "was there already" in ran.out) == (0, True)


def test_other_bytes_for_a_version_are_refused_in_the_operators_words(
    fleet: Cli, script: Script, file: Path
) -> None:
    words = "release 1.1.0 exists with other bytes: choose another version"
    script.errors["PUT /api/v1/releases/1.1.0"] = (409, "release_exists", words)
    ran = fleet("release", "add", str(file))
    assert (ran.status, ran.out, ran.err) == (2, "", f"fleet: {words}\n")


def test_a_file_that_the_operator_read_otherwise_is_told(
    fleet: Cli, script: Script, file: Path
) -> None:
    script.releases[0]["sha256"] = "0" * 64
    ran = fleet("release", "add", str(file))
    assert ran.status == 1
    assert "changed while it was being added" in ran.err


@pytest.mark.parametrize("what", ["missing", "folder", "text", "empty", "link", "no manifest"])
def test_a_file_that_is_no_agent_is_refused_before_anything_is_sent(
    fleet: Cli, script: Script, file: Path, what: str
) -> None:
    bad = file.with_name("bad")
    if what == "folder":
        bad.mkdir()
    elif what == "link":
        bad.symlink_to(file)
    elif what == "no manifest":
        with zipfile.ZipFile(bad, "w") as archive:
            archive.writestr("else", "")
    elif what != "missing":
        bad.write_text("" if what == "empty" else "#!/bin/sh\n")
    ran = fleet("release", "add", str(bad))
    assert (ran.status, ran.out) == (2, "")
    assert str(bad) in ran.err
    assert len(ran.err.splitlines()) == 1
    assert fleet("release", "add", str(bad), "--json").error["kind"] == "not_an_artifact"
    assert script.asked == []


ELSEWHERE = ("--url", "https://files.example/a", "--sha256", "A" * 64, "--size", "1000")


def test_a_file_on_another_server_is_only_referred_to(
    fleet: Cli, script: Script, file: Path
) -> None:
    away = {"artifact_name": "", "python": "", "stored_here": False}
    script.releases = [{**release(file), **away, "url": "https://files.example/a"}]
    ran = fleet("release", "add", *ELSEWHERE, "1.1.0")
    assert ran.status == 0
    first, second = ran.out.splitlines()
    assert first.startswith("release 1.1.0 added: ")
    assert first.endswith(" at https://files.example/a")
    assert second.startswith("not checked here: ")
    (asked,) = script.documents("PUT", "/api/v1/releases/1.1.0/reference")
    wanted = {"url": "https://files.example/a", "sha256": "a" * 64, "size_bytes": 1000}
    assert asked == wanted
    assert fleet("release", "list").out.splitlines()[1].split()[-2] == "https://files.example/a"
    shown = fleet("release", "show", "1.1.0").out
    assert "Python        not known" in shown
    assert "where         https://files.example/a" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "https://files.example/a", "1.1.0"),
        ("--sha256", "a" * 64, "1.1.0"),
        (*ELSEWHERE, "nine"),
        (*ELSEWHERE, "--size", "0", "1.1.0"),
        (*ELSEWHERE, "--size", "x", "1.1.0"),
        (*ELSEWHERE, "--sha256", "abc", "1.1.0"),
        (*ELSEWHERE, "--url", "https://me:secret@files.example/a", "1.1.0"),
    ],
)
def test_what_cannot_be_a_reference_is_refused_before_anything_is_asked(
    fleet: Cli, script: Script, arguments: tuple[str, ...]
) -> None:
    ran = fleet("release", "add", *arguments)
    assert (ran.status, ran.out, script.asked) == (2, "", [])
    assert "secret" not in ran.err


def test_lists_and_details_are_for_people_too(fleet: Cli, file: Path) -> None:
    head, row = fleet("release", "list").out.splitlines()
    assert head.split() == ["VERSION", "SIZE", "PYTHON", "ADDED", "SHA-256", "WHERE", "WITHDRAWN"]
    assert row.split()[0:4:3] == ["1.1.0", "2026-02-03T04:05:06Z"]
    assert row.split()[-2:] == ["here", "-"]
    assert release(file)["sha256"] in fleet("release", "show", "1.1.0").out


def test_without_a_release_the_list_says_how_to_add_one(fleet: Cli, script: Script) -> None:
    script.releases.clear()
    ran = fleet("release", "list")
    assert (ran.status, ran.out) == (0, "")
    assert "fleet release add FILE" in ran.err


def test_an_unknown_version_and_one_of_no_form_are_bad_input(fleet: Cli) -> None:
    assert fleet("release", "show", "9.9.9").status == 2
    assert fleet("release", "show", "nine").status == 2


def test_the_version_is_said_by_option_and_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"fleet {harmony_fleet.__version__}\n" * 2
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": harmony_fleet.__version__}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_fleet(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_FLEET_COMPLETE={shell}_complete" in script
    assert f"_HARMONY_FLEET_COMPLETE={shell}_complete" in script


@pytest.mark.parametrize("name", ["fleet", "harmony-fleet"])
def test_bash_completes_by_the_script_under_both_names(
    fleet: Cli, script: Script, tmp_path: Path, name: str
) -> None:
    script.looks = [[device("local-1"), device("other")]]
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    code = f"import sys; sys.argv[0] = '{name}'; from harmony_fleet.cli.main import run; run()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    program.chmod(0o755)
    lines = (
        f"PATH={program.parent}:$PATH",
        fleet("completion", "bash").out,
        f"COMP_WORDS=({name} device show lo) COMP_CWORD=3",
        f"$(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {name} lo show",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    environment = {"PATH": os.defpath, "FLEET_DATA": str(fleet.data)}
    argv = ["bash", "-c", "\n".join(lines)]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("local-1\n", "")


def test_bash_is_offered_the_devices_and_versions_that_the_operator_knows(
    fleet: Cli, script: Script
) -> None:
    script.looks = [[device("local-1"), device("local-2"), device("other")]]
    assert _completed(fleet, "fleet device show lo") == ["local-1", "local-2"]
    assert _completed(fleet, "fleet upgrade local-1 --to 1") == ["1.1.0"]
    assert "upgrade" in _completed(fleet, "fleet up")


def test_completion_is_silent_where_no_operator_is(tmp_path: Path, fleet: Cli) -> None:
    (fleet.data / "up.json").unlink()
    assert _completed(fleet, "fleet device show lo") == []


def _completed(fleet: Cli, line: str) -> list[str]:
    words = line.split()
    environment = {
        "FLEET_DATA": str(fleet.data),
        "_FLEET_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = "import sys; sys.argv[0] = 'fleet'; from harmony_fleet.cli.main import run; run()"
    argv = [sys.executable, "-c", program]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return [offer.partition(",")[2] for offer in ran.stdout.splitlines() if offer]
