"""Puts the supervisor into the background: a session of its own, and nobody's child.

The process that was called waits until its child takes requests, prints the child's pid and exits
0; where the child ends before that, it exits as the child did.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

BEGIN_LIMIT_S: Final = 30.0


def detach(output: Path) -> Callable[[], None]:
    """Returns in the child only, with what it has to call once it takes requests."""
    heard, said = os.pipe()
    child = os.fork()
    if child:
        os.close(said)
        _wait_for(child, heard)
    os.close(heard)
    os.setsid()

    def began() -> None:
        _redirect(output)
        os.write(said, b"1")
        os.close(said)

    return began


def _wait_for(child: int, heard: int) -> NoReturn:
    ready, _, _ = select.select([heard], [], [], BEGIN_LIMIT_S)
    if ready and os.read(heard, 1):
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os._exit(0)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os._exit(max(os.waitstatus_to_exitcode(status), 1))


def _redirect(output: Path) -> None:
    """Whoever reads what the caller prints must not wait for the supervisor's end."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    for source, target in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(file)
