"""Runs tests on a copy of the code that has a mistake in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from demo.without import SOURCE, remove
from tests.e2e.mistakes import Mistake

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 600.0
ASSERTED = ("assert ", "AssertionError", "Failed: DID NOT RAISE")
"""How a test fails that has seen something; what only crashes fails in other words."""


@dataclass(frozen=True, slots=True)
class Ran:
    name: str
    """Without its parameters."""
    why_failed: str | None
    told: str
    """All that was shown of the failure."""
    broken: bool
    """Outside of the test itself, as where something cannot be imported."""


def run_on_copy(folder: Path, mistake: Mistake | None, tests: Iterable[str]) -> list[Ran]:
    """`tests`: files or nodes, below `tests`."""
    package, results = folder / "src" / "harmony_fleet", folder / "results.xml"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for change in mistake.changes if mistake else ():
        remove(change, package)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--junitxml={results}", *(f"tests/{test}" for test in tests)]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=LIMIT_S)
    cases = ET.parse(results).iter("testcase")  # noqa: S314 - written by our own pytest
    return [_ran(case) for case in cases]


def _ran(case: ET.Element) -> Ran:
    failed, broken = case.find("failure"), case.find("error") is not None
    why = None if failed is None else failed.get("message", "")
    told = "" if failed is None else failed.text or ""
    return Ran(case.get("name", "").partition("[")[0], why, told, broken)
