"""A control plane among the machines: `fleet up` on the hub's network, and the command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.releases import build_release
from tests.machines.hub import ADDRESS, Hub
from tests.machines.ssh import Access, write_inventory

UP_LIMIT_S = 60.0
END_LIMIT_S = 20.0
FLEET = (sys.executable, "-P", "-c", "from harmony_fleet.cli.main import run; run()")
"""The command line, as a process of its own."""


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    hub: Hub
    data: Path

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

    def inventory(self, machines: Sequence[Access]) -> Path:
        file = self.data.parent / f"{'-'.join(one.name for one in machines)}.ini"
        write_inventory(file, machines)
        return file

    def add_release(self, version: str, overlay: str | None = None) -> None:
        """`overlay`: one of the demo's bad versions."""
        ran = self("release", "add", str(self.program(version, overlay)))
        assert ran.status == 0, ran.err

    def program(self, version: str, overlay: str | None = None) -> Path:
        """A version's file, which is no release yet."""
        return build_release(version, self.data.parent / "built", overlay)

    def device(self, device_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self("device", "show", device_id, "--json").document
        return found


@contextmanager
def control_plane(hub: Hub, folder: Path) -> Iterator[ControlPlane]:
    """Up, under TLS, with the agent of this very version as its first release."""
    data = folder / "data"
    log = folder / "up.log"
    with log.open("wb") as said, hub.inside():
        process = subprocess.Popen(
            [*FLEET, "up", "--data", str(data), "--listen", ADDRESS, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
    try:
        _wait_up(data, process, log)
        yield ControlPlane(hub, data)
    finally:
        process.terminate()
        process.wait(END_LIMIT_S)


def _wait_up(data: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends_s = time.monotonic() + UP_LIMIT_S
    while not (data / "up.json").exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends_s, log.read_text()
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}
