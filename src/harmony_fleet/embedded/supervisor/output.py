"""What processes print: to bounded logs, and the end of it to those who ask.

A log that cannot be written is a log that is missing: nothing here raises for a full disk.
"""

import os
from contextlib import suppress
from pathlib import Path


class LogFile:
    """`path`, appended to; beyond `limit_bytes` it becomes `<path>.1`, and a new one begins."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path, self._limit_bytes = path, limit_bytes
        self._descriptor = -1
        self._size_bytes = 0

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            if self._descriptor < 0:
                self._open()
            elif self._size_bytes + len(data) > self._limit_bytes:
                self._path.replace(f"{self._path}.1")
                os.close(self._descriptor)
                self._open()
            self._size_bytes += os.write(self._descriptor, data)

    def _open(self) -> None:
        self._descriptor = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)
        self._size_bytes = os.fstat(self._descriptor).st_size


class Output:
    """One process's output: all of it to `log`, its last `keep_bytes` kept in memory."""

    def __init__(self, keep_bytes: int, log: LogFile | None = None) -> None:
        self._keep_bytes, self._log = keep_bytes, log
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        if self._log is not None:
            self._log.write(data)
        self._tail += data
        if len(self._tail) > 2 * self._keep_bytes:
            del self._tail[: -self._keep_bytes]

    def text(self) -> str:
        return bytes(self._tail[-self._keep_bytes :]).decode(errors="replace")
