"""One ssh connection to a machine, over which every command goes: a handshake for each would cost
an emulated machine a second.

It is opened by the first command, and runs inside the hub, with which it ends. A machine that lost
its power says nothing to it: whoever cuts the power closes it, and every command that was under
way ends then, at once.
"""

import shlex
import subprocess
import threading
import time
from pathlib import Path

from tests.machines.any_machine import ENVIRONMENT
from tests.machines.hub import Hub, Refused, output
from tests.machines.ssh import Access

COMMAND_LIMIT_S = 180.0
_OPEN_LIMIT_S = 30.0
_LOST = 255
"""The status of ssh itself; no command that a test runs ends with it."""
_OPTIONS = (
    "-o",
    "ConnectTimeout=20",
    "-o",
    "ServerAliveInterval=10",
    "-o",
    "ServerAliveCountMax=3",
)
_ENDS_WITH_NSENTER = ("setpriv", "--pdeathsig", "KILL")
_NOT_BY_ITSELF = ("-o", "ProxyCommand=false")
"""Else ssh would connect on its own where the socket is gone."""


class ConnectionLost(Exception):
    """It could not be opened, or ended while a command ran: whether that took place is unknown."""


class Connection:
    """Any thread may use it, and any other one `close` it meanwhile; the next command opens it."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub, self._access = hub, access
        self._socket = Path("/run", f"{access.name}.ssh")
        """As the hub's processes know it."""
        self._process: subprocess.Popen[bytes] | None = None
        self._opening = threading.Lock()

    def run(self, argv: tuple[str, ...], stdin: bytes = b"") -> str:
        """Raises ConnectionLost, Refused."""
        self._ensure_open()
        command = shlex.join([*ENVIRONMENT, *argv])
        try:
            done = subprocess.run(
                [*self._ssh(self._seen_socket), *_NOT_BY_ITSELF, self._access.name, command],
                capture_output=True,
                input=stdin,
                cwd="/",
                timeout=COMMAND_LIMIT_S,
            )
        except subprocess.TimeoutExpired as late:
            said = f"{shlex.join(argv)}: took longer than {COMMAND_LIMIT_S:.0f} s"
            raise Refused(said) from late
        if done.returncode == _LOST:
            said = done.stderr.decode(errors="replace").split("\n")[0].strip()
            raise ConnectionLost(f"the connection ended: {said or shlex.join(argv)}")
        return output(argv, done)

    def is_open(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _ensure_open(self) -> None:
        with self._opening:
            if self.is_open():
                return
            self._seen_socket.unlink(missing_ok=True)
            argv = [*self._ssh(self._socket), "-MN", *_OPTIONS, self._access.name]
            self._process = process = subprocess.Popen(
                self._hub.network_argv(*_ENDS_WITH_NSENTER, *argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
            self._wait_open(process)

    def _wait_open(self, process: "subprocess.Popen[bytes]") -> None:
        ends_s = time.monotonic() + _OPEN_LIMIT_S
        while not self._seen_socket.exists():
            if process.poll() is not None or time.monotonic() > ends_s:
                process.kill()
                process.wait()
                raise ConnectionLost(f"{self._access.name} does not answer over ssh")
            time.sleep(0.02)

    def _ssh(self, socket: Path) -> list[str]:
        return ["ssh", "-F", str(self._access.config), "-S", str(socket)]

    @property
    def _seen_socket(self) -> Path:
        """As the test process knows it."""
        return self._hub.root / str(self._socket).lstrip("/")
