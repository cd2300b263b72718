"""The demo as a person runs it: its verdict, and that the verdict can fail."""

import os
import signal
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


def interrupted(at: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Ctrl-C when it has said `at`: the whole group of processes gets the signal."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if at in line)
        os.killpg(process.pid, signal.SIGINT)
        rest, complaints = process.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess([], process.returncode, said + rest, complaints)


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


@pytest.mark.parametrize("at", ["Starting", "1 of 5", "upgrade --all --to 1.5.0"])
@pytest.mark.parametrize("words", [(), ("--keep",)], ids=["", "keep"])
def test_ctrl_c_ends_all_that_the_demo_had_started(
    at: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    ran = interrupted(at, *words, "--data", tmp_path / "data")
    assert ran.returncode == 130, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert left_over(tmp_path) == []


def test_what_it_cannot_work_with_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "nats").mkdir()
    data = ("--data", tmp_path / "data")
    for words, sentence in (
        (("--without", "everything", *data), "there is no protection 'everything'"),
        (("--nats-server", tmp_path / "nothing", *data), "there is no NATS server"),
        (("--nats-server", tmp_path / "precious", *data), "is not executable"),
        (("--nats-server", tmp_path / "nats", *data), "NATS server"),
        (("--data", tmp_path), "is not an earlier demo's folder"),
    ):
        ran = demo(*words)
        assert (ran.returncode, sentence in ran.stdout) == (2, True), ran.stdout + ran.stderr
        assert ran.stderr == ""
    assert (tmp_path / "precious").exists()
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
