"""A real operator on a real message plane, with a store that is told to break and a quick clock."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes.nats_fixture import MessagePlane, connected, running_nats, until

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Desired
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.loop import Operator, Settings
from harmony_fleet.operator.ports import DeviceStore
from harmony_fleet.operator.records import Order, Release
from harmony_fleet.testing.fake_store import FakeStore

SHA256 = "a" * 64
BASE_URL = "http://127.0.0.1:7700/artifacts"
PATIENT = Settings(relist_s=300.0, command_limit_s=0.25)
"""Nothing is found by listing again: what is seen was seen as it came."""
KEEN = Settings(relist_s=0.1, command_limit_s=0.25)
"""The buckets are compared with the store all the time."""


@dataclass
class QuickClock:
    """Real, but its waits are a twentieth as long; remembers them."""

    waits_s: list[float] = field(default_factory=list)

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.sleep(seconds / 20)


@dataclass
class CountedIds:
    next: int = 1

    def upgrade_id(self) -> str:
        self.next += 1
        return f"{self.next - 1:032x}"

    def nonce(self) -> str:
        return secrets.token_hex(8)


@dataclass
class World:
    """One operator and what it stands on."""

    nats: MessagePlane
    operator: Operator
    store: DeviceStore
    clock: QuickClock

    def case(self, device_id: str = "pi-1") -> Case:
        return self.operator.sight(device_id).case

    def order(self, device_id: str = "pi-1") -> Order:
        order = self.case(device_id).record.order
        assert order is not None
        return order

    def knows(self, *device_ids: str) -> bool:
        known = {sight.case.record.device_id for sight in self.operator.sights()}
        return known.issuperset(device_ids)

    async def known(self, *device_ids: str) -> None:
        await until(lambda: self.knows(*device_ids))

    async def phase(self, phase: AgentUpgradePhase, device_id: str = "pi-1") -> None:
        def there() -> bool:
            order = self.case(device_id).record.order if self.knows(device_id) else None
            return order is not None and order.phase is phase

        await until(there)

    async def upgrade(self, device_id: str = "pi-1", version: str = "2.0.0") -> Order:
        (result,) = await self.operator.upgrade([device_id], version, retry=False, replace=False)
        assert result.reason is None
        return self.order(device_id)

    def aborted(self, device_id: str = "pi-1") -> bool:
        return self.order(device_id).desired is Desired.ABORT


async def releases(store: DeviceStore, *versions: str) -> None:
    for version in versions:
        await store.add_release(Release(version, f"agent-{version}", 10, SHA256, ">=3.11", "now"))


@asynccontextmanager
async def operating(
    nats: MessagePlane, store: DeviceStore, settings: Settings = PATIENT, first_id: int = 1
) -> AsyncIterator[World]:
    """An operator that runs; cancelled at the end, as its process would be killed."""
    await releases(store, "1.0.0", "2.0.0", "3.0.0")
    async with connected(nats.operator_endpoint()) as plane:
        clock = QuickClock()
        operator = Operator(store, plane, clock, CountedIds(first_id), BASE_URL, settings)
        running = asyncio.create_task(operator.run())
        try:
            await until(lambda: running.done() or listening(operator))
            yield World(nats, operator, store, clock)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def listening(operator: Operator) -> bool:
    """Its baseline is known: from now on a heartbeat is live."""
    return operator._observer.ready


def in_world(
    folder: Path, use: Callable[[World], Awaitable[None]], settings: Settings = PATIENT
) -> None:
    """Run `use` with a new server, a new store and one operator."""

    async def run() -> None:
        async with running_nats(folder) as nats:
            store = FakeStore(QuickClock())
            async with operating(nats, store, settings) as world:
                await use(world)

    asyncio.run(run())
