"""One upgrade of one device, seen on the wire, and what it costs the control plane."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from demo.processes import follow, processes_of

from benchmarks.pace import Pace
from benchmarks.table import Figure, median, quantile
from benchmarks.world import VERSIONS, World
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Outcome
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Status
from harmony_fleet.embedded.start_local import Timing
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.requests import Message

UPGRADES = 8
STOPS = 200
SCAN_S = 0.02
TIMING = Timing(interval_s=1.0, quick_interval_s=0.25, probation_s=1.0, stop_limit_s=20.0)


@dataclass
class Wire:
    """The instants of one upgrade, monotonic, by a subscriber that only listens."""

    target: str = ""
    marker_s: float | None = None
    acknowledged_s: float | None = None
    handed_over_s: float | None = None
    candidate_s: float | None = None
    """When the candidate was first heard."""
    phases_s: dict[str, float] = field(default_factory=dict)
    """When the device was first heard to be in it."""
    pace: Pace = field(default_factory=Pace)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, target: str) -> None:
        self.target = target
        self.pace.begin()
        self.marker_s = self.acknowledged_s = self.handed_over_s = self.candidate_s = None
        self.phases_s = {}
        self.done.clear()

    async def woken(self, _message: Message) -> None:
        if self.marker_s is None:
            self.marker_s = time.monotonic()

    async def answered(self, message: Message) -> None:
        """The operator asks nothing but for the stop here: the first yes is the commit's."""
        yes = codec.decode(Answer, message.payload).outcome is Outcome.OK
        if yes and self.acknowledged_s is None:
            self.acknowledged_s = time.monotonic()

    async def beat(self, message: Message) -> None:
        beat, now = codec.decode(Heartbeat, message.payload), time.monotonic()
        self.pace.heard(now, beat.interval_ms)
        if beat.agent_version == self.target and beat.role is Role.PRIMARY:
            self.handed_over_s = self.handed_over_s or now
        if beat.agent_version == self.target and beat.role is Role.CANDIDATE:
            self.candidate_s = self.candidate_s or now

    async def said(self, message: Message) -> None:
        status = codec.decode(Status, message.payload)
        if status.to_version != self.target or status.phase is None or self.marker_s is None:
            return
        self.phases_s.setdefault(status.phase, time.monotonic())
        if status.phase is AgentUpgradePhase.SUCCEEDED:
            self.done.set()

    def since_marker_s(self, instant_s: float | None, what: str) -> float:
        """Raises LookupError where one of the two was never heard: that is no duration."""
        if self.marker_s is None or instant_s is None:
            unheard = "marker" if self.marker_s is None else what
            raise LookupError(f"no {unheard} was heard in the upgrade to {self.target}")
        return instant_s - self.marker_s


async def measure(world: World) -> AsyncIterator[Figure]:
    root = world.start_device("mover", TIMING)
    await world.heard("mover")
    wire = Wire()
    plane = world.plane
    await plane.subscribe(subjects.order_wake("mover"), wire.woken)
    await plane.subscribe(f"{subjects.answer_prefix('mover')}*.*", wire.answered)
    await plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.mover.*", wire.beat)
    await plane.subscribe(f"{subjects.SEEN_STATUS}.mover", wire.said)
    processes = processes_of(root)
    watching = asyncio.create_task(follow([processes], SCAN_S))
    commits, handovers, gaps, missed, beats, cpu = [], [], [], 0, 0, []
    for number in range(UPGRADES):
        wire.begin(VERSIONS[(number + 1) % 2])
        before_s = time.process_time()
        await world.operator.upgrade(["mover"], wire.target, retry=False, replace=False)
        await asyncio.wait_for(wire.done.wait(), 30)
        cpu.append(time.process_time() - before_s)
        commits.append(wire.since_marker_s(wire.acknowledged_s, "yes to the stop"))
        handovers.append(wire.since_marker_s(wire.handed_over_s, "heartbeat of the new primary"))
        wire.pace.looked(time.monotonic())
        gaps.append(wire.pace.longest_s)
        missed += wire.pace.missed
        beats += wire.pace.beats
        await asyncio.sleep(0.3)
    if watching.done():
        watching.result()  # whoever watches no more has seen no gap
    watching.cancel()
    yield Figure("upgrade: marker written to commit acknowledged", median(commits), "s", 0.8)
    yield Figure("upgrade: marker written to handover complete", median(handovers), "s")
    yield Figure("upgrade: longest time between heartbeats", max(gaps), "s")
    yield Figure("upgrade: heartbeats missed", missed, "", 0, f"of {beats}, in {UPGRADES} upgrades")
    without_s = processes.longest_gap_s()
    yield Figure("upgrade: longest time without an agent process", without_s, "s", 0)
    # The watcher and this listener run in the same process: what the figure holds is more.
    yield Figure("upgrade: control-plane CPU, with the listener", 1000 * median(cpu), "ms")


async def measure_operator(world: World) -> AsyncIterator[Figure]:
    """A scripted device: CutoverReady, one live heartbeat, and the time until the stop comes."""
    taken: list[float] = []
    cpu: list[float] = []
    plane = world.device_plane("script")
    await plane.start()
    if not await plane.wait_connected(5):
        raise TimeoutError("the scripted device could not connect within 5 s")
    stopped = asyncio.Event()

    async def commanded(message: Message) -> None:
        command = codec.decode(Command, message.payload)
        stopped.set()
        answer = Answer(command.device_id, Outcome.OK)
        await plane.publish(message.reply, codec.encode(answer))

    await plane.subscribe(subjects.command("script"), commanded)
    await world.operator.register("script")
    for number in range(STOPS):
        stopped.clear()
        before_s = time.process_time()
        (order,) = await world.operator.upgrade(["script"], VERSIONS[1], retry=False, replace=True)
        assert order.upgrade_id is not None
        status = Status(
            "script",
            "journal",
            2 * number,
            number + 1,
            order.upgrade_id,
            VERSIONS[0],
            VERSIONS[1],
            AgentUpgradePhase.CUTOVER_READY,
        )
        await keyvalue.put(plane, subjects.STATUS_BUCKET, "script", codec.encode(status), 5)
        await _until_ready(world)
        beat = Heartbeat("script", VERSIONS[1], Role.CANDIDATE, "i", "b", 1, 1000, order.upgrade_id)
        began_s = time.monotonic()
        await plane.publish(subjects.heartbeat_key("script", Role.CANDIDATE), codec.encode(beat))
        await asyncio.wait_for(stopped.wait(), 5)
        taken.append(time.monotonic() - began_s)
        cpu.append(time.process_time() - before_s)
    await plane.close()
    yield Figure("operator: heartbeat in to stop out, p50", 1000 * median(taken), "ms", 10)
    yield Figure("operator: heartbeat in to stop out, p99", 1000 * quantile(taken, 0.99), "ms", 10)
    note = "order, status, heartbeat and stop, with the scripted device in the same process"
    yield Figure("operator: CPU for one upgrade", 1000 * median(cpu), "ms", 5, note)


async def _until_ready(world: World) -> None:
    for _ in range(1000):
        order = world.operator.sight("script").case.record.order
        if order and order.phase is AgentUpgradePhase.CUTOVER_READY:
            return
        await asyncio.sleep(0.001)
    raise TimeoutError("the operator did not take the status in")
