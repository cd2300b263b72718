"""Mounts as a preflight sees them: real ones, in a name space that goes with its process."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

LOOK = """
import json, sys
from pathlib import Path
from harmony_fleet.agent.config import PathsConfig
from harmony_fleet.agent.preflight.disk import judge_folders, judge_room
from harmony_fleet.agent.preflight.measure import measure
from harmony_fleet.agent.upgrade.record import fresh
from harmony_fleet.contracts.preflight import PreflightCommand
from harmony_fleet.contracts.upgrade import Artifact

mounted, root = Path(sys.argv[1]), Path(sys.argv[2])
paths = PathsConfig(root / "none", mounted, root / "link", root / "previous", root)
artifact = Artifact("http://h/a", 1_000_000, "ab" * 32)
asked = PreflightCommand("pi-1", "2.0.0", artifact, "2026-01-01T00:00:00Z")
found = measure(paths, "1.0.0", asked, fresh("journal-1"))
checks = judge_room(found.rooms), judge_folders(found.folder_flaws)
print(json.dumps({one.name: [one.state, one.detail] for one in checks}))
"""
SCRIPT = 'mount -t tmpfs -o "$1" none "$2" && exec "$4" -c "$5" "$2" "$3"'

pytestmark = pytest.mark.machine_may_refuse


def alone(script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]
    return subprocess.run(argv, capture_output=True, text=True)


@cache
def refused() -> str | None:
    try:
        done = alone("mount -t tmpfs none /mnt")
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()


def seen(folder: Path, options: str) -> dict[str, Any]:
    """What is found where the versions' folder is such a mount."""
    if why := refused():
        pytest.skip(f"nothing can be mounted here: {why}")
    mounted, root = folder / "mounted", folder / "root"
    mounted.mkdir()
    root.mkdir()
    done = alone(SCRIPT, options, str(mounted), str(root), sys.executable, LOOK)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("options", "flaw"),
    [
        ("noexec", "is on a file system mounted noexec"),
        ("ro", "is on a read-only file system"),
    ],
)
def test_a_mount_that_no_version_could_be_put_or_run_on_is_told(
    tmp_path: Path, options: str, flaw: str
) -> None:
    assert seen(tmp_path, options)["folders"] == ["failed", f"{tmp_path / 'mounted'} {flaw}"]


@pytest.mark.parametrize(
    ("options", "state"),
    [("size=512k", "failed"), ("size=1536k", "warning"), ("size=8m", "ok")],
)
def test_a_small_file_system_has_or_has_not_the_room(
    tmp_path: Path, options: str, state: str
) -> None:
    found = seen(tmp_path, options)
    assert found["disk_space"][0] == state
    assert found["folders"][0] == "ok"


def test_a_file_system_without_a_file_left_is_told(tmp_path: Path) -> None:
    state, words = seen(tmp_path, "nr_inodes=1,size=8m")["disk_space"]
    assert state == "failed"
    assert "no further file" in words
