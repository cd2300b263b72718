"""However a test that has machines ends, nothing of them is left on the machine that ran it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machines.hub import Hub

pytestmark = pytest.mark.machines

_CHECKOUT = Path(__file__).parents[2]
_SOON_S = 20.0
_TEST = """
import sys
from pathlib import Path
from tests.machines.hub import hub_at
from tests.machines.machine import Kind, machine

with hub_at(Path(sys.argv[1])) as hub, machine(hub, "left", Kind(disk_bytes=48 << 20)) as left:
    with hub.inside():
        print("up", flush=True)
    sys.stdin.readline()
    raise AssertionError("the test failed")
"""


@pytest.fixture
def test(hub: Hub, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs a machine, below `tmp_path`, and fails when it is told to go on."""
    with subprocess.Popen(
        [sys.executable, "-c", _TEST, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_CHECKOUT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_a_test_that_fails_leaves_nothing(test: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert left_over(tmp_path, test.pid) != []
    _, said = test.communicate("\n")
    assert "the test failed" in said
    assert left_over(tmp_path, test.pid) == []
    assert not (tmp_path / "left").exists()


def test_a_test_process_that_is_killed_leaves_no_more_than_files(
    test: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    test.send_signal(signal.SIGKILL)
    test.wait()
    ends_s = time.monotonic() + _SOON_S
    while left := [each for each in left_over(tmp_path, test.pid) if each not in cgroups(test.pid)]:
        assert time.monotonic() < ends_s, left
        time.sleep(0.02)


def left_over(folder: Path, pid: int) -> list[str]:
    """Processes, mounts of any process, loop devices and cgroups."""
    loops = subprocess.run(
        ["losetup", "--list", "-nO", "BACK-FILE"], capture_output=True, text=True
    )
    found = [line for line in loops.stdout.splitlines() if str(folder) in line]
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) not in (pid, os.getpid()):
            told = (read(process / "cmdline"), read(process / "mountinfo"))
            found += [f"{process}: {each}" for each in told if str(folder) in each]
    return found + cgroups(pid)


def cgroups(pid: int) -> list[str]:
    """Those of the hubs of one process, where this machine shows cgroups of version 2."""
    roots = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
    return [str(each) for root in roots for each in root.glob(f"harmony-fleet-tests-*-{pid}")]


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""
