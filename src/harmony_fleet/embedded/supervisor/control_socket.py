"""The control socket: one request and one answer on each connection.

The root's path may be longer than an address of a unix socket: it is bound, as its clients
connect to it, through a descriptor of its folder.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from harmony_fleet.agent.upgrade.local_messages import (
    MAX_REQUEST_BYTES,
    SOCKET,
    Answer,
    Cancel,
    Refusal,
    Request,
    read_request,
)
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.errors import MalformedMessage

Perform = Callable[[Request], Awaitable[Answer]]

TRANSFER_LIMIT_S: Final = 5.0
"""For a client to send its request, and to take its answer."""


class ControlSocket:
    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._works: set[asyncio.Task[Answer]] = set()

    async def listen(self, folder: Path) -> asyncio.Server:
        sock = bind_in(folder)
        return await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_REQUEST_BYTES)

    async def cancel_all(self) -> None:
        """None of what was asked for goes on."""
        works = list(self._works)
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):  # it went away, or is no client of ours
            async with asyncio.timeout(TRANSFER_LIMIT_S):
                line = await reader.readline()
            answer = await self._answer(line, reader)
            async with asyncio.timeout(TRANSFER_LIMIT_S):
                writer.write(encode(answer) + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader) -> Answer:
        try:
            request = read_request(line)
        except MalformedMessage as error:
            return Refusal(str(error))
        work = asyncio.ensure_future(self._perform(request))
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        cancel = asyncio.create_task(_cancel_read(reader))
        await asyncio.wait({work, cancel}, return_when=asyncio.FIRST_COMPLETED)
        if cancel.done() and cancel.result():
            work.cancel()
        await asyncio.wait({work})
        cancel.cancel()
        return _outcome(work)


def _outcome(work: "asyncio.Future[Answer]") -> Answer:
    if work.cancelled():
        return Refusal("it was cancelled")
    if (error := work.exception()) is not None:
        return Refusal(f"it failed: {error!r}")
    return work.result()


async def _cancel_read(reader: asyncio.StreamReader) -> bool:
    """False where the client went away, or says something else."""
    with suppress(OSError, ValueError, MalformedMessage):
        return isinstance(read_request(await reader.readline()), Cancel)
    return False


def bind_in(folder: Path) -> socket.socket:
    """A socket that listens at `SOCKET` in `folder`, for its owner alone."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    path = Path(f"/proc/self/fd/{descriptor}/{SOCKET}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        sock.bind(str(path))
        path.chmod(0o600)
    finally:
        os.close(descriptor)
    return sock
