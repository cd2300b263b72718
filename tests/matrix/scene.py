"""A control plane and devices, all of them processes that a test may kill, and what is left."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo import at_rest
from demo.processes import opened_by
from demo.releases import SOURCE
from tests.matrix.checkpoints import CANDIDATE

from harmony_fleet.agent.upgrade.local import ask
from harmony_fleet.agent.upgrade.local_messages import SOCKET, AskState, Machine
from harmony_fleet.cli.client import Chosen, FleetClient
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.embedded.local_device import LocalDevice, cut_power, prepare, spawn_supervisor
from harmony_fleet.embedded.start_local import QUICK, device_config
from harmony_fleet.embedded.supervisor.settings import MachineRoot, Settings
from harmony_fleet.messaging.credentials import Credentials, encode_creds, new_user_seed
from harmony_fleet.release.build import artifact_name, build

OLD, NEW = "1.0.0", "1.1.0"
SEED = os.environ.get("HARMONY_FLEET_SEED") or secrets.token_hex(4)
"""Of the samples, so that each run plays others."""
SOON_S = 60.0
"""Everything that should happen has happened by then, however slow the machine."""
TIMING = replace(
    QUICK,
    interval_s=0.5,
    quick_interval_s=0.2,
    ready_limit_s=10.0,
    overall_limit_s=30.0,
    probation_s=0.5,
    starts_allowed=3,
    deadman_s=5.0,
)
_UP = """
import sys
from pathlib import Path
from harmony_fleet.embedded.up import UpSettings, run
from harmony_fleet.operator.loop import Settings
settings = UpSettings(Path(sys.argv[1]), int(sys.argv[2]), operator=Settings(relist_s=2.0))
sys.exit(run(settings, lambda up: print("ready", flush=True)))
"""
_MAIN = """
from harmony_fleet.agent import shipped_main
from harmony_fleet.agent.upgrade import checkpoints

checkpoints.install()
run = shipped_main.run
"""


def eventually(condition: Callable[[], bool], what: str, seen: Callable[[], object] = str) -> None:
    """`seen`: what there is instead, looked at only where it does not come true."""
    ends_s = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < ends_s, f"it never came true: {what} {seen()}".rstrip()
        time.sleep(0.05)


def build_stoppable(folder: Path, overlay: Path | None = None, version: str = NEW) -> Path:
    """The agent, with checkpoints; `overlay` holds modules that replace or join the source's."""
    source = folder / f"source-{version}"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    if overlay is not None:
        shutil.copytree(overlay, source, dirs_exist_ok=True)
    (source / "agent/main.py").rename(source / "agent/shipped_main.py")
    (source / "agent/main.py").write_text(_MAIN)
    shutil.copy(Path(__file__).with_name("checkpoints.py"), source / "agent/upgrade")
    build(version, folder, source)
    return folder / artifact_name(version)


class ControlPlane:
    """`fleet up` on one folder and one port, so that what was ordered outlives it."""

    def __init__(self, data: Path) -> None:
        self.data, self._port = data, _free_port()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-c", _UP, str(self.data), str(self._port)]
        with self.data.with_suffix(".log").open("a") as log:
            self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self.data.with_suffix(".log")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def kill_nats(self) -> None:
        """It is started again by whoever keeps it."""
        for ports in (self.data / "nats/ports").glob("nats-server_*.ports"):
            with suppress(ProcessLookupError):
                os.kill(int(ports.stem.rsplit("_", 1)[1]), signal.SIGKILL)

    def add(self, version: str, file: Path) -> None:
        with FleetClient.of(self.data) as client, file.open("rb") as artifact:
            client.add_release(version, artifact)

    def order(self, device_id: str, version: str) -> None:
        with FleetClient.of(self.data) as client:
            client.upgrade(Chosen((device_id,)), version, retry=False, replace=False)

    def view(self, device_id: str) -> dict[str, Any]:
        """Empty while nobody knows it, or answers."""
        try:
            with FleetClient.of(self.data) as client:
                found: dict[str, Any] = json.loads(client.device(device_id))
        except FleetError:  # nobody answers, or the device is not known yet
            return {}
        return found

    def phase(self, device_id: str) -> str | None:
        found: str | None = (self.view(device_id).get("upgrade") or {}).get("phase")
        return found

    def why(self, device_id: str) -> str:
        with FleetClient.of(self.data) as client:
            return str(json.loads(client.why(device_id))["text"])


@contextmanager
def control_plane(data: Path) -> Iterator[ControlPlane]:
    plane = ControlPlane(data)
    plane.start()
    try:
        yield plane
    finally:
        plane.kill()


@dataclass
class Device:
    plane: ControlPlane
    device_id: str
    machine: MachineRoot

    @property
    def root(self) -> Path:
        return self.machine.root

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def count_anew(self) -> None:
        """From here on each checkpoint is again passed for the first time."""
        (self.checkpoints / "log").unlink(missing_ok=True)

    def stop_at(self, checkpoint: str) -> None:
        self.count_anew()
        (self.checkpoints / "stop.new").write_text(checkpoint)
        (self.checkpoints / "stop.new").rename(self.checkpoints / "stop")

    def passed(self) -> list[str]:
        """The checkpoints, in order."""
        return [line.removesuffix(CANDIDATE) for line in self.log()]

    def log(self) -> list[str]:
        """Each checkpoint as it was noted, with whether there was a candidate."""
        log = self.checkpoints / "log"
        return log.read_text().splitlines() if log.exists() else []

    def stopped(self) -> int | None:
        """The pid of the process that stands at its checkpoint."""
        with suppress(FileNotFoundError):
            return int((self.checkpoints / "stopped").read_text())
        return None

    def state(self) -> Machine:
        return asyncio.run(ask(self.machine.run / SOCKET, AskState(), Machine, 10.0))

    def agents(self) -> list[int]:
        return at_rest.agents(self.root)

    def running(self) -> list[str | None]:
        """The version of each agent, by the file that it holds open."""
        return [opened_by(pid) for pid in self.agents()]

    def linked(self) -> str:
        return at_rest.linked(self.machine)

    def left_over(self) -> list[str]:
        return at_rest.left_over(self.machine)


@contextmanager
def device(
    plane: ControlPlane, root: Path, program: Path, device_id: str, stop_limit_s: float
) -> Iterator[Device]:
    """Up, and heard; at no checkpoint yet. `stop_limit_s`: so long does it wait for a stop."""
    seed = new_user_seed()
    accounts = Accounts.open(plane.data / "nats/accounts")
    jwt = accounts.mint_device(device_id, Credentials("", seed).public_key())
    nats_url = json.loads((plane.data / "up.json").read_text())["nats_url"]
    config = device_config(root, device_id, [nats_url], replace(TIMING, stop_limit_s=stop_limit_s))
    config = config.replace("[plane]\n", "[plane]\nreconnect_max_s = 0.5\n")
    settings = Settings(restart_s=0.05, deadman_s=TIMING.deadman_s)
    prepare(root, LocalDevice(OLD, program, config, encode_creds(jwt, seed), settings))
    found = Device(plane, device_id, MachineRoot(root))
    found.checkpoints.mkdir()
    spawn_supervisor(root)
    try:
        eventually(lambda: plane.view(device_id).get("current_version") == OLD, "it is heard")
        idle = f"primary {OLD}: after prune"
        eventually(lambda: idle in found.passed(), "its primary has settled")
        yield found
    finally:
        cut_power(root)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
