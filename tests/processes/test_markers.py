"""Markers are written to a real message plane while the store refuses to say what is wanted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.processes.nats_fixture import running_nats, until
from tests.processes.operator_world import QuickClock
from tests.unit.coordinator_cases import FIRST, HEARD, after, ordered

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.upgrade import Desired, Marker
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.markers import Markers
from harmony_fleet.operator.ports import StoreError

GIVEN = after(HEARD, ordered(FIRST))


def marker_of(case: Case) -> Marker:
    assert case.record.order is not None
    return case.record.order.marker("pi-1")


def aborted(case: Case) -> Case:
    assert case.record.order is not None
    order = replace(case.record.order, desired=Desired.ABORT)
    return replace(case, record=replace(case.record, order=order))


class Frozen(QuickClock):
    """No wait on it ever ends by itself."""

    async def sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.Event().wait()


@dataclass
class Desk:
    plane: Plane
    clock: QuickClock
    case: Case = GIVEN
    refuses: bool = True
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    writers: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.markers = Markers(self.plane, self.clock, self.looked_again)
        self.answers.set()

    async def looked_again(self, _device_id: str) -> Case:
        self.asked += 1
        await self.answers.wait()
        if self.refuses:
            raise StoreError("the store is away")
        return self.case

    def want(self) -> None:
        task = asyncio.create_task(self.markers.write(marker_of(self.case)))
        self.writers.add(task)
        task.add_done_callback(self.writers.discard)

    async def stored(self) -> Marker | None:
        entry = await keyvalue.get(self.plane, subjects.MARKER_BUCKET, "pi-1", 5.0)
        return codec.decode(Marker, entry.value) if entry else None


@asynccontextmanager
async def desk(folder: Path, clock: QuickClock) -> AsyncIterator[Desk]:
    async with running_nats(folder) as nats, nats.operator() as plane:
        made = Desk(plane, clock)
        yield made
        for task in made.writers:
            task.cancel()


def at_desk(folder: Path, clock: QuickClock, use: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with desk(folder, clock) as made:
            await use(made)

    asyncio.run(run())


def test_however_often_a_marker_is_asked_for_one_writer_tries(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        for asked in range(1, 20):
            desk.want()
            await until(lambda least=asked: desk.asked >= least)  # type: ignore[misc]
        assert len(desk.writers) == 1
        desk.refuses = False
        await until(lambda: not desk.writers)
        assert await desk.stored() == marker_of(desk.case)

    at_desk(tmp_path, QuickClock(), use)


def test_a_writer_that_waits_is_woken_and_writes_the_newest_marker(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        desk.want()
        await until(lambda: bool(desk.clock.waits_s))
        desk.refuses, desk.case = False, aborted(desk.case)
        desk.want()
        await until(lambda: not desk.writers)
        stored = await desk.stored()
        assert stored == marker_of(desk.case)
        assert stored is not None
        assert stored.desired is Desired.ABORT

    at_desk(tmp_path, Frozen(), use)


def test_what_is_asked_for_while_another_marker_is_written_is_written_as_well(
    tmp_path: Path,
) -> None:
    async def use(desk: Desk) -> None:
        desk.refuses = False
        desk.answers.clear()
        desk.want()
        await until(lambda: desk.asked == 1)  # it is on its way
        desk.case = aborted(desk.case)
        desk.want()
        await until(lambda: len(desk.writers) == 1)  # it was left to the first
        desk.answers.set()
        await until(lambda: not desk.writers)
        assert await desk.stored() == marker_of(desk.case)

    at_desk(tmp_path, Frozen(), use)


def test_a_writer_that_is_cancelled_leaves_no_wait_behind(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        before = asyncio.all_tasks()
        desk.want()
        await until(lambda: bool(desk.clock.waits_s))
        for task in list(desk.writers):
            task.cancel()
        await until(lambda: asyncio.all_tasks() == before)

    at_desk(tmp_path, Frozen(), use)
