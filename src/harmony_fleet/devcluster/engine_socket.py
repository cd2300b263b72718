"""One question to a container engine, in HTTP on its Unix socket."""

import http.client
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ANSWER_LIMIT_S: Final = 30.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    server: str
    """The header of that name."""
    document: Any
    """None: there is none."""


def ask(path: Path, method: str, target: str) -> Answer:
    """Raises OSError."""
    connection = _UnixConnection(path)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no answer in HTTP: {error!r}") from error
    finally:
        connection.close()
    try:
        document = json.loads(body) if body else None
    except ValueError as error:
        raise OSError(f"its answer is not JSON: {error}") from error
    return Answer(answer.status, answer.headers.get("Server", ""), document)


def why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
