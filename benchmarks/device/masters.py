"""The masters of warm ssh connections, found by their sockets: what they cost, and their end."""

import re
import subprocess
from pathlib import Path

from benchmarks.device import cpu


def masters_cpu_s(folder: Path) -> float:
    """Of those with a socket in the folder, so far."""
    return cpu.sum_s(_pid(socket) for socket in folder.iterdir() if socket.is_socket())


def end_masters(folder: Path) -> None:
    for socket in list(folder.iterdir()):
        _ask(socket, "exit")


def _pid(socket: Path) -> int:
    said = _ask(socket, "check")
    found = re.search(r"pid=(\d+)", said)
    assert found is not None, f"{socket}: {said}"
    return int(found[1])


def _ask(socket: Path, what: str) -> str:
    argv = ["ssh", "-O", what, "-o", f"ControlPath={socket}", "of-no-account"]
    quiet = subprocess.DEVNULL
    done = subprocess.run(argv, stdin=quiet, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
