"""Replicas that stand for election, in a time that never really passes, over a network that fails.

Each one has a clock of its own, and what it sends may come late, be lost, or be answered by nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from harmony_fleet.operator.kubernetes.lease import Elector, Held, Timing
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.testing.fake_lease import FakeLease

T = TypeVar("T")

TIMING: Final = Timing()
CLIENT_LIMIT_S: Final = 10.0
"""For which a client waits for an answer."""
LOST: Final = StoreError("the API server does not answer")


def now_s() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class OwnClock:
    """Runs as fast as any, from another beginning. Its wall clock stands still."""

    ahead_s: float = 0.0
    late_s: Callable[[], float] = lambda: 0.0
    """By how much more than asked for it sleeps."""

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def monotonic(self) -> float:
        return now_s() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds + self.late_s())


@dataclass(frozen=True)
class Fate:
    """What becomes of one request."""

    there_s: float = 0.0
    """Until the API server does it; whoever asked may have gone by then."""
    back_s: float = 0.0
    lost_there: bool = False
    lost_back: bool = False


@dataclass
class Wire:
    """`Leases` over such a network."""

    lease: FakeLease
    fate: Callable[[], Fate] = Fate
    cut: bool = False
    """Nothing of it arrives any more, and nobody answers."""
    _landing: set[asyncio.Task[Held]] = field(default_factory=set)

    async def read(self) -> Held:
        return await self._asked(self.lease.read)

    async def write(self, held: Held) -> Held:
        return await self._asked(lambda: self.lease.write(held))

    async def _asked(self, ask: Callable[[], Awaitable[Held]]) -> Held:
        fate = self.fate()
        if self.cut:
            await asyncio.sleep(CLIENT_LIMIT_S)
            raise LOST
        if fate.lost_there:
            await asyncio.sleep(fate.there_s)
            raise LOST
        landing = asyncio.create_task(self._landed(ask, fate.there_s))
        self._landing.add(landing)
        landing.add_done_callback(self._done)
        answer = await asyncio.shield(landing)
        await asyncio.sleep(fate.back_s)
        if fate.lost_back or self.cut:
            raise LOST
        return answer

    async def _landed(self, ask: Callable[[], Awaitable[Held]], there_s: float) -> Held:
        await asyncio.sleep(there_s)
        return await ask()

    def _done(self, landing: asyncio.Task[Held]) -> None:
        self._landing.discard(landing)
        if not landing.cancelled():
            landing.exception()  # of one that nobody waits for any more


@dataclass
class Term:
    """One time of leading."""

    who: str
    began_s: float
    ended_s: float | None = None


@dataclass
class Replica:
    name: str
    wire: Wire
    clock: OwnClock
    terms: list[Term]
    timing: Timing = TIMING
    tidying_s: float = 0.0
    """How long what it leads takes to end."""
    elector: Elector = field(init=False)
    running: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.elector = Elector(self.wire, self.name, self.clock, self.timing)
        self.running = asyncio.create_task(self.elector.run(self.lead))

    @property
    def leads(self) -> bool:
        return self.elector.leads and not self.running.done()

    async def lead(self) -> None:
        assert self.elector.leads
        term = Term(self.name, now_s())
        self.terms.append(term)
        try:
            await asyncio.Event().wait()
        finally:
            term.ended_s = now_s()
            await asyncio.sleep(self.tidying_s)

    async def ended(self) -> None:
        """In order, as by SIGTERM."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def killed(self) -> None:
        """Nothing of it is sent any more."""
        self.wire.cut = True
        await self.ended()


@dataclass
class Replicas:
    """All that stand for one Lease."""

    lease: FakeLease = field(default_factory=FakeLease)
    terms: list[Term] = field(default_factory=list)
    all: list[Replica] = field(default_factory=list)

    def add(self, fate: Callable[[], Fate] = Fate, clock: OwnClock | None = None) -> Replica:
        name = f"replica-{len(self.all)}"
        ahead_s = 1000.0 * len(self.all)
        made = Replica(name, Wire(self.lease, fate), clock or OwnClock(ahead_s), self.terms)
        self.all.append(made)
        return made

    @property
    def leaders(self) -> list[str]:
        """Who believe it now."""
        return [one.name for one in self.all if one.leads]

    async def led_by(self, replica: Replica, limit_s: float = 60.0) -> float:
        """Until it leads; how long that took."""
        began_s = now_s()
        while not replica.leads:
            assert now_s() - began_s < limit_s, f"{replica.name} does not lead: {self.leaders}"
            await asyncio.sleep(0.01)
        return now_s() - began_s

    async def close(self) -> None:
        for one in self.all:
            await one.ended()


def bad_network(random: Random) -> Callable[[], Fate]:
    """Quick as a rule; now and then slow, or very, and one in ten requests fails."""

    def fate() -> Fate:
        slow = random.choice((0.01, 0.01, 0.01, 0.01, 0.01, 0.1, 1.0, 6.0))
        return Fate(
            random.uniform(0, slow),
            random.uniform(0, slow),
            lost_there=random.random() < 0.05,
            lost_back=random.random() < 0.05,
        )

    return fate
