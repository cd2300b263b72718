"""Sets the stage: a control plane, five pretended devices and a watcher, as real processes."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demo.watcher import Expected, Finding
from harmony_fleet.cli.client import FleetClient
from harmony_fleet.embedded.start_local import LocalDevices, Program, Timing, wait_until_heard

FLEET = Path(sys.executable).with_name("fleet")
DEVICES = tuple(f"demo-{number}" for number in range(1, 6))
PLAIN_FILE = DEVICES[-1]
"""Installed as a plain file where the others have a link, as before any first upgrade."""

TIMING = Timing(
    interval_s=0.5,
    quick_interval_s=0.25,
    self_test_limit_s=20.0,
    ready_limit_s=10.0,
    stop_limit_s=4.0,
    overall_limit_s=60.0,
    probation_s=3.0,
    starts_allowed=3,
    deadman_s=2.0,
)
"""Short limits, so that the story is short; the defaults are for production."""

UP_LIMIT_S = 30.0


class StageFailed(Exception):
    """The story cannot be told on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    data: Path
    client: FleetClient
    watcher: "Watching"


class Plane:
    """The control plane as `start_local` wants to see it, over its API."""

    def __init__(self, client: FleetClient) -> None:
        self._client = client

    def register(self, device_id: str, public_key: str) -> tuple[str, str]:
        answer = json.loads(self._client.enrol(device_id, public_key))
        return answer["jwt"], answer["nats_url"]

    def heard(self) -> dict[str, str | None]:
        devices = json.loads(self._client.devices())["devices"]
        return {d["device_id"]: d["instance_id"] if d["online"] else None for d in devices}


class Watching:
    """The watcher's process, and the questions to it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self, step: str) -> None:
        self._ask({"begin": step})

    def judge(self, expected: Expected) -> list[Finding]:
        findings = self._ask({"judge": asdict(expected)})
        return [Finding(**{**found, "faults": tuple(found["faults"])}) for found in findings]

    def _ask(self, order: dict[str, Any]) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise StageFailed("the watcher cannot be asked")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise StageFailed("the watcher ended; without it nothing here counts")
        return json.loads(line)


@contextmanager
def stage(data: Path, nats_server: Path | None, keep: bool) -> Iterator[Stage]:
    """Everything runs inside the block. With `keep`, all but the watcher goes on afterwards."""
    strike(data)
    data.mkdir(parents=True)
    with ExitStack() as stack:
        up = _start_up(data, nats_server)
        if not keep:
            stack.callback(_end, up)
        client = stack.enter_context(FleetClient(data))
        devices = LocalDevices(data / "devices")
        if not keep:
            stack.callback(lambda: devices.stop(devices.names()))
        _start_devices(data, client, devices)
        watcher = _start_watcher(data, devices)
        stack.callback(_end, watcher)
        yield Stage(data, client, Watching(watcher))


def strike(data: Path) -> None:
    """End what an earlier demo left running, and remove its folder."""
    if not data.exists():
        return
    devices = LocalDevices(data / "devices")
    devices.stop(devices.names())
    try:
        pid = json.loads((data / "up.json").read_text())["pid"]
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError, KeyError):
        pass
    else:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if os.fsencode(data) in command.split(b"\0"):
            os.kill(pid, 15)
            select.select([descriptor], [], [], UP_LIMIT_S)
        os.close(descriptor)
    shutil.rmtree(data)


def _start_up(data: Path, nats_server: Path | None) -> "subprocess.Popen[str]":
    command = [str(FLEET), "up", "--data", str(data), "--port", "0"]
    if nats_server is not None:
        command += ["--nats-server", str(nats_server)]
    with (data / "up.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
    ends_s = time.monotonic() + UP_LIMIT_S
    while not (data / "up.json").exists():
        if process.poll() is not None or time.monotonic() > ends_s:
            words = (data / "up.log").read_text().strip().splitlines()[-5:]
            raise StageFailed("`fleet up` did not come up: " + " / ".join(words))
        time.sleep(0.05)
    return process


def _start_devices(data: Path, client: FleetClient, devices: LocalDevices) -> None:
    release = json.loads(client.releases())["releases"][0]
    program = Program(release["version"], data / "artifacts" / release["artifact_name"])
    plane = Plane(client)
    made = [
        devices.make(plane, name, program, TIMING, plain_file=name == PLAIN_FILE)
        for name in DEVICES
    ]
    for _ in wait_until_heard(plane, made, {}):
        pass


def _start_watcher(data: Path, devices: LocalDevices) -> "subprocess.Popen[str]":
    roots = [devices.root(name) for name in DEVICES]
    return subprocess.Popen(
        [sys.executable, "-m", "demo.watcher", str(data), *map(str, roots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _end(process: "subprocess.Popen[str]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(UP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
