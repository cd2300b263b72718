"""A control plane among the machines: `fleet up` on the hub's network, and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.releases import OVERLAYS, build_release, tamper
from tests.machines.hub import ADDRESS, Hub
from tests.machines.ssh import Access, write_inventory
from tests.matrix.scene import build_stoppable

from harmony_fleet.cli.client import Chosen, FleetClient
from harmony_fleet.contracts.errors import FleetError

UP_LIMIT_S = 60.0
END_LIMIT_S = 20.0
FLEET = (sys.executable, "-P", "-c", "from harmony_fleet.cli.main import run; run()")
"""The command line, as a process of its own."""
_PLACES = (
    Path(__file__).parent / "overlays",
    OVERLAYS,
    Path(__file__).parents[1] / "processes/overlays",
)


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass
class ControlPlane:
    """What was ordered outlives its process."""

    hub: Hub
    data: Path
    _process: "subprocess.Popen[bytes] | None" = None
    _releases: dict[str, str] = field(default_factory=dict)
    """What each version is."""

    def __call__(self, *words: str, stdin: str = "") -> Ran:
        """`fleet WORDS`, on the hub's network."""
        with self.hub.inside():
            done = subprocess.run(
                [*FLEET, *words, "--data", str(self.data)],
                capture_output=True,
                text=True,
                input=stdin,
                env=_environment(),
            )
        return Ran(done.returncode, done.stdout, done.stderr)

    # Its process

    def start(self) -> None:
        with self._log.open("ab") as said, self.hub.inside():
            self._process = process = subprocess.Popen(
                [*FLEET, "up", "--data", str(self.data), "--listen", ADDRESS],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
        ends_s = time.monotonic() + UP_LIMIT_S
        while not (self.data / "up.json").exists():
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < ends_s, self._log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        self._running.terminate()
        self._running.wait(END_LIMIT_S)

    def kill(self) -> None:
        """Its NATS server ends with it."""
        self._running.kill()
        self._running.wait()
        (self.data / "up.json").unlink()

    def restart(self) -> None:
        self.kill()
        self.start()

    def kill_nats(self) -> None:
        """It is started again by whoever keeps it."""
        for ports in (self.data / "nats/ports").glob("nats-server_*.ports"):
            with suppress(ProcessLookupError):
                os.kill(int(ports.stem.rsplit("_", 1)[1]), signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It decides nothing meanwhile; the message plane goes on."""
        self._running.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running.send_signal(signal.SIGCONT)

    # Its releases

    def add_release(self, version: str, overlay: str | None = None, tampered: bool = False) -> None:
        """Once for each version. `overlay`: modules laid over the agent's, as of a bad version."""
        if self._is_new(version, f"{overlay}, {tampered}"):
            self.add_file(version, self.program(version, overlay))
            if tampered:
                tamper(next((self.data / "artifacts").glob(f"*-v{version}*")))

    def add_stoppable(self, version: str) -> None:
        """With the checkpoints of `tests.matrix`. Once for each version."""
        if self._is_new(version, "stoppable"):
            self.add_file(version, build_stoppable(self.data.parent, version=version))

    def _is_new(self, version: str, what: str) -> bool:
        known = self._releases.get(version)
        if known not in (None, what):
            raise ValueError(f"{version} is {known} to one test, and {what} to another")
        self._releases[version] = what
        return known is None

    def program(self, version: str, overlay: str | None = None) -> Path:
        """A version's file, which is no release yet."""
        folder = self.data.parent / "built"
        if overlay is not None:
            overlay = str(next(place / overlay for place in _PLACES if (place / overlay).exists()))
        return build_release(version, folder, overlay)

    def add_file(self, version: str, file: Path) -> None:
        """A file of that version that was built elsewhere."""
        ran = self("release", "add", str(file))
        assert ran.status == 0, ran.err

    # Its devices

    def inventory(self, machines: Sequence[Access]) -> Path:
        file = self.data.parent / f"{'-'.join(one.name for one in machines)}.ini"
        write_inventory(file, machines)
        return file

    def device(self, device_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self("device", "show", device_id, "--json").document
        return found

    def seen(self, device_id: str) -> dict[str, Any]:
        """The same, faster; empty while nobody knows it, or answers."""
        try:
            with self.hub.inside(), FleetClient.of(self.data) as client:
                found: dict[str, Any] = json.loads(client.device(device_id))
        except FleetError:
            return {}
        return found

    def order(self, device_id: str, version: str, *, retry: bool = False) -> None:
        """Raises FleetError."""
        with self.hub.inside(), FleetClient.of(self.data) as client:
            client.upgrade(Chosen((device_id,)), version, retry=retry, replace=False)

    @property
    def ca(self) -> str:
        """Whose certificates its devices believe."""
        return (self.data / "tls/ca.pem").read_text()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    @property
    def _log(self) -> Path:
        return self.data.with_name("up.log")


@contextmanager
def control_plane(hub: Hub, folder: Path) -> Iterator[ControlPlane]:
    """Up, under TLS, with the agent of this very version as its first release."""
    plane = ControlPlane(hub, folder / "data")
    plane.start()
    try:
        yield plane
    finally:
        plane.end()


def _environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}
