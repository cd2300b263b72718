"""One device with its upgrade, made for the tests of what decides it and of what carries it out.

    async def story() -> None:
        device = Device()
        device.order(NEW, Behaviour.NEVER_READY)
        await device.start().until(Idle)

    run(story())

All of it is `testing`'s fakes in `testing.fake_clock`'s time: nothing waits, nothing is patched.
"""

import asyncio
from dataclasses import dataclass, field, replace

from harmony_fleet.agent.upgrade.drive import Driver
from harmony_fleet.agent.upgrade.events import (
    Event,
    ExpiryMark,
    PrimaryStarted,
    StopReceived,
)
from harmony_fleet.agent.upgrade.guard import GuardPorts, guard
from harmony_fleet.agent.upgrade.inbox import Inbox
from harmony_fleet.agent.upgrade.perform import Limits, Performer, Ports
from harmony_fleet.agent.upgrade.ports import JournalUnwritable, UpgradeFault
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.agent.upgrade.states import (
    OpenState,
    State,
)
from harmony_fleet.contracts.upgrade import CauseKind, Desired
from harmony_fleet.testing.executor_suite import Behaviour
from harmony_fleet.testing.fake_clock import FakeClock
from harmony_fleet.testing.fake_executor import FakeExecutor
from harmony_fleet.testing.fake_journal import FakeJournal
from harmony_fleet.testing.fake_plane import FakePlane, FakeService
from harmony_fleet.testing.upgrade_samples import (
    GENERATION,
    ID,
    OLD,
    OTHER_ID,
    STARTS_ALLOWED,
    marker,
)

LIMITS = Limits(
    self_test_s=60.0,
    ready_s=30.0,
    stop_s=120.0,
    overall_s=1800.0,
    probation_s=600.0,
    retry_s=5.0,
    hear_s=1.0,
)
PATIENCE_S = 7200.0
"""Whatever is waited for in a story happens in that time, or never."""

DISK = UpgradeFault(CauseKind.DEVICE_FAULT, "the disk of this fake refused", "its last words")


@dataclass
class Process:
    """A primary that runs."""

    driver: Driver
    inbox: Inbox
    seen: list[OpenState]
    """Every state that it entered, once it was durable."""
    exited: "asyncio.Task[int]"
    ready: FakeService
    news: asyncio.Event
    """Set when it enters a state."""
    read: int = 0
    """How many of `seen` were waited for."""

    @property
    def state(self) -> State:
        return self.driver.state

    async def until(self, kind: type[OpenState]) -> OpenState:
        """The next state of that kind, once all that it wants done at once is done."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for state in self.seen[self.read :]:
                    self.read += 1
                    if isinstance(state, kind):
                        await settled()
                        return state
                self.news.clear()
                await self.news.wait()

    async def ended(self) -> int:
        """Its exit status."""
        return await asyncio.wait_for(self.exited, PATIENCE_S)

    def post(self, event: Event) -> None:
        self.inbox.post(event)

    def kinds(self) -> list[type[State]]:
        """Of the states it entered, each run of equal ones once."""
        kinds = [type(state) for state in self.seen]
        return [kind for n, kind in enumerate(kinds) if n == 0 or kinds[n - 1] is not kind]


@dataclass
class Device:
    """What outlives a process: disk, plane, candidate, clock."""

    executor: FakeExecutor = field(default_factory=lambda: FakeExecutor(OLD, place=OLD))
    journal: FakeJournal = field(default_factory=FakeJournal)
    plane: FakePlane = field(default_factory=FakePlane)
    clock: FakeClock = field(default_factory=FakeClock)
    limits: Limits = LIMITS
    progress: list[tuple[int, int]] = field(default_factory=list)

    def order(self, version: str, behaviour: Behaviour = Behaviour.GOOD) -> None:
        """By the upgrade ID."""
        artifact = self.executor.publish(version, behaviour)
        self.plane.order(marker(version=version, artifact=artifact))

    def order_again(self, version: str) -> None:
        """By OTHER_ID, with the next generation."""
        artifact = self.executor.publish(version)
        newer = marker(upgrade_id=OTHER_ID, generation=GENERATION + 1)
        self.plane.order(replace(newer, version=version, artifact=artifact))

    def abort(self) -> None:
        assert self.plane.marker is not None
        self.plane.order(replace(self.plane.marker, desired=Desired.ABORT))

    def start(self) -> Process:
        """As the permanent unit does, without its guard: through the link."""
        running = self.executor.link_version() or OLD
        self.executor.restart(running)
        inbox, service, news, seen = Inbox(), FakeService(), asyncio.Event(), list[OpenState]()

        def watch(state: OpenState) -> None:
            seen.append(state)
            news.set()

        self.plane.serve(inbox.post)
        ports = Ports(
            self.executor, self.plane, self.plane, self.plane, self.plane, service, self.clock
        )
        perform = Performer(ports, self.limits, inbox, self._note_progress)
        driver = Driver(self.journal, perform, self.limits.retry_s, watch)
        first = PrimaryStarted(
            running,
            self.journal.read(),
            self.executor.link_version(),
            self.executor.previous_version(),
        )
        exited = asyncio.create_task(driver.run(first))
        return Process(driver, inbox, seen, exited, service, news)

    def guard(self, mark: ExpiryMark | None = None) -> State:
        return guard(self.guard_ports(), mark)

    def guard_ports(self) -> GuardPorts:
        running = self.executor.previous_version() or OLD
        return GuardPorts(running, self.executor, self.journal, self.clock, STARTS_ALLOWED)

    async def kill(self) -> None:
        """The process is gone between two instructions; the candidate, a unit of its own, stays."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.plane.serve(lambda _event: None)

    def stop(self, upgrade_id: str = ID, reply_to: str = "reply") -> StopReceived:
        return StopReceived(upgrade_id, reply_to, self.clock.boot_time())

    @property
    def now(self) -> Journal:
        """What is durable."""
        assert self.journal.last is not None
        return self.journal.last

    def said(self) -> list[str]:
        """The phases of all statuses that the plane acknowledged, each run of equal ones once."""
        phases = [str(status.phase) for status in self.plane.statuses]
        return [phase for n, phase in enumerate(phases) if n == 0 or phases[n - 1] != phase]

    def asked(self, method: str) -> int:
        """How often the executor was asked for that."""
        return sum(call[0] == method for call in self.executor.calls)

    def _note_progress(self, done: int, total: int) -> None:
        self.progress.append((done, total))


@dataclass
class FlakyJournal(FakeJournal):
    """A disk that refuses every new content once."""

    refused: list[Journal] = field(default_factory=list)

    def write(self, journal: Journal) -> None:
        if journal not in self.refused:
            self.refused.append(journal)
            raise JournalUnwritable("the disk of this fake refuses everything once")
        super().write(journal)


async def settled() -> None:
    """All that takes no time is done."""
    await asyncio.sleep(0.001)


# What became of it


def attempt_in(state: OpenState) -> Attempt:
    """The one under way, or the last."""
    assert state.journal.attempt is not None
    return state.journal.attempt


def cause_kind(state: OpenState) -> CauseKind | None:
    why = attempt_in(state).cause
    return why.kind if why else None


def kind_and_stage(state: OpenState) -> tuple[CauseKind | None, Stage]:
    return cause_kind(state), attempt_in(state).stage
