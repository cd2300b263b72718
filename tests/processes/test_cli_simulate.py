"""`fleet simulate`, as a person types it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harmony_fleet.agent.upgrade import guard_rules
from harmony_fleet.cli.arguments import Duration
from harmony_fleet.cli.main import main
from harmony_fleet.cli.showing_rehearsal import RELEASES
from harmony_fleet.cli.simulate import KINDS
from harmony_fleet.simulation.rehearsal import Release

PROGRAM = "from harmony_fleet.cli.main import run; run()"
LIMIT_S = 60.0
FEW = ("--devices", "3")


def fleet(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROGRAM, "simulate", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def document(*arguments: str) -> dict[str, Any]:
    ran = fleet(*arguments, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_it_tells_what_becomes_of_a_bad_release_in_an_outage_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "fleet.svg"
    bad = ("--bad-release", "crash-after-commit", "--plane-outage", "5m", "--outage-at", "25s")
    ran = fleet(*FEW, *bad, "--picture", str(picture))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "3 devices, a release that crashes again and again after its commit" in ran.stdout
    assert "A simulation: " in ran.stdout
    assert "left without a working agent: 0 devices\n" in ran.stdout
    assert "in the end 3 run the old one\n" in ran.stdout
    assert "3        RolledBack  crash_loop\n" in ran.stdout
    assert "of real time\n" in ran.stdout
    assert ran.stdout.endswith(f"picture: {picture}\n")
    assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - written here
    assert "message plane away" in picture.read_text()
    assert list(tmp_path.iterdir()) == [picture]


def test_as_json_it_is_one_document_with_the_devices_of_each_phase_at_each_instant() -> None:
    told = document(*FEW, "--bad-release", "fails-self-test")
    assert told["simulated"] is True
    assert told["asked"]["release"] == "fails-self-test"
    assert told["ends"] == [{"phase": "Failed", "cause": "self_test_failed", "devices": 3}]
    assert told["without_working_agent"] == 0
    assert told["violations"] == []
    over_time = told["over_time"]
    sums = {sum(here) for here in zip(*over_time["devices"].values(), strict=True)}
    assert sums == {3}
    assert len(over_time["at_s"]) == len(over_time["devices"]["Failed"])


def test_what_must_never_be_is_told_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here by a guard that never goes back: the device crashes for ever."""
    monkeypatch.setattr(guard_rules, "_why_back", lambda _event, _attempt: None)
    assert main(["simulate", "--devices", "1", "--bad-release", "crash-after-commit"]) == 1
    said = capsys.readouterr()
    assert "left without a working agent: 1 device\n" in said.out
    assert said.err.startswith("fleet: this must never be, and was: ")
    assert "please report it" in said.err


def test_the_same_seed_rehearses_the_same_in_another_process() -> None:
    arguments = ("--devices", "5", "--at-once", "2", "--every", "1m", "--seed", "7")
    first, again = document(*arguments), document(*arguments)
    assert first.pop("took_s") >= 0
    again.pop("took_s")
    assert first == again


def test_a_picture_that_was_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    picture, link = tmp_path / "fleet.svg", tmp_path / "link.svg"
    picture.write_text("old")
    link.symlink_to(picture)
    assert fleet(*FEW, "--picture", str(link)).returncode == 0
    assert link.is_symlink()
    assert picture.read_text().startswith("<svg")


BAD = [
    (("--devices", "0"), "0 is not in the range"),
    (("--devices", "many"), "not a valid integer"),
    (("--bad-release", "worse"), "'worse' is not one of"),
    (("--plane-outage", "soon"), "'soon' is no duration, such as 90s, 5m or 1h30m"),
    (("--plane-outage", "0"), "out of bounds: 1.0 s to 2 d"),
    (("--plane-outage", "5m3"), "is no duration"),
    (("--heartbeat", "2h"), "out of bounds: 1.0 s to 1 h 00 min"),
    (("--probation", "-5"), "is no duration"),
    (("--outage-at", "5s"), "--outage-at needs --plane-outage or --operator-outage"),
    (("--every", "5m"), "--every is between two groups"),
    (("--fails-after", "5s"), "--fails-after is of these kinds of --bad-release: crash-after"),
    (
        ("--bad-release", "hang-after-commit", "--fails-after", "10m"),
        "has come through a probation of 600 s",
    ),
    (("--picture", "/nowhere/fleet.svg"), "there is no folder /nowhere"),
    (("--picture", "/"), "is a directory"),
    (("--picture", "/dev/null"), "it is no regular file"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=[" ".join(one) for one, _ in BAD])
def test_what_cannot_be_rehearsed_is_refused_with_a_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("90", 90), ("1.5h", 5400)],
)
def test_a_duration_is_written_as_people_do(words: str, seconds: float) -> None:
    assert Duration(0.0, 1e6).convert(words, None, None) == seconds


def test_a_person_who_waits_sees_how_far_it_is() -> None:
    """Its answer goes into a pipe, and stderr to a terminal."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-c", PROGRAM, "simulate", "--devices", "4", "--at-once", "1"]
    environment = {**os.environ, "TERM": "xterm"}
    ran = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=theirs, env=environment, timeout=LIMIT_S, check=False
    )
    os.close(theirs)
    drawn = b""
    try:
        while more := os.read(ours, 4096):
            drawn += more
    except OSError:
        pass  # the terminal's other end is closed
    os.close(ours)
    assert ran.returncode == 0
    assert b"rehearsing" in drawn
    assert b"4/4" in drawn


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_and_leaves_no_picture_and_no_process(
    number: signal.Signals, tmp_path: Path
) -> None:
    picture = tmp_path / "fleet.svg"
    arguments = ("--devices", "100000", "--at-once", "20", "--picture", str(picture))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "simulate", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    drawn = b""
    while b"20/100000" not in drawn:
        drawn += os.read(ours, 4096)
    process.send_signal(number)
    try:
        while more := os.read(ours, 4096):
            drawn += more
    except OSError:
        pass  # the last one that held the terminal's other end has left
    os.close(ours)
    assert process.wait(LIMIT_S) == 130
    assert b"stopped; nothing was written" in drawn
    assert list(tmp_path.iterdir()) == []


def test_its_workers_end_with_it_also_where_it_is_killed() -> None:
    """They hold the other end of a pipe: when nobody holds it any more, they are gone."""
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("on one core there are no workers")
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "simulate", "--devices", "100000", "--at-once", "20"],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 2:
        assert process.poll() is None
    process.kill()
    process.wait(LIMIT_S)
    gone, _, _ = select.select([ours], [], [], LIMIT_S)
    assert gone
    assert os.read(ours, 1) == b""
    os.close(ours)


def test_the_command_knows_every_kind_of_release_by_its_name() -> None:
    assert set(KINDS) == set(Release) == set(RELEASES)
