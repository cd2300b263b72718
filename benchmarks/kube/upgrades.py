"""The same upgrades on both stores, in one run: custom resources in a cluster, and SQLite."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from operator import sub
from pathlib import Path

from tests.processes.nats_fixture import MessagePlane, connected

from benchmarks import fleet
from benchmarks.control_plane import control_plane
from benchmarks.kube.place import Grounds, last_words, pid_of
from benchmarks.kube.requests import Written, written
from benchmarks.kube.start import peak_mib
from benchmarks.light import cpu_s, light_devices, names, until
from benchmarks.light_process import VERSIONS
from benchmarks.table import Figure
from harmony_fleet.cli.client import FleetClient
from harmony_fleet.contracts.upgrade import AgentUpgradePhase

PROBATION_S = 15.0
LIMIT_S = 300.0
QUIET_S = 8.0
"""Without a write: nothing is to come."""
WRITES_GOAL = 4


@dataclass(frozen=True, slots=True)
class Took:
    """What the upgrades of a whole fleet took."""

    committed_s: float
    """From the first one asked for to the last one committed, as the devices say."""
    ended_s: float
    """To the last verdict, as the operator shows it."""
    cpu_ms: float
    """Of the operator, for each upgrade, until then."""
    peak_mib: float
    note: str


async def on_kubernetes(place: Grounds, number: int) -> tuple[Took, list[Figure]]:
    operator = await place.operator()
    pid, plane = pid_of(operator), MessagePlane(place.fleet.light.server)
    async with (
        place.devices(number, PROBATION_S),
        connected(plane.operator_endpoint()) as listening,
    ):
        seen = fleet.Seen(VERSIONS[1])
        await seen.subscribe(listening)
        words = last_words(operator)
        await until(lambda: _running(place, VERSIONS[0]) == number, LIMIT_S, words)
        before = await _quiet(place)
        servers_s, used_s, began_s = _servers_s(place), cpu_s(pid), time.monotonic()
        await place.ask(names(number), VERSIONS[1])
        asked_s = time.monotonic() - began_s
        await until(lambda: len(seen.committed_s) == number, LIMIT_S, seen.shown)
        await until(lambda: _running(place, VERSIONS[1]) == number, LIMIT_S, words)
        ended_s, used_s = time.monotonic() - began_s, cpu_s(pid) - used_s
        servers_ms = [1000 * one / number for one in map(sub, _servers_s(place), servers_s)]
        wrote = (await _quiet(place)).since(before, asked=number)
        committed_s = max(seen.committed_s.values()) - began_s
    took = Took(
        committed_s, ended_s, 1000 * used_s / number, peak_mib(pid), f"asked for in {asked_s:.1f} s"
    )
    await asyncio.to_thread(operator.stop)
    return took, [*_writes(wrote, number), *_of_servers(servers_ms)]


def _writes(wrote: Written, number: int) -> list[Figure]:
    what, lease = "Kubernetes: writes per upgrade", f"and the Lease {wrote.leases} times in all"
    note = f"{wrote.told(number)}; {lease}"
    return [
        Figure(what, wrote.total / number, "", WRITES_GOAL, note),
        Figure("Kubernetes: reads of one object per upgrade", wrote.reads / number, ""),
    ]


def _of_servers(spent_ms: list[float]) -> list[Figure]:
    api_server_ms, etcd_ms = spent_ms
    return [
        Figure("Kubernetes: API server CPU per upgrade", api_server_ms, "ms"),
        Figure("Kubernetes: etcd CPU per upgrade", etcd_ms, "ms"),
    ]


async def on_sqlite(folder: Path, number: int) -> Took:
    data = folder / "data"
    data.mkdir()
    async with (
        control_plane(data) as plane,
        light_devices(folder / "light", plane.accounts, plane.url, number, PROBATION_S),
    ):
        with FleetClient.of(plane.data, LIMIT_S) as client:
            await fleet.heard(client, number)
            seen = fleet.Seen(VERSIONS[1])
            await seen.subscribe(plane.operator)
            used_s, began_s = cpu_s(plane.pid), time.monotonic()
            await fleet.order(client, names(number), VERSIONS[1])
            note = f"ordered in {time.monotonic() - began_s:.1f} s"
            await until(lambda: len(seen.succeeded) == number, LIMIT_S, seen.shown)
            await fleet.shown(client, names(number), VERSIONS[1])
            ended_s, used_s = time.monotonic() - began_s, cpu_s(plane.pid) - used_s
            committed_s = max(seen.committed_s.values()) - began_s
            return Took(committed_s, ended_s, 1000 * used_s / number, peak_mib(plane.pid), note)


async def measure(place: Grounds, number: int) -> AsyncIterator[Figure]:
    ours, figures = await on_kubernetes(place, number)
    for figure in figures:
        yield figure
    theirs = await on_sqlite(place.folder, number)
    rows = (
        (f"{number} upgrades to all committed", "s", ours.committed_s, theirs.committed_s),
        (f"{number} upgrades to the last verdict", "s", ours.ended_s, theirs.ended_s),
        ("operator CPU per upgrade", "ms", ours.cpu_ms, theirs.cpu_ms),
        ("operator RSS at its highest", "MiB", ours.peak_mib, theirs.peak_mib),
    )
    for what, unit, one, other in rows:
        yield Figure(f"Kubernetes: {what}", one, unit, None, ours.note if unit == "s" else "")
        yield Figure(f"SQLite: {what}", other, unit, None, theirs.note if unit == "s" else "")
        yield Figure(f"Kubernetes : SQLite, {what}", one / other, "times")


def _running(place: Grounds, version: str) -> int:
    """That version, and nothing is under way."""
    found = (one.status for one in place.user.devices.mirror)
    return sum(
        1
        for one in found
        if one is not None
        and one.current_version == version
        and (one.upgrade is None or one.upgrade.phase == AgentUpgradePhase.SUCCEEDED)
    )


def _servers_s(place: Grounds) -> list[float]:
    parts = place.kube.api_server, place.kube.etcd
    return [cpu_s(part.process.pid) for part in parts if part.process is not None]


async def _quiet(place: Grounds) -> Written:
    """Raises TimeoutError."""
    ends_s = time.monotonic() + LIMIT_S
    found = await asyncio.to_thread(written, place.kube)
    while time.monotonic() < ends_s:
        await asyncio.sleep(QUIET_S)
        before, found = found, await asyncio.to_thread(written, place.kube)
        if found.total == before.total:
            return found
    raise TimeoutError(f"the operator goes on writing: {found.told(1)}")
