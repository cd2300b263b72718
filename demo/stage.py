"""Sets the stage: a control plane, five pretended devices and a watcher, as real processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demo.interrupts import interrupts_later
from demo.processes import end_process, find_supervisor
from demo.watcher import Expected, Finding
from harmony_fleet.cli.client import FleetClient
from harmony_fleet.embedded.start_local import (
    Enrolment,
    LocalDevices,
    Program,
    Timing,
    wait_until_heard,
)

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
UP_LOG = "up.log"


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

    def register(self, device_id: str, public_key: str) -> Enrolment:
        answer = json.loads(self._client.enrol(device_id, public_key))
        return Enrolment(answer["jwt"], answer["nats_url"])

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
    """Everything runs inside the block, and has ended after it, however it was left.

    With `keep`, a block that comes to its end leaves all but the watcher running.
    """
    strike(data)
    data.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            _start_up(data, nats_server)
            client = stack.enter_context(FleetClient.of(data))
            devices = LocalDevices(data / "devices")
            _start_devices(data, client, devices)
            with interrupts_later():
                watcher = _start_watcher(data, devices)
                stack.callback(_end, watcher)
            yield Stage(data, client, Watching(watcher))
    except BaseException:
        end_all(data)
        raise
    if not keep:
        end_all(data)


def strike(data: Path) -> None:
    """End what an earlier demo left running, and remove its folder. Raises StageFailed."""
    if not data.exists():
        return
    if not data.is_dir() or (any(data.iterdir()) and not (data / UP_LOG).exists()):
        raise StageFailed(f"{data} is not an earlier demo's folder: remove it, or name another")
    end_all(data)
    shutil.rmtree(data)


def end_all(data: Path) -> None:
    """Devices first, then the control plane. Whoever is in a hurry cannot hurry this."""
    with interrupts_later():
        devices = LocalDevices(data / "devices")
        devices.stop(devices.names())
        for name in devices.names():
            _end_half_started(devices.root(name))
        pid = control_plane_pid(data)
        if pid is not None:
            end_process(pid, os.fsencode(data))


def _end_half_started(root: Path) -> None:
    """A supervisor that was interrupted before it held its lock."""
    pid = find_supervisor(root)
    if pid is not None:
        end_process(pid, os.fsencode(root))


def control_plane_pid(data: Path) -> int | None:
    """As it says itself; None where it does not run."""
    try:
        return int(json.loads((data / "up.json").read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None


def _start_up(data: Path, nats_server: Path | None) -> None:
    command = [str(FLEET), "up", "--data", str(data), "--port", "0"]
    if nats_server is not None:
        command += ["--nats-server", str(nats_server)]
    with interrupts_later(), (data / UP_LOG).open("w") as log, ExitStack() as failing:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        failing.callback(_end, process)
        _wait_until_up(data, process)
        failing.pop_all()


def _wait_until_up(data: Path, process: "subprocess.Popen[str]") -> None:
    ends_s = time.monotonic() + UP_LIMIT_S
    while not (data / "up.json").exists():
        if process.poll() is not None or time.monotonic() > ends_s:
            words = (data / UP_LOG).read_text().strip().splitlines()[-5:]
            raise StageFailed("`fleet up` did not come up: " + " / ".join(words))
        time.sleep(0.05)


def _start_devices(data: Path, client: FleetClient, devices: LocalDevices) -> None:
    release = json.loads(client.releases())["releases"][0]
    program = Program(release["version"], data / "artifacts" / release["artifact_name"])
    plane = Plane(client)
    made = []
    for name in DEVICES:
        with interrupts_later():
            plain_file = name == PLAIN_FILE
            made.append(devices.make(plane, name, program, TIMING, plain_file=plain_file))
    for _ in wait_until_heard(plane, made, {}):
        pass


def _start_watcher(data: Path, devices: LocalDevices) -> "subprocess.Popen[str]":
    roots = [devices.root(name) for name in DEVICES]
    return subprocess.Popen(
        [sys.executable, "-m", "demo.watcher", str(data), *map(str, roots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
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
