"""Hits the fleet from outside: kills, freezes, cuts the power. Everything comes back by itself, or
is brought back after the blow's time.

Rules
1. A blow at what is being hit already, or at a candidate that does not come, is left out.
2. An agent is hit by a pidfd while it is known to live: no other process can be.
3. Whatever was frozen is thawed, also where this is cancelled.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from demo.processes import Agent

from soak.device import Device, send
from soak.hits import CONTROL_PLANE, Hit
from soak.plan import Blow, How, Part, Strike
from soak.plane import ControlPlane

APPEARS_WITHIN_S = 5.0
"""So long is an agent that is to be hit waited for: a candidate lives for moments only."""
LOOK_S = 0.02

Deal = Callable[[], Awaitable[None]]
"""Deals the blow at once, and returns when what was hit has been brought back."""


@dataclass
class Striker:
    plane: ControlPlane
    devices: Mapping[str, Device]
    dealt: Counter[tuple[Part, How]] = field(default_factory=Counter)
    left_out: int = 0
    hits: list[Hit] = field(default_factory=list)
    """All that were dealt, each with its time."""
    _down: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """What is being hit now."""

    async def strike(self, strike: Strike) -> None:
        """Find them all first, then all at once; what comes back does so in the background."""
        found = await asyncio.gather(*(self._aimed(blow) for blow in strike.blows))
        for blow, deal in zip(strike.blows, found, strict=True):
            what = f"{blow.part} of {blow.device}"
            if deal is None or self._is_down(blow):
                self.left_out += 1
                continue
            self.dealt[blow.part, blow.how] += 1
            if (before := self._down.get(what)) is not None:
                before.result()  # what kept it from coming back must not be lost
            stamp = Hit(blow.device or CONTROL_PLANE, datetime.now(UTC))
            self.hits.append(stamp)
            self._down[what] = asyncio.create_task(_deal(deal, stamp))

    def _is_down(self, blow: Blow) -> bool:
        """It, or the whole of which it is a part."""
        names = {f"{part} of {blow.device}" for part in (blow.part, Part.MACHINE, Part.OPERATOR)}
        tasks = (self._down.get(name) for name in names)
        return any(task is not None and not task.done() for task in tasks)

    async def all_back(self) -> None:
        """Raises what kept any of them from coming back."""
        await asyncio.gather(*self._down.values())
        self._down.clear()

    async def give_up(self) -> None:
        """What was frozen is thawed; nothing is brought back any more."""
        for task in self._down.values():
            task.cancel()
        await asyncio.gather(*self._down.values(), return_exceptions=True)

    async def _aimed(self, blow: Blow) -> Deal | None:
        if blow.device is None:
            return await self._aimed_at_control_plane(blow)
        device = self.devices[blow.device]
        if blow.part is Part.MACHINE:
            if blow.how is How.KILLED:
                return partial(device.lose_power, blow.for_s)
            return partial(_freeze, device.processes, blow.for_s)
        agent = await _appears(device, candidate=blow.part is Part.CANDIDATE)
        return partial(_hit_agent, device, agent, blow) if agent else None

    async def _aimed_at_control_plane(self, blow: Blow) -> Deal | None:
        operator = blow.part is Part.OPERATOR
        pid = self.plane.pid if operator else await asyncio.to_thread(self.plane.nats_pid)
        if pid is None:
            return None
        if blow.how is How.FROZEN:
            return partial(_freeze, lambda: [pid], blow.for_s)
        return partial(self._kill_operator, blow.for_s) if operator else partial(_kill, pid)

    async def _kill_operator(self, for_s: float) -> None:
        if self.plane.pid is not None:
            send(self.plane.pid, signal.SIGKILL)
        await asyncio.to_thread(self.plane.reap)
        await asyncio.sleep(for_s)
        await asyncio.to_thread(self.plane.start)


async def _appears(device: Device, *, candidate: bool) -> Agent | None:
    ends_s = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < ends_s:
        for agent in device.seen.agents.values():
            if agent.candidate is candidate:
                return agent
        await asyncio.sleep(LOOK_S)
    return None


async def _deal(deal: Deal, stamp: Hit) -> None:
    try:
        await deal()
    finally:
        stamp.ended = datetime.now(UTC)


async def _kill(pid: int) -> None:
    send(pid, signal.SIGKILL)


async def _freeze(processes: Callable[[], list[int]], for_s: float) -> None:
    """The first is asked for again once it stands: it may have started another meanwhile."""
    first = processes()[:1]
    for pid in first:
        send(pid, signal.SIGSTOP)
    frozen = [*first, *processes()[1:]]
    try:
        for pid in frozen[1:]:
            send(pid, signal.SIGSTOP)
        await asyncio.sleep(for_s)
    finally:
        for pid in reversed(frozen):
            send(pid, signal.SIGCONT)


async def _hit_agent(device: Device, agent: Agent, blow: Blow) -> None:
    if blow.how is How.KILLED:
        _to_agent(device, agent, signal.SIGKILL)
        return
    try:
        _to_agent(device, agent, signal.SIGSTOP)
        await asyncio.sleep(blow.for_s)
    finally:
        _to_agent(device, agent, signal.SIGCONT)


def _to_agent(device: Device, agent: Agent, number: signal.Signals) -> None:
    """Its descriptor is open as long as it is known."""
    if device.seen.agents.get(agent.pid) is agent:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(agent.descriptor, number)
