"""How long nobody decides where the replica that leads is killed: until the other gives an order.

At the kill a Device's spec asks for another version. Heard is the server of the message plane, as
it tells the device that its order is stored.
"""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

from tests.kube.fleet import OperatorProcess
from tests.processes.nats_fixture import MessagePlane, connected

from benchmarks.kube.place import Grounds, last_words
from benchmarks.light import names, until
from benchmarks.light_process import VERSIONS
from benchmarks.table import Figure, median
from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.messaging.requests import Message

GOAL_S = 5
PROBATION_S = 1.0
LIMIT_S = 90.0
RENEWED_S = 0.5
"""The Lease is renewed about so often: a kill comes at any moment between."""


@dataclass
class Orders:
    """The instants at which the server stored an order, monotonic."""

    at_s: list[float] = field(default_factory=list)

    async def heard(self, _message: Message) -> None:
        self.at_s.append(time.monotonic())


async def measure(place: Grounds, rounds: int) -> AsyncIterator[Figure]:
    (device,) = names(1)
    plane = MessagePlane(place.fleet.light.server)
    orders = Orders()
    async with place.devices(1, PROBATION_S), connected(plane.operator_endpoint()) as listening:
        await listening.subscribe("fleet.order.*", orders.heard)
        leader, other = await place.operator(), await place.operator()
        await until(partial(_runs, place, device, VERSIONS[0]), LIMIT_S, last_words(leader))
        taken_s = []
        for n in range(rounds):
            version = VERSIONS[(n + 1) % 2]
            taken_s.append(await _round(place, orders, (leader, other), version))
            await until(partial(_runs, place, device, version), LIMIT_S, last_words(other))
            leader, other = other, await place.operator()
        for operator in (other, leader):
            await asyncio.to_thread(operator.stop)
    number = len(place.user.devices.mirror)
    what = f"failover, {number} Devices: kill to first order"
    told = ", ".join(f"{one:.2f}" for one in sorted(taken_s))
    yield Figure(f"{what}, median", median(taken_s), "s", None, f"{rounds} rounds: {told}")
    yield Figure(f"{what}, worst", max(taken_s), "s", GOAL_S)


async def _round(
    place: Grounds, orders: Orders, replicas: tuple[OperatorProcess, OperatorProcess], version: str
) -> float:
    leader, other = replicas
    await asyncio.sleep(random.uniform(0, RENEWED_S))
    orders.at_s.clear()
    leader.signal(signal.SIGKILL)
    killed_s = time.monotonic()
    await place.ask(names(1), version)
    await until(lambda: bool(orders.at_s), LIMIT_S, last_words(other))
    await asyncio.to_thread(leader.stop)
    return orders.at_s[0] - killed_s


def _runs(place: Grounds, name: str, version: str) -> bool:
    """By its Device, and nothing is under way."""
    device = place.user.devices.of(name)
    if device is None or device.status is None or device.status.current_version != version:
        return False
    upgrade = device.status.upgrade
    known = device.status.journal_id is not None
    return known and (upgrade is None or upgrade.phase == AgentUpgradePhase.SUCCEEDED)
