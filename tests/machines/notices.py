"""What systemd-nspawn tells of a machine's boots, on a socket of its own."""

import socket
import time
from pathlib import Path

_READY = b"READY=1"


class Notices:
    """Counts the boots that came to their end: READY of the machine's own service manager."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.boots = 0

    def hear(self, limit_s: float) -> None:
        """What has come in; for so long at most where nothing has."""
        self._socket.settimeout(max(limit_s, 0.001))
        try:
            while True:
                self.boots += self._socket.recv(4096).splitlines().count(_READY)
                self._socket.settimeout(0.001)
        except TimeoutError:
            return

    def wait_for(self, boots: int, limit_s: float) -> bool:
        ends_s = time.monotonic() + limit_s
        while self.boots < boots and time.monotonic() < ends_s:
            self.hear(min(0.2, ends_s - time.monotonic()))
        return self.boots >= boots

    def close(self) -> None:
        self._socket.close()
