"""One child process: started, watched, ended. It never outlives the supervisor.

Rules
1. A child is killed by the kernel when the supervisor dies: kill -9 of it is a power cut.
2. What a child leaves behind in its process group goes with it, as with a unit's control group.
   A grandchild that makes a session of its own escapes; and only the children themselves, not
   theirs, are in the power cut.
3. No threads: the parent-death signal is for the death of the thread that forked.
"""

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from harmony_fleet.embedded.supervisor.output import Output

CANNOT_RUN: Final = 127
KILLED_WITHIN_S: Final = 5.0
"""A process that a SIGKILL does not end in this time hangs in the kernel, and is given up."""

_CHUNK_BYTES = 65536
_CHUNKS_AT_ONCE = 64
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Process:
    """Raises OSError where it cannot be started. To be made within a running loop."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], folder: Path, output: Output
    ) -> None:
        self.output = output
        supervisor = os.getpid()
        self._popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            preexec_fn=lambda: _die_with(supervisor),  # noqa: PLW1509 - there are no threads
        )
        self.pid = self._popen.pid
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        """As `subprocess` has it: -9 for a process that a SIGKILL ended."""
        self._pipe = _pipe_of(self._popen)
        self._pidfd = self._open_pidfd()
        self._loop.add_reader(self._pidfd, self._reap)
        os.set_blocking(self._pipe.fileno(), False)
        self._loop.add_reader(self._pipe.fileno(), self._drain)

    async def wait(self, limit_s: float | None = None) -> bool:
        """Whether it has ended within `limit_s`. Cancellable: it runs on."""
        await asyncio.wait({self.exited}, timeout=limit_s)
        return self.exited.done()

    async def end(self, patience_s: float, first: signal.Signals = signal.SIGTERM) -> None:
        """`first`, and after `patience_s` SIGKILL. Nothing where it has ended already."""
        self._signal(first)
        if not await self.wait(patience_s):
            self._signal(signal.SIGKILL)
            await self.wait(KILLED_WITHIN_S)

    def collect(self) -> None:
        """Read what it has printed until now; of a flood a part."""
        for _ in range(_CHUNKS_AT_ONCE):
            if self.exited.done() or not self._drain():
                break

    def _signal(self, number: signal.Signals) -> None:
        if not self.exited.done():
            _signal_group(self.pid, number)

    def _open_pidfd(self) -> int:
        try:
            return os.pidfd_open(self.pid)
        except OSError:  # out of descriptors: what cannot be watched must not run
            self._popen.kill()
            self._popen.communicate()
            raise

    def _drain(self) -> bool:
        """Read once what is there; False where there is nothing more for now, or ever."""
        try:
            data = os.read(self._pipe.fileno(), _CHUNK_BYTES)
        except OSError:
            return False
        if not data:
            self._loop.remove_reader(self._pipe.fileno())
        self.output.feed(data)
        return bool(data)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        _signal_group(self.pid, signal.SIGKILL)  # before the pid is given back to the kernel
        status = self._popen.wait()
        self.collect()
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()
        self.exited.set_result(status)


def command(interpreter: str | None, path: Path, arguments: Sequence[str]) -> list[str]:
    """How to run an agent's file: by the interpreter where it is Python's, else by itself.

    It is Python's if its first line is a shebang that names python; or, without a shebang, if it
    is a zip archive or the file that `path` leads to ends in `.py`. The path is passed as it is:
    a program that was started through a link sees the link.
    """
    if interpreter is not None and _is_python(path):
        return [interpreter, "-IS", str(path), *arguments]
    return [str(path), *arguments]


def _is_python(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            line = file.readline(256)
    except OSError:
        return False
    if line.startswith(b"#!"):
        return b"python" in line
    return line.startswith(b"PK\x03\x04") or path.resolve().suffix == ".py"


def _die_with(supervisor: int) -> None:
    """In the child, before its program: its end is the supervisor's, or at once if that is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _pipe_of(popen: subprocess.Popen[bytes]) -> IO[bytes]:
    if popen.stdout is None:
        raise ValueError("started without a pipe")
    return popen.stdout


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
