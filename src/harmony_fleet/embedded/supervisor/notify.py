"""Hears READY=1 and WATCHDOG=1 on one abstract datagram socket for all units.

A message counts only from the main process of a unit, by the credentials that the kernel adds:
candidate and primary cannot be taken for each other, nor their children for them.
"""

import asyncio
import os
import secrets
import socket
import struct
from typing import Final, Protocol

_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""
_MESSAGES_AT_ONCE = 64


class Listener(Protocol):
    def heard_ready(self) -> None: ...

    def heard_alive(self) -> None: ...


class NotifySocket:
    """`address` is for NOTIFY_SOCKET; `listeners` are found by the pid of the sender."""

    def __init__(self) -> None:
        name = f"harmony-fleet-supervisor-{secrets.token_hex(8)}"
        self.address = f"@{name}"
        self.listeners: dict[int, Listener] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{name}")
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                message, ancillary, _, _ = self._socket.recvmsg(
                    4096, socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(64)
                )
            except OSError:
                return
            self._tell(self.listeners.get(_sender(ancillary)), message.split(b"\n"))

    def _tell(self, listener: Listener | None, lines: list[bytes]) -> None:
        if listener is None:
            return
        if b"READY=1" in lines:
            listener.heard_ready()
        if b"WATCHDOG=1" in lines:
            listener.heard_alive()


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """0 where the kernel said nothing. Descriptors that were sent along are closed."""
    sender = 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender, _, _ = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            for (descriptor,) in struct.iter_unpack("i", data[: len(data) // 4 * 4]):
                os.close(descriptor)
    return sender
