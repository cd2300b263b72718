"""A way to a server that can be cut, so that one client alone loses its connection."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Made by `relay`. `url` leads to the server as long as nobody cuts it."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.connections = 0

    def cut(self) -> None:
        """What is connected now is lost; who connects again gets through."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._cut_at_the_end(writer), suppress(OSError):
            there, back = await asyncio.open_connection(self._server.hostname, self._server.port)
            self.connections += 1
            with self._cut_at_the_end(back):
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))

    @contextmanager
    def _cut_at_the_end(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError


@asynccontextmanager
async def relay(server_url: str) -> AsyncIterator[Relay]:
    one = Relay(server_url)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
        one.cut()
        await server.wait_closed()
