"""Types commands of the documentation into a shell of a user whose data folder is empty."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
VENV = Path(sys.executable).parent
UP = "fleet up &"


LIMIT_S = 300.0
"""For all that is typed at once."""


def free_port() -> int:
    """Of this moment: whoever tests may have a fleet of their own at the usual one."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def started(home: Path, port: int) -> str:
    """`fleet up &`, at the same port each time, and once it is up."""
    up = home / "harmony-fleet" / "up.json"
    waiting = f"for i in $(seq 300); do [ -e {up} ] && break; sleep 0.1; done"
    return f"rm -f {up}; fleet up --port {port} >>{home}/up.log 2>&1 &\noperator=$!; {waiting}"


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
    limit = threading.Timer(LIMIT_S, os.killpg, (process.pid, signal.SIGTERM))
    limit.start()
    try:
        for line in process.stdout:
            if line == f"{done}\n":
                return "".join(said)
            said.append(line)
    finally:
        limit.cancel()
    raise AssertionError("a command failed, or came to no end:\n" + "".join(said))
