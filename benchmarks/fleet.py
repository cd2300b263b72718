"""A thousand light devices, all upgraded at once by a real `fleet up`; and one by itself."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.control_plane import Counted, Process, control_plane
from benchmarks.light import LightProcesses, light_devices, names, until
from benchmarks.light_process import VERSIONS
from benchmarks.table import Figure, quantile
from harmony_fleet.cli.client import Chosen, FleetClient
from harmony_fleet.contracts import subjects
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message
from harmony_fleet.operator.streams import PROBE

DEVICES = 1000
PROBATION_S = 15.0
HEARD_LIMIT_S = 60.0
UPGRADE_LIMIT_S = 120.0
SHOWN_S = 0.2
COMMITTED = (Phase.COMMITTED, Phase.SUCCEEDED)


@dataclass
class Seen:
    """What the wire says of the upgrades to one version, monotonic, by one who only listens."""

    target: str
    ready_s: dict[str, float] = field(default_factory=dict)
    """When a device had said CutoverReady."""
    heard_s: dict[str, float] = field(default_factory=dict)
    """When its candidate was first heard."""
    stopped_s: dict[str, float] = field(default_factory=dict)
    committed_s: dict[str, float] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    puts: int = 0
    """Of markers and statuses, as the server tells of each once it is stored."""

    async def subscribe(self, plane: Plane) -> None:
        await plane.subscribe(f"{subjects.SEEN_STATUS}.*", self._status)
        await plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.*.candidate", self._beat)
        await plane.subscribe("device-cmd.*", self._stop)
        await plane.subscribe("fleet.order.*", self._ordered)

    async def _status(self, message: Message) -> None:
        if message.subject.endswith(f".{PROBE}"):
            return
        self.puts += 1
        status, now = json.loads(message.payload), time.monotonic()
        device_id, phase = status["device_id"], status["phase"]
        if status["to_version"] != self.target:
            return
        if phase == Phase.CUTOVER_READY:
            self.ready_s.setdefault(device_id, now)
        if phase in COMMITTED:
            self.committed_s.setdefault(device_id, now)
        if phase == Phase.SUCCEEDED:
            self.succeeded.add(device_id)

    async def _ordered(self, _message: Message) -> None:
        self.puts += 1

    async def _beat(self, message: Message) -> None:
        beat = json.loads(message.payload)
        if beat["agent_version"] == self.target:
            self.heard_s.setdefault(beat["device_id"], time.monotonic())

    async def _stop(self, message: Message) -> None:
        self.stopped_s.setdefault(message.subject.rpartition(".")[2], time.monotonic())

    def decided_s(self) -> list[float]:
        """From when a stop was allowed until it was on the wire, of each device heard of whole."""
        whole = self.stopped_s.keys() & self.ready_s.keys() & self.heard_s.keys()
        return [
            self.stopped_s[name] - max(self.ready_s[name], self.heard_s[name]) for name in whole
        ]

    def shown(self) -> str:
        stages = (self.ready_s, self.heard_s, self.stopped_s, self.committed_s, self.succeeded)
        return "ready, heard, stopped, committed, succeeded: " + str([len(s) for s in stages])


async def measure(number: int = DEVICES) -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        data = Path(name) / "data"
        data.mkdir()
        async with control_plane(data) as plane:
            where = plane.accounts, plane.url
            async with light_devices(Path(name) / "d", *where, number, PROBATION_S) as devices:
                with FleetClient.of(plane.data, UPGRADE_LIMIT_S) as client:
                    await heard(client, number)
                    async for figure in _all_at_once(plane, devices, client, number):
                        yield figure
                    await shown(client, names(number), VERSIONS[1])
                    yield await _alone(plane, client)


async def heard(client: FleetClient, number: int) -> None:
    ends_s = time.monotonic() + HEARD_LIMIT_S
    online: list[str] = []
    while len(online) < number:
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{len(online)} of {number} light devices were heard")
        await asyncio.sleep(0.5)
        found = json.loads(await asyncio.to_thread(client.devices))["devices"]
        online = [one["device_id"] for one in found if one["online"]]


async def _all_at_once(
    plane: Process, devices: LightProcesses, client: FleetClient, number: int
) -> AsyncIterator[Figure]:
    seen = Seen(VERSIONS[1])
    await seen.subscribe(plane.operator)
    before, agents_s, began_s = await plane.counted(), devices.cpu_s, time.monotonic()
    await order(client, names(number), seen.target)
    ordered_s = time.monotonic() - began_s
    await until(lambda: len(seen.committed_s) == number, UPGRADE_LIMIT_S, seen.shown)
    agents_s = devices.cpu_s - agents_s
    at_commit = await plane.counted()
    await until(lambda: len(seen.succeeded) == number, UPGRADE_LIMIT_S, seen.shown)
    after = await plane.counted()
    took_s = max(seen.committed_s.values()) - began_s
    operator_s = at_commit.operator_cpu_s - before.operator_cpu_s
    nats_s = at_commit.nats_cpu_s - before.nats_cpu_s
    note = (
        f"ordered in {ordered_s:.1f} s; CPU until then: agents {agents_s:.1f} s, "
        f"operator {operator_s:.1f} s, NATS {nats_s:.1f} s"
    )
    yield Figure(f"fleet: {number} upgrades ordered to all committed", took_s, "s", None, note)
    for figure in (*decided(seen, number), *_costs(before, after, number), _writes(seen, number)):
        yield figure


def decided(seen: Seen, number: int) -> list[Figure]:
    """Raises LookupError where no device was heard of whole."""
    taken = seen.decided_s()
    if not taken:
        raise LookupError(f"no device was heard of whole; {seen.shown()}")
    note = "all at once: each waits for its turn on the processors, the listener's too"
    if len(taken) != number:
        note = f"of {len(taken)} of {number} devices, the others were not heard of whole; {note}"
    what = "fleet: heartbeat in to stop out"
    return [
        Figure(f"{what}, p50", 1000 * quantile(taken, 0.5), "ms"),
        Figure(f"{what}, p99", 1000 * quantile(taken, 0.99), "ms", None, note),
    ]


def _costs(before: Counted, after: Counted, number: int) -> list[Figure]:
    operator_s = after.operator_cpu_s - before.operator_cpu_s
    nats_s = after.nats_cpu_s - before.nats_cpu_s
    messages = after.messages - before.messages
    sent_bytes = after.message_bytes - before.message_bytes
    beats = f"as published, with the heartbeats of {PROBATION_S:g} s of probation"
    saves = f"{(after.saves - before.saves) / number:.3g} saves of a record, many in one"
    return [
        Figure("fleet: operator CPU per upgrade", 1000 * operator_s / number, "ms", 5),
        Figure("fleet: NATS CPU per upgrade", 1000 * nats_s / number, "ms"),
        Figure("fleet: operator RSS", after.operator_mib, "MiB"),
        Figure("fleet: NATS RSS", after.nats_mib, "MiB"),
        Figure("fleet: messages per upgrade", messages / number, "", None, beats),
        Figure("fleet: bytes per upgrade", sent_bytes / number, ""),
        Figure(
            "fleet: transactions per upgrade in the store",
            (after.transactions - before.transactions) / number,
            "",
            4,
            saves,
        ),
    ]


def _writes(seen: Seen, number: int) -> Figure:
    note = "the marker, and a status for each transition"
    return Figure("fleet: durable writes per upgrade in NATS", seen.puts / number, "", 6, note)


async def _alone(plane: Process, client: FleetClient) -> Figure:
    """Nothing else waits for the store then: every save is a transaction."""
    target, (name, *_) = VERSIONS[0], names(1)
    before = await plane.counted()
    await order(client, [name], target)
    await shown(client, [name], target)
    after = await plane.counted()
    told = after.transactions - before.transactions
    return Figure("fleet: transactions of one upgrade alone", told, "", 4)


async def shown(client: FleetClient, devices: list[str], version: str) -> None:
    """The operator has stored that each of them has succeeded and runs it: nothing is to come."""
    ends_s = time.monotonic() + UPGRADE_LIMIT_S
    missing = set(devices)
    while missing:
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{len(missing)} of {len(devices)} upgrades are not shown as ended")
        await asyncio.sleep(SHOWN_S)
        found = json.loads(await asyncio.to_thread(client.devices))["devices"]
        missing -= {one["device_id"] for one in found if _succeeded(one, version)}


def _succeeded(device: dict[str, Any], version: str) -> bool:
    told = device["upgrade"] or {}
    ended = (told.get("to_version"), told.get("phase")) == (version, Phase.SUCCEEDED)
    return ended and bool(device["current_version"] == version)


async def order(client: FleetClient, devices: list[str], version: str) -> None:
    wanted = Chosen(tuple(devices))
    answer = await asyncio.to_thread(client.upgrade, wanted, version, retry=False, replace=False)
    refused = [one["reason"] for one in json.loads(answer)["results"] if not one["ordered"]]
    assert not refused, refused[:3]
