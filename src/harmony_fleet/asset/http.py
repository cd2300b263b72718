"""One GET by the standard library, whose errors become ours here.

It follows redirects (checked, counted), uses the proxies that the environment names, and never
blocks for longer than a slice without looking at the watch. It opens http and https alone: no
other handler is installed, so no `file:` or `ftp:` can be reached by any detour. Except for
connecting, a proxy's tunnel and the TLS handshake, which `Limits.connect_s` bounds.
"""

import http.client
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from harmony_fleet.asset.answer import REDIRECTS, Answer, check_redirect
from harmony_fleet.asset.errors import ConnectionLost, RedirectRefused
from harmony_fleet.asset.policy import Limits
from harmony_fleet.asset.watch import Watch

if TYPE_CHECKING:
    import ssl

SLICE_S: Final = 0.1
"""How soon a wait for the server notices that the download was cancelled."""

BUFFER_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """A file, or a part of it."""

    url: str
    from_byte: int = 0
    to_byte: int | None = None
    """The last byte wanted; None: to the end."""

    @property
    def range(self) -> str | None:
        """As in the header of that name; None: all of it."""
        if self.from_byte == 0 and self.to_byte is None:
            return None
        return f"bytes={self.from_byte}-{'' if self.to_byte is None else self.to_byte}"


class Body:
    """The bytes of one answer, read once."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def read(self, most_bytes: int) -> bytes:
        """What has arrived, at least a byte and at most `most_bytes`; b"" at the end.

        Raises:
            ConnectionLost: broken, silent for too long, or not HTTP.
            DownloadCancelled
        """
        with _translated():
            return self._response.read1(min(most_bytes, BUFFER_BYTES))


@contextmanager
def get(
    ask: Ask, limits: Limits, watch: Watch, trust: "ssl.SSLContext | None" = None
) -> Iterator[tuple[Answer, Body]]:
    """The answer may have any status but a redirect's.

    `trust`: for https, also where a redirect leads there; None: whom the system trusts.

    Raises:
        ConnectionLost, RedirectRefused, DownloadCancelled
    """
    opener = _opener(watch, trust)
    for _ in range(limits.redirects + 1):
        with _translated():
            response: http.client.HTTPResponse = opener.open(
                _request(ask), timeout=limits.connect_s
            )
        with response:
            answer = _answer(response)
            if answer.status not in REDIRECTS or answer.location is None:
                yield answer, Body(response)
                return
        ask = replace(ask, url=check_redirect(ask.url, answer.location))
    raise RedirectRefused(f"redirected more than {limits.redirects} times, at last to {ask.url}")


def _request(ask: Ask) -> Request:
    headers = {"Accept-Encoding": "identity", "User-Agent": "harmony-fleet"}
    if ask.range is not None:
        headers["Range"] = ask.range
    return Request(ask.url, headers=headers)  # noqa: S310 - http and https are the only handlers


def _answer(response: http.client.HTTPResponse) -> Answer:
    header = response.headers.get
    return Answer(
        status=response.status,
        content_length=header("Content-Length"),
        content_range=header("Content-Range"),
        content_encoding=header("Content-Encoding"),
        transfer_encoding=header("Transfer-Encoding"),
        retry_after=header("Retry-After"),
        date=header("Date"),
        location=header("Location"),
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConnectionLost(f"{type(error).__name__}: {error}") from error


# Below: a socket that is read in slices. The library offers only one time-out for each read, after
# which the stream is unusable; so a wait could neither be cancelled nor be longer than that.


class _WatchedStream(io.RawIOBase):
    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock, self._watch = sock, watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        while True:
            self._watch.check_server()
            try:
                count = self._sock.recv_into(buffer)
            except TimeoutError:
                continue
            self._watch.heard()
            return count

    def close(self) -> None:
        self._sock.close()
        super().close()


class _WatchedSocket:
    """As much of a socket as `http.client` uses once it is connected."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock, self._watch = sock, watch
        self._lent = False
        self.sendall: Callable[[bytes], None] = sock.sendall

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._sock.settimeout(SLICE_S)
        self._lent = True
        return io.BufferedReader(_WatchedStream(self._sock, self._watch))

    def close(self) -> None:
        """As a socket does: a file that was made of it goes on until it is closed itself."""
        if not self._lent:
            self._sock.close()


def _opener(watch: Watch, trust: "ssl.SSLContext | None") -> OpenerDirector:
    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock = _WatchedSocket(self.sock, watch)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock = _WatchedSocket(self.sock, watch)

    class PlainHandler(HTTPHandler):
        def http_open(self, req: Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(HTTPSHandler):
        def https_open(self, req: Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req, context=trust)

    opener = OpenerDirector()
    for handler in (ProxyHandler(), PlainHandler(), SecureHandler()):
        opener.add_handler(handler)
    return opener
