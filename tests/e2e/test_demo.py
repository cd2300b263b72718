"""The demo as a person runs it: its verdict, and that the verdict can fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from demo.without import PROTECTIONS

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 400

FAILS_AT = {
    "hash": "1.2.0",
    "self-test": "1.3.0",
    "heartbeat-timeout": "1.4.0",
    "guard": "1.5.0",
}


def demo(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "demo", *words]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that name this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(folder) in words:
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_the_demo_ends_with_a_passed_verdict_and_leaves_nothing_running(tmp_path: Path) -> None:
    ran = demo("--data", tmp_path / "data")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "VERDICT: passed" in ran.stdout
    assert "Traceback" not in ran.stderr
    assert left_over(tmp_path) == []


def test_every_protection_has_a_release_that_only_it_refuses() -> None:
    assert PROTECTIONS.keys() == FAILS_AT.keys()


@pytest.mark.parametrize("protection", sorted(FAILS_AT))
def test_without_one_protection_the_verdict_fails_at_the_release_that_it_guards_against(
    protection: str, tmp_path: Path
) -> None:
    ran = demo("--without", protection, "--data", tmp_path / "data")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"VERDICT: failed at {FAILS_AT[protection]}" in ran.stdout
    assert left_over(tmp_path) == []
