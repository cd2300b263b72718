"""The folder that one `fleet up` serves: made for its owner alone, and held by one at a time.

Holds the store, the artifacts, the message plane's folder, the token for the API, and `up.json`,
which says where the API is while it is up.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.agent.upgrade.durable import write_file
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.accounts import unusable, usable_folder
from harmony_fleet.embedded.backup.pending import finish
from harmony_fleet.operator.releases import sweep_incoming

LOCK: Final = "up.lock"
TLS: Final = "tls"
TOKEN: Final = re.compile(r"[!-~]{32,256}")


class AlreadyUp(FleetError):
    """Another process serves this data folder. It was not disturbed."""

    kind = "data_folder_in_use"


@dataclass(frozen=True, slots=True)
class DataFolder:
    path: Path
    token: str
    """What a request to the API must carry. Made once, kept in the file `token`."""

    @property
    def store(self) -> Path:
        return self.path / "fleet.db"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def tls(self) -> Path:
        """The authority and the server's certificate, where it was ever reached under TLS."""
        return self.path / TLS

    @property
    def nats_port_file(self) -> Path:
        """Where the devices of this folder find the message plane, whenever it is up again."""
        return self.path / "nats-port"

    def nats_port(self) -> int:
        """The port that was used last; 0 where none was."""
        with suppress(OSError, ValueError):
            port = int(self.nats_port_file.read_text("ascii"))
            return port if 0 < port < 2**16 else 0
        return 0

    def remember_nats_port(self, port: int) -> None:
        """Raises DataFolderUnusable."""
        if port != self.nats_port():
            with _translated(self.path):
                write_file(self.nats_port_file, f"{port}\n".encode())

    def announce(self, url: str, nats_url: str) -> None:
        """Write `up.json`, whole, when everything takes requests. Raises DataFolderUnusable."""
        up = {"url": url, "pid": os.getpid(), "nats_url": nats_url}
        with _translated(self.path):
            write_file(self._announcement, json.dumps(up).encode() + b"\n")

    def withdraw(self) -> None:
        """Idempotent, never raises."""
        with suppress(OSError):
            self._announcement.unlink(missing_ok=True)

    @property
    def _announcement(self) -> Path:
        return self.path / "up.json"


@contextmanager
def held(path: Path) -> Iterator[DataFolder]:
    """The folder, made where it is missing, for this process alone inside.

    What a killed process announced is withdrawn at once, and a restore that was cut off after
    its commit is finished.
    Raises AlreadyUp, DataFolderUnusable: nothing was changed.
    """
    path = path.absolute()
    with locked(path):
        with _translated(path):
            finish(path)
            folder = DataFolder(path, _token(path / "token"))
            folder.artifacts.mkdir(mode=0o700, exist_ok=True)
            sweep_incoming(folder.artifacts)
        folder.withdraw()
        yield folder
        folder.withdraw()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """For this process alone inside, made where it is missing, its contents as they were.

    Raises AlreadyUp, DataFolderUnusable.
    """
    usable_folder(path)
    with _translated(path):
        lock = _lock(path)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path) -> int:
    """A descriptor that no child inherits; the pid in the file is for people."""
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise AlreadyUp(
            f"`fleet up` already runs on {path}{f' (process {pid})' if pid else ''}: use it as it "
            "is, end it first, or choose another folder by --data"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _token(path: Path) -> str:
    """One that could not stand in a header, or could be guessed, is replaced."""
    with suppress(FileNotFoundError):
        token = path.read_text("ascii", "replace").strip()
        if TOKEN.fullmatch(token):
            path.chmod(0o600)
            return token
    token = secrets.token_urlsafe(32)
    write_file(path, token.encode() + b"\n")
    return token


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unusable(path, error) from error
