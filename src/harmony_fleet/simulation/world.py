"""One simulated world: devices, operators, a message plane, and a scenario that happens to them.

    outcome = run(scenario_of(1))

Deterministic: the same scenario gives the same story, byte for byte. After the last fault the world
runs on until nothing is under way any more, and is judged once more.
"""

import asyncio
import random as jitter
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.operator.records import DeviceRecord, Release
from harmony_fleet.operator.results import OrderResult, UnknownDevice
from harmony_fleet.operator.streams import stream_configurations
from harmony_fleet.simulation.chances import Chances
from harmony_fleet.simulation.device import SimulatedDevice
from harmony_fleet.simulation.faults import Faults
from harmony_fleet.simulation.judge import Judge, Violation, orders_of
from harmony_fleet.simulation.lives import chance_here
from harmony_fleet.simulation.loop import SimulatedLoop, TimeStandsStill
from harmony_fleet.simulation.nats_server import NatsServer
from harmony_fleet.simulation.network import Network, Weather
from harmony_fleet.simulation.operators import OperatorClock, OperatorHost, settings_of
from harmony_fleet.simulation.programs import SIZE_BYTES
from harmony_fleet.simulation.scenario import OPERATORS, Ask, Scenario
from harmony_fleet.simulation.surroundings import Surroundings
from harmony_fleet.simulation.units import NOWHERE
from harmony_fleet.testing.fake_store import FakeStore

REFUSED_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class PhaseChange:
    at_s: float
    device: str
    phase: str


@dataclass(slots=True)
class Outcome:
    scenario: Scenario
    violations: list[Violation]
    upgrades: int
    """Orders that an operator has taken."""
    ends: Counter[tuple[str, str]]
    """By phase and cause."""
    faults: Counter[str]
    """That really hit something."""
    story: list[str]
    changes: list[PhaseChange]
    lasted_s: float
    """Of simulated time."""


@dataclass(slots=True)
class World:
    scenario: Scenario
    story: list[str] | None = None
    changes: list[PhaseChange] = field(default_factory=list)
    judging: type[Judge] = Judge
    loop: SimulatedLoop = field(init=False)
    judge: Judge = field(init=False)
    store: FakeStore = field(init=False)
    devices: dict[str, SimulatedDevice] = field(default_factory=dict)
    operators: dict[str, OperatorHost] = field(default_factory=dict)
    network: Network = field(init=False)
    _phases: dict[str, str] = field(default_factory=dict)
    _ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    around: Surroundings = field(init=False)

    def run(self) -> Outcome:
        before = jitter.getstate()
        jitter.seed(f"jitter {self.scenario.seed}")
        try:
            return self._run()
        finally:
            jitter.setstate(before)

    def _run(self) -> Outcome:
        self._build()
        faults = Faults(self)
        try:
            self.loop.run(self._happen(faults))
        except TimeStandsStill as error:
            self.judge.broken(6, "the world", str(error))
        self.judge.story = None
        self._end()
        for complaint in self.loop.complaints:
            self.judge.broken(0, "a process", complaint)
        return Outcome(
            self.scenario,
            self.judge.violations,
            len(self.judge.accepted),
            self._ends,
            faults.hit,
            self.story or [],
            self.changes,
            self.loop.now_s,
        )

    def _build(self) -> None:
        chances = Chances(self.scenario.seed)
        # what is abstract in it is about sockets, signals and processes
        slow = self.scenario.slowness
        thread_s = (lambda: slow.thread * chance_here()) if slow.thread else (lambda: 0.0)
        self.loop = loop = SimulatedLoop(thread_s)  # type: ignore[abstract]
        self.judge = self.judging(lambda: loop.now_s, self._connected_since, self.story)
        server = NatsServer(lambda: loop.now_s, self.judge.stored)
        for wanted in stream_configurations(settings_of(self.scenario.durations).streams):
            server.jetstream.make(wanted)
        self.network = Network(loop, server, slow.network)
        self.network.sent = self.judge.sent
        self.network.change(NOWHERE, Weather(away=True))
        programs = {program.sha256: program for program in self.scenario.programs}
        self.around = Surroundings(loop, self.network, chances, programs, self.judge)
        self.around.store_s = slow.store
        self.around.durations = self.scenario.durations
        self.around.retries = Random(self.scenario.retries) if self.scenario.retries else None

    async def _happen(self, faults: Faults) -> None:
        await self._begin()
        faults.schedule(self.scenario.faults)
        tries = round(self.scenario.durations.patience_s / REFUSED_AGAIN_S)
        for ask in self.scenario.asks:
            self.loop.call_at(ask.at_s, self._ask, ask, tries, context=self.loop.outside)
        await asyncio.sleep(self.scenario.last_s + self.scenario.durations.looks_s)
        await self._until_quiet()

    def _end(self) -> None:
        for host in self.operators.values():
            host.stop()
        for device in self.devices.values():
            device.machine.end_all()
        self.loop.finish()

    async def _begin(self) -> None:
        self.store = FakeStore(OperatorClock(self.around))
        for program in self.scenario.programs:
            name, digest = program.version, program.sha256
            release = Release(name, "", SIZE_BYTES, digest, "", "", program.url)
            await self.store.add_release(release)
        for name in OPERATORS:
            self.operators[name] = OperatorHost(self.around, self.store, name, self._saved)
        self.operators[OPERATORS[0]].start()
        for name in self.scenario.devices:
            plain = name in self.scenario.plain
            device = SimulatedDevice(self.around, name, self.scenario.programs[0], plain)
            self.devices[name] = device
            self.judge.watch(device.machine)
            device.power_on()

    # Asking

    def _ask(self, ask: Ask, tries: int) -> None:
        """Of an operator that runs; again a little later where none does, or it cannot now."""

        def again() -> None:
            if tries > 0:
                context = self.loop.outside
                self.loop.call_later(REFUSED_AGAIN_S, self._ask, ask, tries - 1, context=context)

        for host in self.operators.values():
            operator = host.operator
            if operator is not None and host.process is not None:
                host.call(self.loop.create_task, self._give(operator, ask, again))
                return
        again()

    async def _give(self, operator: Operator, ask: Ask, again: Callable[[], None]) -> None:
        try:
            if ask.version is None:
                self._aborted(await operator.abort([ask.device]))
                return
            results = await operator.upgrade([ask.device], ask.version, ask.retry, ask.replace)
        except StoreError:
            again()
            return
        except UnknownDevice as error:
            self.judge.said("a person", f"{ask.device}: {error}")
            again()
            return
        except FleetError as error:
            self.judge.said("a person", f"{ask.device}: {error}")
            return
        for result in results:
            if result.upgrade_id and not result.reason:
                self.judge.accepted[result.upgrade_id] = result.device_id
            self.judge.said("a person", f"{ask.device} to {ask.version}: {result.reason or 'ok'}")

    def _aborted(self, results: Sequence[OrderResult]) -> None:
        for result in results:
            if result.upgrade_id and not result.reason:
                self.judge.aborted(result.device_id, result.upgrade_id)

    def _connected_since(self, who: str) -> float:
        plane = self.operators[who].plane
        return plane.connected_at_s if plane is not None else float("inf")

    def _saved(self, who: str, record: DeviceRecord) -> None:
        self.judge.saved(who, record)
        phase = record.order.phase if record.order else ""
        if self._phases.get(record.device_id) != phase:
            self._phases[record.device_id] = phase
            self.changes.append(PhaseChange(self.loop.now_s, record.device_id, phase))

    # The end

    async def _until_quiet(self) -> None:
        """Faults are over: from here on it must come to rest by itself."""
        self.operators[OPERATORS[0]].start()
        durations = self.scenario.durations
        limit_s = self.loop.now_s + durations.quiet_limit_s
        while waits := await self._restless():
            if self.loop.now_s > limit_s:
                self.judge.broken(
                    6, "the world", f"{durations.quiet_limit_s:g} s later, {'; '.join(waits)}"
                )
                break
            await asyncio.sleep(durations.looks_s)
        records = [found.record for found in await self.store.load_all()]
        programs = {program.version: program for program in self.scenario.programs}
        self.judge.judge_end(records, programs)
        for record in records:
            manager = self.devices[record.device_id].services
            self.judge.judge_running(record, manager.running, manager.state)
            for order in orders_of(record):
                self._ends[str(order.phase), str(order.cause.kind) if order.cause else ""] += 1

    async def _restless(self) -> list[str]:
        records = [found.record for found in await self.store.load_all()]
        waits = self.judge.still_open(records)
        for record in records:
            manager = self.devices[record.device_id].services
            if manager.state != "running":
                waits.append(f"the unit of {record.device_id} is {manager.state}")
            elif manager.running and record.current_version != manager.running.says:
                waits.append(f"{record.device_id} runs {manager.running.version}")
        return waits


def run(scenario: Scenario, story: bool = False) -> Outcome:
    return World(scenario, [] if story else None).run()
