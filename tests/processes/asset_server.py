"""A real HTTP server on the loopback address that misbehaves to order.

`behaviours` is what it does with one request after the other; the last is kept. A behaviour
writes to the socket what it likes. Nothing here sleeps: who has to wait waits for `closing`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pytest

CONTENT = bytes(range(256)) * 2048
"""Half a MiB: more than the buffers between two sockets' streams, so that bytes flow in parts."""


class Exchange(BaseHTTPRequestHandler):
    """One request, and the tools to answer it."""

    protocol_version = "HTTP/1.1"
    server: "AssetServer"

    def do_GET(self) -> None:
        """The server's next behaviour answers."""
        self.close_connection = True
        self.server.requests.append(Received(self.path, dict(self.headers.items())))
        try:
            self.server.next_behaviour()(self)
        except ConnectionError:
            """The client had enough, as some of these behaviours deserve."""

    @property
    def first(self) -> int:
        """Where the client wants to go on."""
        return int(self._range[0])

    @property
    def last(self) -> int | None:
        """The last byte that the client wants, where it wants not all of the rest."""
        return int(self._range[1]) if self._range[1] else None

    @property
    def _range(self) -> list[str]:
        return self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")

    def answer(self, status: int, *headers: tuple[str, object]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, str(value))
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Silent."""


Behaviour = Callable[[Exchange], None]


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]


@dataclass(eq=False)
class AssetServer(ThreadingHTTPServer):
    """Serves `behaviours` until closed."""

    behaviours: list[Behaviour] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.daemon_threads = True
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Exchange)

    def next_behaviour(self) -> Behaviour:
        with self._lock:
            return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/asset"

    @property
    def ranges(self) -> list[str | None]:
        """What each request asked for."""
        return [request.headers.get("Range") for request in self.requests]


@contextmanager
def serving(*behaviours: Behaviour) -> Iterator[AssetServer]:
    with AssetServer(list(behaviours)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def forget_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback server is asked itself, whatever this environment is set to."""
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)


# How to behave


def serve(content: bytes = CONTENT) -> Behaviour:
    """As a good server does, with ranges."""

    def behave(exchange: Exchange) -> None:
        first, total = exchange.first, len(content)
        if first >= total:
            exchange.answer(416, ("Content-Range", f"bytes */{total}"), ("Content-Length", 0))
            return
        last = total - 1 if exchange.last is None else min(exchange.last, total - 1)
        length = ("Content-Length", last + 1 - first)
        if "Range" in exchange.headers:
            exchange.answer(206, ("Content-Range", f"bytes {first}-{last}/{total}"), length)
        else:
            exchange.answer(200, length)
        exchange.send(content[first : last + 1])

    return behave


def serve_without_ranges(content: bytes = CONTENT, until: int | None = None) -> Behaviour:
    """All of it each time, or a part of it before the connection breaks."""

    def behave(exchange: Exchange) -> None:
        exchange.answer(200, ("Content-Length", len(content)))
        exchange.send(content[:until])

    return behave


def break_off(after: int, content: bytes = CONTENT) -> Behaviour:
    """A good answer, whose connection is closed `after` bytes of its body."""

    def behave(exchange: Exchange) -> None:
        first, total = exchange.first, len(content)
        about = f"bytes {first}-{total - 1}/{total}"
        exchange.answer(206 if first else 200, ("Content-Range", about), ("Content-Length", total))
        exchange.send(content[first : first + after])

    return behave


def stall(after: int, content: bytes = CONTENT) -> Behaviour:
    """Says no more after that many bytes, and keeps the connection."""

    def behave(exchange: Exchange) -> None:
        break_off(after, content)(exchange)
        exchange.server.closing.wait()

    return behave


def stall_before_headers(exchange: Exchange) -> None:
    exchange.server.closing.wait()


def drip(data: bytes, every_s: float = 0.01, for_s: float = 10.0) -> Behaviour:
    """One byte at a time, raw, over and over; at last it ends, so that no test hangs."""

    def behave(exchange: Exchange) -> None:
        for _, byte in zip(range(int(for_s / every_s)), cycle(data), strict=False):
            exchange.send(bytes([byte]))
            if exchange.server.closing.wait(every_s):
                return

    return behave


def drip_body(exchange: Exchange) -> None:
    exchange.answer(200, ("Content-Length", len(CONTENT)))
    drip(CONTENT)(exchange)


def never_end(exchange: Exchange) -> None:
    """More and more, without ever saying how much."""
    exchange.answer(200)
    while not exchange.server.closing.is_set():
        exchange.send(CONTENT)


def say(status: int, *headers: tuple[str, object], body: bytes = b"") -> Behaviour:
    """One answer, headers as given."""

    def behave(exchange: Exchange) -> None:
        exchange.answer(status, *headers, ("Connection", "close"))
        exchange.send(body)

    return behave


def say_chunked(*chunks: bytes, finish: bool = True) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.answer(200, ("Transfer-Encoding", "chunked"))
        for chunk in chunks:
            exchange.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if finish:
            exchange.send(b"0\r\n\r\n")

    return behave


def redirect(location: str, status: int = 302) -> Behaviour:
    return say(status, ("Location", location), ("Content-Length", 0))
