"""Types commands of the documentation into a shell of a user whose data folder is empty."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
VENV = Path(sys.executable).parent
UP = "fleet up &"


def started(home: Path) -> str:
    """`fleet up &` on any free port, since whoever tests may have a fleet, and once it is up."""
    up = home / "harmony-fleet" / "up.json"
    waiting = f"for i in $(seq 300); do [ -e {up} ] && break; sleep 0.1; done"
    return f"rm -f {up}; fleet up --port 0 >>{home}/up.log 2>&1 &\noperator=$!; {waiting}"


@contextmanager
def shell(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """In a session of its own; what it started is ended with it."""
    environment = {
        **os.environ,
        "PATH": f"{VENV}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "COLUMNS": "120",
    }
    with subprocess.Popen(
        ["sh"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            stop = [f"{VENV}/fleet", "device", "stop-local"]
            subprocess.run(stop, env=environment, timeout=120, capture_output=True)
            os.killpg(process.pid, signal.SIGTERM)


def typed(process: "subprocess.Popen[str]", lines: list[str], done: str) -> str:
    """All that was said until `done` was echoed, or until the shell gave up at a failure."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n".join(["set -e", *lines, f"echo {done}"]) + "\n")
    process.stdin.flush()
    said: list[str] = []
    for line in process.stdout:
        if line == f"{done}\n":
            return "".join(said)
        said.append(line)
    raise AssertionError("a command failed:\n" + "".join(said))
