"""What a person sees, on a pseudo-terminal of a known size."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.processes.stand_in_api import (
    UPGRADE_ID,
    Script,
    cause,
    device,
    ordered,
    preflighted,
    standing,
    upgrading,
)

ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR: Final = re.compile(r"\x1b\[(\d+;)*3[0-9]m")
WAIT: Final = ("upgrade", "--all", "--to", "1.1.0", "--wait")


class Terminal:
    """`fleet` on a terminal of its own."""

    def __init__(self, data: Path, *arguments: str, columns: int = 80, no_colour: bool = False):
        self._end, other = os.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        program = "from harmony_fleet.cli.main import run; run()"
        environment = {"PATH": os.defpath, "TERM": "xterm", "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments, "--data", str(data)],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment | ({"NO_COLOR": "1"} if no_colour else {}),
        )
        os.close(other)
        self.raw = ""

    def read_until(self, words: str) -> None:
        while words not in ESCAPE.sub("", self.raw):
            self._read()

    def ended(self) -> int:
        while self._read():
            pass
        os.close(self._end)
        return self.process.wait(20)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip("\r") for line in ESCAPE.sub("", self.raw).split("\n")]

    def _read(self) -> bool:
        try:
            data = os.read(self._end, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += data.decode()
        return bool(data)


@pytest.fixture
def script() -> Script:
    return Script(upgrades=ordered("local-1"), looks=[[upgrading("Failed", cause=cause())]])


@pytest.fixture
def data(tmp_path: Path, script: Script) -> Iterator[Path]:
    with standing(tmp_path / "data", script):
        yield tmp_path / "data"


@pytest.mark.parametrize("columns", [80, 120])
def test_a_list_has_colours_and_never_a_line_that_is_too_long(
    data: Path, script: Script, columns: int
) -> None:
    script.looks[0].append(device("a-device-with-a-very-long-name-indeed", "1.0.0-alpha.1"))
    script.looks[0][0]["upgrade"]["cause"]["sentence"] = "word " * 60
    terminal = Terminal(data, "device", "list", columns=columns)
    assert terminal.ended() == 0
    assert COLOUR.search(terminal.raw)
    head, failed, *_ = terminal.lines
    assert head.split() == ["DEVICE", "VERSION", "PHASE", "TO", "HEARD", "CAUSE"]
    assert "self_test_fai" in failed
    assert ("word word" in failed) == (columns == 120)
    assert max(map(len, terminal.lines)) <= columns


def test_colours_are_left_out_where_they_are_not_wanted(data: Path) -> None:
    terminal = Terminal(data, "device", "list", no_colour=True)
    assert terminal.ended() == 0
    assert not COLOUR.search(terminal.raw)


def test_waiting_draws_a_picture_in_place_and_ends_with_the_evidence(
    data: Path, script: Script
) -> None:
    staging = upgrading("Staging", progress={"done_bytes": 4, "total_bytes": 10})
    script.looks = [[staging], [upgrading("Failed", cause=cause())]]
    terminal = Terminal(data, *WAIT)
    terminal.read_until("Staging 40%")
    assert terminal.ended() == 1
    text = "\n".join(terminal.lines)
    assert "1 under way" in text
    assert "1 upgrade: 1 failed after" in text
    assert "    no module named x" in terminal.lines
    assert text.rstrip().endswith("fleet: 1 of 1 upgrade did not succeed: ask `fleet why local-1`")


def test_more_devices_than_lines_are_counted_and_those_under_way_are_seen(
    data: Path, script: Script
) -> None:
    ended = [upgrading("Succeeded", f"local-{n}", upgrade_id=f"{n:032x}") for n in range(60)]
    script.upgrades = {
        "results": [
            {"device_id": one["device_id"], "ordered": True, "upgrade_id": f"{n:032x}"}
            for n, one in enumerate(ended)
        ]
        + ordered("the-last-one")["results"]
    }
    script.looks = [[*ended, upgrading("Verifying", "the-last-one", upgrade_id=UPGRADE_ID)]]
    terminal = Terminal(data, *WAIT)
    terminal.read_until("the-last-one  1.0.0  1.1.0  Verifying")
    terminal.read_until("more")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ended() == 130


def test_watching_goes_on_until_it_is_interrupted(data: Path, script: Script) -> None:
    script.looks = [[device()], [device(version="7.7.7")]]
    terminal = Terminal(data, "device", "list", "--watch")
    terminal.read_until("7.7.7")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ended() == 130
    assert "Traceback" not in terminal.raw


def test_prose_is_broken_between_words(data: Path, script: Script) -> None:
    script.looks[0][0]["upgrade"]["cause"]["sentence"] = "word " * 40
    terminal = Terminal(data, "device", "show", "local-1")
    assert terminal.ended() == 0
    assert max(map(len, terminal.lines)) <= 80
    assert not any(line.endswith(("w", "wo", "wor")) for line in terminal.lines)


def test_a_preflight_is_a_row_for_each_device_and_its_sentences_below(
    data: Path, script: Script
) -> None:
    long = "/usr/bin is on a file system mounted noexec, " * 3
    script.preflight["results"] = [
        preflighted("local-1", ("folders", "failed", long)),
        preflighted("local-2", ("clock", "ok", "right")),
    ]
    terminal = Terminal(data, "preflight", "--all", "--to", "1.1.0")
    assert terminal.ended() == 1
    header, first, second, *below, closing, _ = terminal.lines
    assert header.split() == ["DEVICE", "VERDICT", "FINDINGS"]
    assert first.split() == ["local-1", "failed", "folders", "failed"]
    assert second.split() == ["local-2", "ok", "-"]
    assert all(len(line) <= 80 for line in below)
    assert " ".join(" ".join(below).split()) == f"local-1: folders failed: {long.strip()}"
    assert closing == "2 devices: 1 would work, 1 would not work"
    assert COLOUR.search(terminal.raw)
