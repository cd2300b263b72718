"""What the storm, the soak and the benchmarks that are typed refuse before they start anything."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROGRAMS = ["storm", "soak", "benchmarks.device", "benchmarks.kube"]


def refused(program: str, *options: str) -> str:
    argv = [sys.executable, "-m", program, *options]
    ran = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (2, "", False), ran
    return ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_report_that_could_not_be_written_is_refused_before_anything_is_done(
    program: str, tmp_path: Path
) -> None:
    assert "/nope is no folder" in refused(program, "--report=/nope/x.md")
    assert f"{tmp_path} is a folder" in refused(program, f"--report={tmp_path}")
    assert "cannot be written" in refused(program, "--report=/proc/x.md")


@pytest.mark.parametrize("option", ["--rounds=0", "--devices=0", "--rounds=-1"])
def test_no_rounds_and_no_devices_are_refused(option: str) -> None:
    name, _, _ = option.partition("=")
    assert f"{name} must be above 0" in refused("benchmarks.device", option)
