"""Which of several replicas leads: `Elector`, over a Lease of the cluster.

Rules, as client-go's leader election has them, on the monotonic clock of each replica:
1. Whoever holds the Lease renews it every `retry_s`. One that could not renew for `renew_limit_s`
   leads no more, before any other may begin: that is shorter than `duration_s`.
2. Another takes the Lease where nobody holds it, or where it has watched one version of it stand
   for `duration_s`. The times in the Lease are for people: no two clocks are ever compared.
3. Each write names the version that it replaces: of two who try, one is refused.
4. The Lease is given up only when what the leader does has ended; else it runs out.
https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from harmony_fleet.operator.complaints import Complaints
from harmony_fleet.operator.ports import Clock, Conflict, StoreError

logger = logging.getLogger(__name__)

_JITTER: Final = 0.2
_INSTANT_S: Final = 0.01
_RELEASE_LIMIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    duration_s: float = 4.0
    renew_limit_s: float = 2.5
    retry_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """A Lease as it was read."""

    holder: str
    """Empty: nobody."""
    renewed_at: str
    """RFC 3339 with microseconds, UTC, by the holder's clock."""
    acquired_at: str
    transitions: int
    version: str
    """What a write has to name; empty: there is no Lease yet."""


class Leases(Protocol):
    """One Lease."""

    async def read(self) -> Held:
        """Raises StoreError."""

    async def write(self, held: Held) -> Held:
        """Over `held.version`; where somebody has deleted the Lease, it is made anew.

        Raises Conflict: somebody else wrote it. Raises StoreError.
        """


class Elector:
    def __init__(
        self, leases: Leases, identity: str, clock: Clock, timing: Timing = Timing()
    ) -> None:
        self._leases, self._identity, self._clock, self._timing = leases, identity, clock, timing
        self._complaints = Complaints(clock.monotonic)
        self._seen: Held | None = None
        self._seen_at_s = self._renewed_at_s = -math.inf
        self._work: asyncio.Future[None] | None = None
        self.leader = ""
        """Who leads, as far as is known; empty: nobody."""

    @property
    def leads(self) -> bool:
        """Asked before anything that only a leader may do: true only while the renewal is young."""
        return self.leader == self._identity and self._left_s() > 0

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Call `lead` for each time of leading; it is cancelled when that ends. Until cancelled.

        Where `lead` ends by itself, or raises, the Lease is given up, and so does this.
        """
        try:
            while True:
                await self._acquire()
                await self._lead(lead)
        finally:
            await self._release()

    async def _acquire(self) -> None:
        while not (await self._try_for(self._timing.duration_s) and self.leads):
            await self._clock.sleep(self._wait_s())
        logger.info("%s leads now", self._identity)

    def _wait_s(self) -> float:
        """Until the next try, which is no later than when the Lease runs out, as it was seen."""
        retry_s = self._timing.retry_s * random.uniform(1, 1 + _JITTER)
        left_s = self._timing.duration_s - self._since(self._seen_at_s)
        return retry_s if left_s <= 0 else min(retry_s, max(left_s, _INSTANT_S))

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        work = self._work = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({work, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(work, renewing)
        if not renewing.cancelled():
            renewing.result()
        if not work.cancelled():
            work.result()
            raise RuntimeError("what a leader does has ended by itself")
        logger.warning("%s leads no more: it could not renew the Lease in time", self._identity)

    async def _renew(self) -> None:
        """Until it is lost."""
        while True:
            await self._clock.sleep(min(self._timing.retry_s, self._left_s()))
            if self._left_s() < _INSTANT_S:
                break
            await self._try_for(self._left_s())
            if self.leader != self._identity:
                break
        self.leader = "" if self.leader == self._identity else self.leader

    def _left_s(self) -> float:
        """Of the time in which it has to be renewed."""
        return self._timing.renew_limit_s - self._since(self._renewed_at_s)

    async def _try_for(self, limit_s: float) -> bool:
        """Take or renew it; whether it is ours. What fails is tried again."""
        try:
            async with asyncio.timeout(limit_s):
                return await self._try()
        except TimeoutError:
            words = f"the Lease cannot be had now: no answer within {limit_s:.1f} s"
            self._complaints.of("the Lease", words)
            return False

    async def _try(self) -> bool:
        try:
            held = self._seen
            if held is None or held.holder != self._identity:
                held = self._look(await self._leases.read())
            if not self._free(held):
                return False
            asked_at_s = self._clock.monotonic()
            self._seen = await self._leases.write(self._taken(held))
        except Conflict:
            self._seen = None  # read it again
            return False
        except StoreError as error:
            self._complaints.of("the Lease", f"the Lease cannot be had now: {error}")
            return False
        self.leader = self._identity
        self._renewed_at_s = asked_at_s
        return True

    def _look(self, held: Held) -> Held:
        if self._seen is None or self._seen.version != held.version:
            self._seen_at_s = self._clock.monotonic()
        self._seen, self.leader = held, held.holder
        return held

    def _free(self, held: Held) -> bool:
        if held.holder in {"", self._identity}:
            return True
        return self._since(self._seen_at_s) >= self._timing.duration_s

    def _taken(self, held: Held) -> Held:
        now = self._clock.now()
        ours = held.holder == self._identity
        return Held(
            self._identity,
            now,
            held.acquired_at if ours else now,
            held.transitions if ours else held.transitions + 1,
            held.version,
        )

    async def _release(self) -> None:
        """So that another need not wait. Not doing it costs only time."""
        if self.leader != self._identity:
            return
        self.leader = ""
        if self._work is not None and not self._work.done():
            return  # cancelled once more while it ended
        try:
            async with asyncio.timeout(_RELEASE_LIMIT_S):
                await self._give_up()
        except (StoreError, TimeoutError) as error:
            logger.warning("the Lease could not be given up: %r", error)

    async def _give_up(self) -> None:
        held = self._seen or await self._leases.read()
        while held.holder == self._identity:
            free = replace(held, holder="", renewed_at=self._clock.now())
            try:
                held = await self._leases.write(free)
            except Conflict:
                held = await self._leases.read()  # a renewal was under way

    def _since(self, then_s: float) -> float:
        return self._clock.monotonic() - then_s


async def _ended(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
