"""The soak as a person runs it: one round to its end, and one that is interrupted in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from soak.device import QUIET, mentioning
from soak.run import agent_of

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 400


def soak(data: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "soak", "--data", str(data), "--minutes=0.1", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_round_ends_without_a_fault_and_leaves_nothing_running(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    with soak(tmp_path / "data", "--devices=2", "--seed=1", f"--report={report}") as process:
        said, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said + complaints
    assert "| verdict | passed |" in report.read_text()
    assert f"| {agent_of(QUIET)} |" in report.read_text()
    assert not mentioning(str(tmp_path))


def test_ctrl_c_in_the_middle_of_a_round_ends_everything_that_was_started(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with soak(data, "--devices=2", "--seed=1") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "every device is heard" in line)
        assert mentioning(str(data / "devices"))
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, complaints
    assert "Traceback" not in complaints
    assert not mentioning(str(tmp_path))
