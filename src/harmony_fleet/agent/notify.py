"""Tells the service manager that this process is ready and alive: sd_notify(3), two messages.

Does nothing where no manager asked for it, and never raises: a process that cannot say that it
is alive finds out soon enough.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

SEND_LIMIT_S = 0.5
"""A manager that is busy for longer than this loses the message; the loop must not stand still."""


class Notify:
    """A ports.ServiceManager. Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID once."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment)
        """`alive` has to be called more often than this; None: nobody waits for it."""

    def ready(self) -> None:
        self._send(b"READY=1")

    def alive(self) -> None:
        self._send(b"WATCHDOG=1")

    def _send(self, message: bytes) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(SEND_LIMIT_S)
            sock.sendto(message, self._address)


def _address(name: str) -> str | None:
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError, OverflowError):
        return max(int(environment.get("WATCHDOG_USEC", "")), 0) / 1e6 or None
    return None
