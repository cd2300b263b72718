"""The agent by itself: its file, its first heartbeat, what it costs while nothing happens."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from demo.processes import processes_of

from benchmarks.table import Figure, median
from benchmarks.world import VERSIONS, World
from harmony_fleet.contracts import subjects
from harmony_fleet.embedded.local_device import LocalDevice, prepare
from harmony_fleet.embedded.start_local import PRODUCTION, device_config
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.messaging.credentials import encode_creds
from harmony_fleet.messaging.requests import Message
from harmony_fleet.release.build import artifact_name

STARTS = 15
IDLE_S = 2 * PRODUCTION.interval_s
"""So that two heartbeats are in what an idle agent costs."""


async def measure(world: World) -> AsyncIterator[Figure]:
    file = world.artifacts / artifact_name(VERSIONS[0])
    yield Figure("agent: artifact", file.stat().st_size / 1e6, "MB", 1.6)
    yield Figure("agent: first heartbeat", 1000 * await _first_heartbeat(world, file), "ms", 100)
    root = world.start_device("idle", PRODUCTION)
    await world.heard("idle")
    await asyncio.sleep(3)
    pid = _primary(root)
    before_s, began_s = _cpu_s(pid), time.monotonic()
    await asyncio.sleep(IDLE_S)
    used = (_cpu_s(pid) - before_s) / (time.monotonic() - began_s)
    yield Figure("agent: idle RSS", _rss_kib(pid) / 1024, "MiB", 27)
    yield Figure("agent: idle CPU", 100 * used, "%", 0.02)
    yield Figure("agent: consumers on the server", await _consumers(world), "", 0)


async def _first_heartbeat(world: World, file: Path) -> float:
    """From the start of the process to the stored heartbeat: seconds, the median."""
    heard = asyncio.Event()

    async def hear(_message: Message) -> None:
        heard.set()

    await world.plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.starter.*", hear)
    root = world.folder / "starter"
    credentials = world.credentials("starter")
    text = device_config(root, "starter", [world.nats.url], PRODUCTION)
    creds = encode_creds(credentials.jwt, credentials.seed)
    machine = prepare(root, LocalDevice(VERSIONS[0], file, text, creds))
    (machine.run / "boot_id").write_text("bench")
    taken = []
    for _ in range(STARTS):
        heard.clear()
        began_s = time.monotonic()
        agent = _start(machine)
        await asyncio.wait_for(heard.wait(), 10)
        taken.append(time.monotonic() - began_s)
        agent.kill()
        agent.wait()
    return median(taken)


def _start(machine: MachineRoot) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-IS", machine.link],
        env={"FLEET_AGENT_CONFIG": str(machine.config), "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )


def _primary(root: Path) -> int:
    device = processes_of(root)
    device.scan()
    primary = device.primary()
    if primary is None:
        raise LookupError(f"no agent runs below {root}")
    return primary.pid


def _cpu_s(pid: int) -> float:
    """On a processor, by the scheduler's own nanoseconds, all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def _consumers(world: World) -> int:
    total = 0
    for bucket in (subjects.MARKER_BUCKET, subjects.STATUS_BUCKET, subjects.HEARTBEAT_BUCKET):
        request = f"$JS.API.STREAM.INFO.{subjects.stream(bucket)}"
        answer = await world.plane.request(request, b"", 5)
        total += json.loads(answer.payload)["state"]["consumer_count"]
    return total
