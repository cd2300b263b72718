"""A short storm: played to its end, and interrupted."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.machines.hub import Hub
from tests.machines.test_nothing_left import left_over

pytestmark = pytest.mark.machines

CHECKOUT = Path(__file__).parents[2]
LIMIT_S = 400.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Sockets lie in it, and the kernel takes no long path for one."""
    with TemporaryDirectory() as name:
        yield Path(name)


def storm(folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "storm", "--seed=4", *options],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_few_upgrades_end_without_a_fault(hub: Hub, folder: Path) -> None:
    report = folder / "report.md"
    with storm(folder, "--upgrades=4", "--devices=2", f"--report={report}") as process:
        said, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said + complaints
    for row in ("verdict | passed", "upgrades | 4 of 4", "devices lost | 0", "left-overs | 0"):
        assert f"| {row} |" in report.read_text(), said
    assert left_over(folder, process.pid) == []


def test_ctrl_c_ends_everything_that_was_started(hub: Hub, folder: Path) -> None:
    with storm(folder, "--upgrades=4", "--devices=1") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "1/4" in line)
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, complaints
    assert "Traceback" not in complaints
    assert left_over(folder, process.pid) == []
