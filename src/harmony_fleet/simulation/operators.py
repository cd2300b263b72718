"""Operators as processes: killed and started anew, one or two at once, on one store."""

import asyncio
import random as jitter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from harmony_fleet.messaging.endpoint import Timing
from harmony_fleet.operator.loop import Operator, Settings
from harmony_fleet.operator.ports import StoreError, Versioned
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Release
from harmony_fleet.operator.streams import StreamLimits
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.nats_stream import timestamp
from harmony_fleet.simulation.plane import SimulatedPlane
from harmony_fleet.simulation.programs import MISSED, Durations
from harmony_fleet.simulation.surroundings import Surroundings
from harmony_fleet.testing.fake_store import FakeStore

START_S: Final = 0.2
RESTART_S: Final = 1.0
URL: Final = "http://fleet.invalid"

Saved = Callable[[str, DeviceRecord], None]


def settings_of(durations: Durations) -> Settings:
    streams = StreamLimits(MISSED * durations.heartbeat.interval_s)
    return Settings(durations.relist_s, durations.command_limit_s, streams=streams)


@dataclass(frozen=True, slots=True)
class SeededTiming(Timing):
    """Whose delays come from numbers of its own."""

    random: Random = field(default_factory=Random)

    def retry_delay_s(self, attempt: int) -> float:
        before = jitter.getstate()
        jitter.setstate(self.random.getstate())
        try:
            return super(SeededTiming, self).retry_delay_s(attempt)
        finally:
            self.random.setstate(jitter.getstate())
            jitter.setstate(before)


def _timing(around: Surroundings) -> Timing:
    longest_s = around.durations.reconnect_max_s
    if around.retries is None:
        return Timing(longest_retry_s=longest_s)
    return SeededTiming(longest_retry_s=longest_s, random=around.retries)


class OperatorClock:
    """An operator's `ports.Clock`."""

    def __init__(self, around: Surroundings) -> None:
        self._loop = around.loop
        self.skew_s = 0.0
        """Of the wall clock, which only shows."""

    def now(self) -> str:
        return timestamp(self._loop.now_s + self.skew_s)

    def monotonic(self) -> float:
        return self._loop.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SeededIds:
    """`ports.Ids`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def upgrade_id(self) -> str:
        return self._around.new_id()

    def nonce(self) -> str:
        return self._around.new_id()[:16]


class StoreOfOne:
    """The store as one operator's process reaches it: a moment later, and now and then not."""

    def __init__(
        self, store: FakeStore, around: Surroundings, process: SimulatedProcess, saved: Saved
    ) -> None:
        self._store, self._around, self._process, self._saved = store, around, process, saved

    async def load(self, device_id: str) -> Versioned | None:
        await self._reach("load")
        return await self._store.load(device_id)

    async def load_all(self) -> Sequence[Versioned]:
        await self._reach("load all")
        return await self._store.load_all()

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        await self._reach("save")
        saved = await self._store.save(record, revision, happenings)
        self._saved(self._process.name, record)
        return saved

    async def events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        await self._reach("events")
        return await self._store.events(device_id, after, limit)

    async def add_release(self, release: Release) -> Release:
        await self._reach("add release")
        return await self._store.add_release(release)

    async def replace_release(self, release: Release) -> Release:
        await self._reach("replace release")
        return await self._store.replace_release(release)

    async def withdraw_release(self, version: str, reason: str | None) -> Release | None:
        await self._reach("withdraw release")
        return await self._store.withdraw_release(version, reason)

    async def release(self, version: str) -> Release | None:
        await self._reach("release")
        return await self._store.release(version)

    async def releases(self) -> Sequence[Release]:
        await self._reach("releases")
        return await self._store.releases()

    async def _reach(self, what: str) -> None:
        self._process.step(what)
        if self._around.store_s:
            await asyncio.sleep(self._around.store_s * self._process.chance())
        if self._around.store_away:
            raise StoreError("the store cannot be reached")
        self._process.step(what)


class OperatorHost:
    """Starts an operator again whenever it ends, unless it is to stay away."""

    def __init__(self, around: Surroundings, store: FakeStore, name: str, saved: Saved) -> None:
        self.name = name
        self.operator: Operator | None = None
        self.plane: SimulatedPlane | None = None
        self.steps_left = 0
        """Before it is killed; 0: it is not."""
        self._around, self._store, self._saved = around, store, saved
        self._process: SimulatedProcess | None = None
        self._wanted = False

    @property
    def process(self) -> SimulatedProcess | None:
        return self._process if self._process is not None and self._process.alive else None

    def start(self) -> None:
        self._wanted = True
        if self._process is None:
            self._process = SimulatedProcess(
                self._around.loop,
                self.name,
                self._around.chances.of(self.name),
                self._ended,
                self._before_step,
            )
            self._process.start(self._live)

    def stop(self) -> None:
        """Killed, and not started again."""
        self._wanted = False
        self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """In its process, where there is one."""
        if self.process is not None:
            self.process.call(callback, *args)

    async def _live(self) -> int:
        around, process = self._around, self._process
        if process is None:
            return 1
        await asyncio.sleep(START_S)
        timing = _timing(around)
        self.plane = SimulatedPlane(around.network, self.name, process, timing)
        await self.plane.start()
        store = StoreOfOne(self._store, around, process, self._saved)
        clock, ids = OperatorClock(around), SeededIds(around)
        settings = settings_of(around.durations)
        self.operator = Operator(store, self.plane, clock, ids, URL, settings)
        try:
            await self.operator.run()
        except StoreError:
            return 1
        return 0

    def _before_step(self, _what: str) -> None:
        if self.steps_left:
            self.steps_left -= 1
            if not self.steps_left:
                self.kill()

    def _ended(self, status: int | None) -> None:
        self._process = self.operator = self.plane = None
        self._around.witness.exited("", self.name, status)
        if self._wanted:
            self._around.loop.call_later(RESTART_S, self._again, context=self._around.loop.outside)

    def _again(self) -> None:
        if self._wanted:
            self.start()
