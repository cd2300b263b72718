"""An operator's start where there are many Devices already: until it is ready, and at rest."""

import asyncio
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

from benchmarks.kube.place import SIDE_BY_SIDE, Grounds, pid_of
from benchmarks.kube.requests import written
from benchmarks.light import cpu_s, rss_mib
from benchmarks.light_process import VERSIONS
from benchmarks.table import Figure
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact
from harmony_fleet.operator.records import DeviceRecord, Order

REST_S = 2.0
REST_SHARE = 0.1
"""Of a processor: below it for so long, and it is at rest."""
REST_LIMIT_S = 80.0
"""Later it would call devices lost that it has not heard, which is another thing."""
RSS_GOAL_MIB = 256
START_GOAL_S = 10


async def populate(place: Grounds, number: int) -> Figure:
    """Each as after one upgrade that succeeded."""
    began_s = time.monotonic()
    waiting = iter(range(number))

    async def work() -> None:
        for n in waiting:
            await place.user.store.save(_record(f"many-{n}"), 0)

    await asyncio.gather(*(work() for _ in range(SIDE_BY_SIDE)))
    took_s = time.monotonic() - began_s
    return Figure(f"{number} Devices made", took_s, "s", None, "by the benchmark itself")


def _record(name: str) -> DeviceRecord:
    content = VERSIONS[
        0
    ].encode()  # else its release would be refused: the same version ran with others
    artifact = Artifact("https://files.example/agent", len(content), sha256(content).hexdigest())
    now = "2026-01-01T00:00:00.000Z"
    order = Order(
        sha256(name.encode()).hexdigest()[:32],
        1,
        VERSIONS[0],
        artifact,
        now,
        phase=AgentUpgradePhase.SUCCEEDED,
        since=now,
        from_version="1.0.0",
    )
    return DeviceRecord(name, VERSIONS[0], order, (), 1, "journal-1", 7)


async def measure(place: Grounds, number: int) -> AsyncIterator[Figure]:
    before, began_s = written(place.kube), time.monotonic()
    operator = await place.operator()
    what, pid = f"{number} Devices: operator", pid_of(operator)
    took_s, used_s = time.monotonic() - began_s, cpu_s(pid)
    note = f"{used_s:.2g} s of CPU until then"
    yield Figure(f"{what} start to ready", took_s, "s", START_GOAL_S, note)
    yield Figure(f"{what} RSS once ready", rss_mib(pid), "MiB")
    rest_s = await _at_rest(pid) - began_s
    note = f"every Device was looked at; {cpu_s(pid):.2g} s of CPU until then"
    yield Figure(f"{what} start to rest", rest_s, "s", None, note)
    yield Figure(f"{what} RSS at its highest", peak_mib(pid), "MiB", RSS_GOAL_MIB)
    wrote = (await asyncio.to_thread(written, place.kube)).since(before)
    yield Figure(f"{what} writes at a start", wrote.total, "", 0, wrote.told(1))
    await asyncio.to_thread(operator.stop)


async def _at_rest(pid: int) -> float:
    """Since when. Raises TimeoutError."""
    ends_s = time.monotonic() + REST_LIMIT_S
    while time.monotonic() < ends_s:
        since_s, used_s = time.monotonic(), cpu_s(pid)
        await asyncio.sleep(REST_S)
        if cpu_s(pid) - used_s < REST_S * REST_SHARE:
            return since_s
    raise TimeoutError(f"the operator is not at rest within {REST_LIMIT_S:g} s")


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
