"""`make bench-kube`, interrupted while an operator runs for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.kube

CHECKOUT = Path(__file__).parents[2]
LIMIT_S = 120.0


def running_in(folder: Path) -> list[str]:
    """The command lines of what was started there."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = one.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whatever_asks_it_to_end_leaves_nothing_and_no_traceback(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kube", "--devices=5", "--upgrades=5", "--rounds=1"],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        ends_s = time.monotonic() + LIMIT_S
        while not any("operator.main" in one for one in running_in(tmp_path)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < ends_s
            time.sleep(0.1)
        process.send_signal(number)
        said, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, said + complaints
    assert said.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in complaints
    assert running_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
