"""What systemd-nspawn tells of a machine's boots, on a socket of its own."""

import socket
import threading
from pathlib import Path

_READY = b"READY=1"
_END = b"end of the notices"


class Notices:
    """Counts the boots that came to their end: READY of the machine's own service manager.

    It reads all the time: nspawn passes on whatever the machine says of itself, and would wait for
    ever, and its machine with it, where nobody takes that.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._path = path
        self._boots = 0
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def boots(self) -> int:
        with self._heard:
            return self._boots

    def wait_for(self, boots: int, limit_s: float) -> bool:
        with self._heard:
            return self._heard.wait_for(lambda: self._boots >= boots, limit_s)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(_END, str(self._path))
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while (message := self._socket.recv(4096)) != _END:
            with self._heard:
                self._boots += message.splitlines().count(_READY)
                self._heard.notify_all()
