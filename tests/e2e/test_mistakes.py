"""Each of these mistakes, put into a copy of the code, makes the named tests fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from demo.without import SOURCE, remove
from tests.e2e.mistakes import MISTAKES, Mistake

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
TESTS_FAILED = 1
"""pytest's exit status; a broken import would be another one."""


def run_on_copy(folder: Path, mistake: Mistake | None, tests: str) -> int:
    package = folder / "src" / "harmony_fleet"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for change in mistake.changes if mistake else ():
        remove(change, package)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["--ignore-glob", "*/tests/e2e/*", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.returncode


@pytest.mark.parametrize("name", MISTAKES)
def test_the_tests_see_the_mistake(name: str, tmp_path: Path) -> None:
    assert run_on_copy(tmp_path, MISTAKES[name], MISTAKES[name].tests) == TESTS_FAILED


def test_the_tests_pass_on_a_copy_without_a_mistake(tmp_path: Path) -> None:
    tests = " ".join(sorted({mistake.tests for mistake in MISTAKES.values()}))
    assert run_on_copy(tmp_path, None, tests) == 0
