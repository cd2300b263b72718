"""What the demo's verdict checks, and that the file it has refused is a working agent. Quick."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from demo.processes import Agent, DeviceProcesses
from demo.releases import build_release, tamper
from demo.stage import DEVICES
from demo.story import GOOD, STEPS, Outcome, Step
from demo.verdict import lines, quoted
from demo.watcher import Expected, Finding, Hearing, Watcher, faults_of

BAD = [step for step in STEPS if step.version != GOOD]


def as_expected(expected: Expected) -> Finding:
    return Finding(
        "demo-1",
        expected.release,
        expected.version,
        expected.phase,
        expected.cause,
        f"it said: {expected.words}.",
        without_agent_s=0.0,
        heartbeat_gap_s=0.5,
        starts=expected.starts_least,
        faults=(),
    )


def by_version(step: Step) -> str:
    return step.version


@pytest.mark.parametrize("step", STEPS, ids=by_version)
def test_what_is_as_expected_has_no_fault(step: Step) -> None:
    assert faults_of(as_expected(step.expected), GOOD, step.expected) == ()


@pytest.mark.parametrize("step", BAD, ids=by_version)
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cause": "candidate_died"}, "candidate_died"),
        ({"cause": None}, "None"),
        ({"phase": "Succeeded"}, "Succeeded"),
        ({"words": "something else"}, "something else"),
        ({"release": "1.0.9"}, "1.0.9"),
        ({"version": "1.0.9"}, "1.0.9"),
        ({"starts": 4}, "4 times"),
        ({"without_agent_s": 1.6}, "1.60 s"),
        ({"heartbeat_gap_s": 0.0}, "never heard"),
    ],
    ids=str,
)
def test_each_bad_release_is_judged_by_its_own_cause_and_traces(
    step: Step, change: dict[str, Any], fault: str
) -> None:
    found = replace(as_expected(step.expected), **change)
    assert any(fault in words for words in faults_of(found, GOOD, step.expected))


def test_every_bad_release_has_a_cause_of_its_own_and_words_that_only_it_brings() -> None:
    assert len({step.expected.cause for step in BAD} - {None}) == len(BAD) == 4
    assert all(step.expected.words for step in BAD)


def test_a_crash_looping_release_is_started_twice_at_least_and_as_often_as_the_guard_allows() -> (
    None
):
    expected = BAD[-1].expected
    found = as_expected(expected)
    for starts, faulty in ((1, True), (2, False), (3, False), (4, True)):
        assert bool(faults_of(replace(found, starts=starts), GOOD, expected)) == faulty


@pytest.mark.parametrize("step", BAD, ids=by_version)
def test_each_device_is_judged_by_itself(step: Step, tmp_path: Path) -> None:
    expected = step.expected
    watcher = Watcher("", "", {name: device(name, tmp_path, expected) for name in ("a", "b", "c")})
    watcher.heard = {name: Hearing(1.0) for name in ("a", "b", "c")}
    views = {"a": view(expected, expected.cause), "b": view(expected, "interrupted")}
    found = watcher.findings(views, expected)
    assert [(one.device_id, bool(one.faults)) for one in found] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]


def device(name: str, root: Path, expected: Expected) -> DeviceProcesses:
    """One that runs the good version, and has started the release as often as it may."""
    primary = Agent(1, -1, candidate=False, started_through=None, opened=expected.version)
    bad = Agent(2, -1, candidate=False, started_through=None, opened=expected.release)
    return DeviceProcesses(root / name, 0, {1: primary}, started=[bad] * expected.starts_most)


def view(expected: Expected, cause: str | None) -> dict[str, Any]:
    evidence = {"kind": cause, "sentence": "", "evidence": expected.words}
    upgrade = {"to_version": expected.release, "phase": expected.phase, "cause": evidence}
    return {"current_version": expected.version, "upgrade": upgrade}


def outcomes() -> list[Outcome]:
    """All as expected but the last, which has two devices at fault in a way of their own."""
    told = []
    for step in STEPS:
        good = as_expected(step.expected)
        told.append(Outcome(step, [replace(good, device_id=name) for name in DEVICES]))
    *fine, last, worst = told[-1].findings
    faults = ("runs 1.5.0, not 1.1.0", "the control plane says 1.1.0", "was never heard")
    bad = [replace(last, faults=faults, version="1.5.0"), replace(worst, faults=faults[1:])]
    return [*told[:-1], Outcome(STEPS[-1], [*fine, *bad])]


def test_the_verdict_is_whole_at_80_columns_and_names_each_device_at_fault() -> None:
    said = [text for _, text in lines(outcomes())]
    assert max(map(len, said)) <= 80
    for step in BAD:
        (row,) = (line for line in said if line.startswith(step.version) and " ok" in line)
        assert f" {step.expected.cause} " in row
    assert next(line for line in said if line.startswith("1.1.0")).split()[1] == "5/5"
    text = "\n".join(said)
    assert "3/5 ok" in text
    assert text.count("1/5 bad") == 2
    assert "demo-4: runs 1.5.0, not 1.1.0" in text
    assert "demo-5: the control plane says 1.1.0" in text


def test_the_verdict_quotes_the_line_that_says_the_cause_with_its_hashes_cut() -> None:
    traceback = "Traceback:\n  File x\n  ImportError: no y\nself-test failed"
    assert quoted(traceback, "no y") == "ImportError: no y"
    sentence = f"{'z' * 150}: what came has {'a' * 64}, not {'b' * 64}; check it"
    assert quoted(sentence, "what came") == f"… what came has {'a' * 12}…, not {'b' * 12}…"
    assert quoted("nothing of the kind", "no y") == ""


def test_the_file_that_does_not_match_its_hash_is_a_working_agent_with_other_bytes(
    tmp_path: Path,
) -> None:
    file = build_release("1.2.0", tmp_path)
    published = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        modules = {name: archive.read(name) for name in archive.namelist()}
    tamper(file)
    served = file.read_bytes()
    assert len(served) == len(published)
    assert hashlib.sha256(served).digest() != hashlib.sha256(published).digest()
    with zipfile.ZipFile(file) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == modules
    ran = subprocess.run(
        [sys.executable, "-IS", file, "--version"], capture_output=True, text=True, timeout=30
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "1.2.0" in ran.stdout
