"""An installation under TLS on this machine alone, and what is done with it by hand."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from harmony_fleet.embedded.local_device import LocalDevice, cut_power, prepare, spawn_supervisor
from harmony_fleet.embedded.start_local import QUICK, device_config
from harmony_fleet.embedded.supervisor.settings import MachineRoot, Settings
from harmony_fleet.release.build import artifact_name, build

FLEET: Final = "from harmony_fleet.cli.main import run; run()"
UP: Final = """
import sys
from pathlib import Path
from harmony_fleet.embedded.reach import Reach
from harmony_fleet.embedded.up import UpSettings, run
tls, port = sys.argv[2] == "tls", int(sys.argv[3])
settings = UpSettings(Path(sys.argv[1]), 0, port, reach=Reach(tls=tls))
sys.exit(run(settings, lambda up: print("ready", flush=True)))
"""
TIMING: Final = replace(
    QUICK, interval_s=0.5, quick_interval_s=0.25, probation_s=2.0, starts_allowed=3
)
OLD: Final = "1.0.0"
LIMIT_S: Final = 60.0


def free_port() -> int:
    """Of all addresses."""
    with socket.create_server(("", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def up(data: Path, *, tls: bool = True, port: int | None = None) -> Iterator[dict[str, Any]]:
    """`fleet up` as a process; gives what it announced."""
    argv = [sys.executable, "-c", UP, str(data), "tls" if tls else "plain"]
    argv.append(str(port or free_port()))  # tests beside each other cannot all have 4222
    with _announced(data, argv) as (process, said):
        assert said == "ready\n", data.with_suffix(".log").read_text()
        yield json.loads((data / "up.json").read_text())
        process.terminate()
        assert process.wait(LIMIT_S) == 0


@contextmanager
def up_by_hand(data: Path, *options: str) -> Iterator[dict[str, Any]]:
    """As it is typed; gives what it says."""
    argv = [sys.executable, "-c", FLEET, "up", "--json", "--data", str(data), *options]
    with _announced(data, argv) as (process, said):
        assert said, data.with_suffix(".log").read_text()
        yield json.loads(said)
        process.terminate()
        assert process.wait(LIMIT_S) == 0


@contextmanager
def _announced(data: Path, argv: list[str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        data.with_suffix(".log").open("a") as log,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


@dataclass(frozen=True)
class Hand:
    """A device that was installed by hand: its files, and commands typed on it."""

    machine: MachineRoot

    def __call__(self, *words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-IS", str(self.machine.link), *words]
        environment = {"PATH": os.environ["PATH"], "FLEET_AGENT_CONFIG": str(self.machine.config)}
        return subprocess.run(
            argv, input=given, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )

    @property
    def key(self) -> Path:
        return self.machine.credentials.with_name("device.creds.key")

    def log(self) -> str:
        return (self.machine.log / "fleet-agent.log").read_text(errors="replace")


@contextmanager
def installed(root: Path, device_id: str, nats_url: str, ca: str) -> Iterator[Hand]:
    """Without credentials. Ended at the end, where it was started."""
    program = root.with_suffix(".program")
    build(OLD, program)
    config = device_config(root, device_id, [nats_url], TIMING)
    config = config.replace("[plane]\n", "[plane]\nreconnect_max_s = 0.5\n")
    settings = Settings(restart_s=0.05, deadman_s=TIMING.deadman_s)
    device = LocalDevice(OLD, program / artifact_name(OLD), config, settings=settings, ca=ca)
    try:
        yield Hand(prepare(root, device))
    finally:
        cut_power(root)


def start(hand: Hand) -> None:
    spawn_supervisor(hand.machine.root)
