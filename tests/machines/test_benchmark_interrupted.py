"""`make bench-device`, interrupted while a machine runs for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.machines.hub import Hub
from tests.machines.test_nothing_left import left_over

pytestmark = pytest.mark.machines

CHECKOUT = Path(__file__).parents[2]
LIMIT_S = 120.0
Moment = Callable[[Path, int], bool]


def a_machine_runs(folder: Path, pid: int) -> bool:
    """At first, the one that tells whether any can run here."""
    return any("systemd-nspawn" in one for one in left_over(folder, pid))


def others_are_warmed(folder: Path, _pid: int) -> bool:
    """Their connections stay open between two turns."""
    return any(one.is_socket() for one in folder.glob("play-*/s/*"))


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, a_machine_runs),
        (signal.SIGINT, a_machine_runs),
        (signal.SIGINT, others_are_warmed),
    ],
)
def test_whatever_asks_it_to_end_leaves_no_machine_and_no_traceback(
    hub: Hub, number: signal.Signals, moment: Moment
) -> None:
    with TemporaryDirectory() as name:  # sockets lie in it, and the kernel takes no long path
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.device", "--rounds=1", "--devices=1"],
            cwd=CHECKOUT,
            env={**os.environ, "TMPDIR": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            wait_for(moment, Path(name), process)
            interrupt(process, number)
            said, complaints = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130, said + complaints
        assert said.splitlines()[-1].startswith("interrupted")
        assert "Traceback" not in complaints
        assert left_over(Path(name), process.pid) == []


def interrupt(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """Ctrl-C goes to all that was started from the terminal, another signal to it alone."""
    if number is signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def wait_for(moment: Moment, folder: Path, process: "subprocess.Popen[str]") -> None:
    ends_s = time.monotonic() + LIMIT_S
    while not moment(folder, process.pid):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends_s
        time.sleep(0.1)
