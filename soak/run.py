"""Puts it together: starts the fleet, plays the rounds, has the judge look in each calm, reports.

Whatever becomes of it, nothing that it started is left running when `soak` has ended, but the
fleet itself, which the caller ends.
"""

import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from demo.stage import StageFailed

from soak.calm import Judge
from soak.device import QUIET, Device, make
from soak.faults import Fault
from soak.growth import Growth
from soak.ledger import Ledger
from soak.plan import Abort, Action, Order, Round, Strike, rounds
from soak.plane import ControlPlane, Taken
from soak.releases import FIRST
from soak.report import Report
from soak.settling import settle
from soak.strikes import Striker
from soak.watching import Watcher, operators_plane, watch

CONNECTED_WITHIN_S = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    data: Path
    """Empty, or not there yet."""
    seed: int
    minutes: float
    devices: int
    """That are struck; QUIET is one more."""

    @property
    def struck(self) -> list[str]:
        return [f"soak-{number}" for number in range(1, self.devices + 1)]


@dataclass
class Fleet:
    plane: ControlPlane
    devices: Mapping[str, Device]
    watcher: Watcher
    judge: Judge
    watching: list[asyncio.Task[None]]


@dataclass
class Soak:
    fleet: Fleet
    striker: Striker
    say: Say
    commit: str
    """As it was at the beginning: it may be another by the end."""
    growth: Growth = field(default_factory=lambda: Growth(untouched={agent_of(QUIET)}))
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[Fault, None] = field(default_factory=dict)
    """In the order in which they were found; each once."""
    longest_settling_s: float = 0.0

    async def play(self, one: Round) -> None:
        for step in one.steps:
            await asyncio.sleep(step.pause_s)
            await self._do(step.action)
        await self.striker.all_back()

    async def _do(self, action: Action) -> None:
        plane, ledger, taken = self.fleet.plane, self.fleet.judge.ledger, Taken(None)
        match action:
            case Order(device, version, retry, replace):
                taken = await asyncio.to_thread(
                    plane.order, device, version, retry=retry, replace=replace
                )
                ledger.ordered(device, taken)
            case Abort(device):
                taken = await asyncio.to_thread(plane.abort, device)
                ledger.aborted(device, taken)
            case Strike():
                await self.striker.strike(action)
            case _:
                assert_never(action)
        self.refused.update([taken.why_not] if taken.why_not else [])

    async def calm(self) -> list[Fault]:
        """What is at fault, and was not in an earlier calm."""
        began_s = time.monotonic()
        faults, ended = await settle(self.fleet.judge)
        for task in self.fleet.watching:
            if task.done():
                task.result()  # whoever does not look on any more sees no fault
        self.longest_settling_s = max(self.longest_settling_s, time.monotonic() - began_s)
        faults += self.fleet.judge.ledger.judge(ended, self.striker.hits)
        faults += self.fleet.watcher.faults
        self._measure()
        new = [fault for fault in faults if fault not in self.faults]
        self.faults |= dict.fromkeys(faults)
        return new

    def _measure(self) -> None:
        plane, parts = self.fleet.plane, list[tuple[str, int | None]]()
        parts += [("the operator", plane.pid), ("NATS", plane.nats_pid())]
        for name, device in self.fleet.devices.items():
            primary = device.seen.primary()
            parts.append((agent_of(name), primary.pid if primary else None))
            parts.append((f"{name}, supervisor", device.seen.supervisor))
            device.close_gaps()
        self.growth.measure(parts, plane.data, time.monotonic())


def agent_of(device: str) -> str:
    """Its part, in what is measured."""
    return f"{device}, agent"


async def soak(settings: Settings, say: Say) -> Report:
    """Raises StageFailed or FleetError where the fleet cannot be started at all."""
    devices = f"{settings.devices} devices, and a quiet one"
    say(f"building the releases, starting a control plane, {devices} …")
    began_s, played, code = time.monotonic(), 0, commit()
    async with _fleet(settings) as fleet, _striker(fleet) as striker:
        running = Soak(fleet, striker, say, code)
        at_fault, _ = await settle(fleet.judge)
        if at_fault:
            words = "; ".join(fault.text for fault in at_fault)
            raise StageFailed(f"the fleet does not come up: {words}")
        say("every device is heard: the first round begins")
        for one in rounds(settings.seed, settings.struck):
            await running.play(one)
            before = time.monotonic()
            new = await running.calm()
            played = one.number
            say(_told(running, one, new, time.monotonic() - before))
            if time.monotonic() - began_s > settings.minutes * 60:
                break
        minutes = (time.monotonic() - began_s) / 60
        return _report(settings, running, minutes, played)


def _told(running: Soak, one: Round, new: list[Fault], settled_s: float) -> str:
    upgrades = len(running.fleet.judge.ledger.ended)
    sizes = running.growth.last_kib("the operator", "NATS")
    found = (
        f"round {one.number}: settled in {settled_s:.1f} s; {upgrades} upgrades have ended; {sizes}"
    )
    return "\n".join([found, *(f"  FAULT, {fault.kind}: {fault.text}" for fault in new)])


def _report(settings: Settings, running: Soak, minutes: float, played: int) -> Report:
    devices, striker = running.fleet.devices.values(), running.striker
    faults = [*running.faults, *running.growth.faults()]
    return Report(
        seed=settings.seed,
        minutes=minutes,
        devices=settings.devices,
        rounds=played,
        commit=running.commit,
        upgrades=list(running.fleet.judge.ledger.ended.values()),
        refused=running.refused,
        dealt=striker.dealt,
        left_out=striker.left_out,
        longest_settling_s=running.longest_settling_s,
        longest_without_agent_s=max(device.gap_s() for device in devices),
        longest_silent_s=max(device.hearing.gap_s() for device in devices),
        growth=running.growth,
        faults=faults,
    )


@asynccontextmanager
async def _fleet(settings: Settings) -> AsyncIterator[Fleet]:
    plane = ControlPlane(settings.data)
    await asyncio.to_thread(plane.start)
    built = await asyncio.to_thread(plane.publish, settings.data / "built")
    devices = dict[str, Device]()
    for name in (*settings.struck, QUIET):
        root = settings.data / "devices" / name
        devices[name] = await asyncio.to_thread(make, plane, root, built[FIRST.version])
    shutil.rmtree(settings.data / "built")
    digests = await asyncio.to_thread(plane.digests)
    watcher = Watcher(devices, digests)
    nats_url = json.loads((settings.data / "up.json").read_bytes())["nats_url"]
    seeing = operators_plane(settings.data, nats_url)
    await seeing.start()
    if not await seeing.wait_connected(CONNECTED_WITHIN_S):
        raise StageFailed("the watcher cannot connect to the message plane")
    tasks = await watch(watcher, seeing)
    try:
        judge = Judge(plane, devices, digests, Ledger())
        yield Fleet(plane, devices, watcher, judge, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await seeing.close()


@asynccontextmanager
async def _striker(fleet: Fleet) -> AsyncIterator[Striker]:
    striker = Striker(fleet.plane, fleet.devices)
    try:
        yield striker
    finally:
        await striker.give_up()


def commit() -> str:
    """Of the code that is soaked; `unknown` outside of a git repository."""
    argv = ["git", "describe", "--always", "--dirty"]
    ran = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return ran.stdout.strip() or "unknown"
