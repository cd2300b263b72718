"""What devices say is stored in one go; what is ordered, and every end of an upgrade, at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.lease_world import OwnClock
from tests.unit.operator_cases import ARTIFACT, NOW

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Desired, cause
from harmony_fleet.labels import Label
from harmony_fleet.operator.ports import Conflict, StoreError
from harmony_fleet.operator.records import DeviceRecord, Happening, Order
from harmony_fleet.operator.write_behind import (
    LONGEST_WAIT_S,
    MOMENT_S,
    MOST_TOLD,
    WriteBehind,
    merely_said,
)
from harmony_fleet.testing import fake_clock
from harmony_fleet.testing.fake_store import FakeStore
from harmony_fleet.testing.store_suite import release

Phase = AgentUpgradePhase
AWAY: Final = StoreError("the API server does not answer")
PLAIN: Final = DeviceRecord("pi-1", "1.0.0")
ENDS: Final = [phase for phase in Phase if phase.final]


def at(phase: Phase, upgrade_id: str = "1" * 32, **changed: Any) -> DeviceRecord:
    order = Order(upgrade_id, 1, "2.0.0", ARTIFACT, NOW, phase=phase, since=NOW)
    return replace(PLAIN, order=replace(order, **changed), highest=1)


def told(*sentences: str) -> list[Happening]:
    return [Happening("phase", sentence) for sentence in sentences]


@dataclass
class CountedStore(FakeStore):
    """Counts what it is asked to save; and takes its time over it, where it is told so."""

    saves: int = 0
    slow_s: float = 0.0
    slow_after_s: float = 0.0
    """Between the write and the answer."""

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        self.saves += 1
        await asyncio.sleep(self.slow_s)
        saved = await super().save(record, revision, happenings)
        await asyncio.sleep(self.slow_after_s)
        return saved


@dataclass
class World:
    below: CountedStore = field(default_factory=lambda: CountedStore(OwnClock()))
    losses: int = 0

    def __post_init__(self) -> None:
        self.behind = WriteBehind(self.below, OwnClock())
        self.behind.lost = self._lost

    def _lost(self) -> None:
        self.losses += 1

    async def stored(self) -> DeviceRecord | None:
        """By the store below."""
        found = await self.below.load("pi-1")
        return found.record if found else None

    async def sentences(self) -> list[str]:
        return [event.sentence for event in await self.below.events("pi-1", 0, 10_000)]


def played(story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await story(world)
        world.below.broken = None
        await world.behind.close()

    fake_clock.run(run())


async def moments(number: float = 1) -> None:
    await asyncio.sleep(MOMENT_S * number + 0.01)


def test_an_order_is_stored_when_save_returns() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(PLAIN, 0)
        assert await world.stored() == PLAIN
        await world.behind.save(at(Phase.PENDING), revision, told("ordered"))
        assert await world.stored() == at(Phase.PENDING)
        assert await world.sentences() == ["ordered"]
        assert world.below.saves == 2

    played(story)


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_stored_at_once_with_all_that_was_said_before(end: Phase) -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        for phase in (Phase.STAGING, Phase.VERIFYING):
            revision = await world.behind.save(at(phase), revision, told(phase))
        assert await world.stored() == at(Phase.PENDING)
        await world.behind.save(at(end), revision, told(end))
        assert await world.stored() == at(end)
        assert await world.sentences() == [Phase.STAGING, Phase.VERIFYING, end]
        await moments(5)
        assert world.below.saves == 2

    played(story)


@pytest.mark.parametrize(
    "ordered",
    [
        at(Phase.STAGING, desired=Desired.ABORT),
        replace(at(Phase.STAGING), paused=True),
        replace(at(Phase.STAGING), labels=(Label("ring", "canary"),)),
        replace(at(Phase.PENDING, "2" * 32), past=(at(Phase.STAGING).order,)),  # type: ignore[arg-type]
    ],
    ids=["abort", "paused", "labels", "another order"],
)
def test_what_people_order_is_stored_at_once(ordered: DeviceRecord) -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.STAGING), 0)
        await world.behind.save(ordered, revision, told("as ordered"))
        assert await world.stored() == ordered
        assert await world.sentences() == ["as ordered"]

    played(story)


def test_what_a_device_says_meanwhile_is_one_write_with_all_that_happened() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        said = [at(Phase.STAGING), at(Phase.VERIFYING), at(Phase.CUTOVER_READY)]
        for record in said:
            assert record.order
            same = await world.behind.save(record, revision, told(record.order.phase))
            assert same == revision, "to whoever uses it nothing has changed"
        assert await world.stored() == at(Phase.PENDING)
        await moments()
        assert await world.stored() == said[-1]
        assert await world.sentences() == [Phase.STAGING, Phase.VERIFYING, Phase.CUTOVER_READY]
        assert world.below.saves == 2
        await moments(10)
        assert world.below.saves == 2

    played(story)


def test_until_it_is_stored_it_is_read_from_here_under_the_revision_of_before() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision)
        for _ in range(2):
            found = await world.behind.load("pi-1")
            assert found
            assert (found.record, found.revision) == (at(Phase.STAGING), revision)
            (also,) = await world.behind.load_all()
            assert also == found
            await moments()
        assert await world.stored() == at(Phase.STAGING)
        assert world.losses == 0

    played(story)


def test_who_knows_the_revision_of_before_may_order_after_it_was_stored() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        await moments()
        aborted = at(Phase.STAGING, desired=Desired.ABORT)
        later = await world.behind.save(aborted, revision, told("abort"))
        assert later != revision
        assert await world.stored() == aborted
        with pytest.raises(Conflict):
            await world.behind.save(at(Phase.VERIFYING), revision)
        assert await world.sentences() == ["staging", "abort"]

    played(story)


def test_anothers_write_is_a_conflict_and_what_waited_is_dropped_and_asked_for_again() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        theirs = replace(at(Phase.PENDING), paused=True)
        await world.below.save(theirs, revision, told("paused by another"))
        with pytest.raises(Conflict):
            await world.behind.save(at(Phase.STAGING, desired=Desired.ABORT), revision)
        found = await world.behind.load("pi-1")
        assert found
        assert found.record == theirs
        assert found.revision != revision
        assert world.losses == 1
        await moments(3)
        assert await world.stored() == theirs
        assert await world.sentences() == ["paused by another"]

    played(story)


def test_anothers_write_is_found_when_what_waits_is_stored() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        theirs = replace(at(Phase.PENDING), paused=True)
        await world.below.save(theirs, revision)
        await moments()
        assert world.losses == 1
        assert await world.stored() == theirs
        with pytest.raises(Conflict):
            await world.behind.save(at(Phase.VERIFYING), revision)
        found = await world.behind.load("pi-1")
        assert found
        await world.behind.save(at(Phase.VERIFYING), found.revision)
        await moments()
        assert world.losses == 1

    played(story)


def test_where_nothing_waited_anothers_write_is_no_loss() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(PLAIN, 0)
        theirs = replace(PLAIN, paused=True)
        await world.below.save(theirs, revision)
        (found,) = await world.behind.load_all()
        assert found.record == theirs
        loaded = await world.behind.load("pi-1")
        assert loaded == found
        assert world.losses == 0

    played(story)


def test_what_was_stored_is_dropped_by_nobody_and_not_stored_again() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision)
        await moments()
        saves = world.below.saves
        await world.behind.close()
        assert world.below.saves == saves
        found = await world.below.load("pi-1")
        assert found
        await world.below.save(PLAIN, found.revision)
        await world.behind.load("pi-1")
        assert world.losses == 0

    played(story)


def test_what_another_has_created_is_a_conflict_and_what_nobody_has_is_none() -> None:
    async def story(world: World) -> None:
        assert await world.behind.load("pi-1") is None
        await world.below.save(PLAIN, 0)
        with pytest.raises(Conflict):
            await world.behind.save(at(Phase.PENDING), 0)
        with pytest.raises(Conflict):
            await world.behind.save(at(Phase.PENDING), 7)
        (found,) = await world.behind.load_all()
        assert found.record == PLAIN
        await world.behind.save(at(Phase.PENDING), found.revision)
        assert await world.stored() == at(Phase.PENDING)

    played(story)


def test_a_device_that_has_gone_is_gone_with_what_waited() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision)
        world.below.remove("pi-1")
        assert await world.behind.load("pi-1") is None
        await moments(3)
        assert await world.stored() is None
        assert await world.behind.save(PLAIN, 0) > 0

    played(story)


def test_a_store_that_fails_is_tried_again_until_nothing_is_missing() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.broken = AWAY
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        await moments(3)
        await world.behind.save(at(Phase.VERIFYING), revision, told("verifying"))
        await moments(3)
        world.below.broken = None
        assert await world.stored() == at(Phase.PENDING)
        await moments(4)
        assert await world.stored() == at(Phase.VERIFYING)
        assert await world.sentences() == ["staging", "verifying"]
        assert world.losses == 0

    played(story)


def test_a_store_that_goes_on_refusing_is_tried_less_and_less_often() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.broken, world.below.saves = AWAY, 0
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        await asyncio.sleep(3600)
        assert 60 <= world.below.saves <= 70

    played(story)


def test_a_device_that_says_ever_new_things_while_nothing_can_be_stored_fills_no_memory() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.broken = AWAY
        for number in range(MOST_TOLD * 3):
            phase = (Phase.STAGING, Phase.VERIFYING)[number % 2]
            await world.behind.save(at(phase), revision, told(str(number)))
        world.below.broken = None
        await moments(2)
        assert await world.stored() == at(Phase.VERIFYING)
        assert await world.sentences() == [str(n) for n in range(MOST_TOLD * 2, MOST_TOLD * 3)]

    played(story)


def test_an_order_that_could_not_be_stored_was_not_given_and_what_waited_still_waits() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        world.below.broken = AWAY
        with pytest.raises(StoreError, match="does not answer"):
            await world.behind.save(at(Phase.FAILED), revision, told("failed"))
        world.below.broken = None
        found = await world.behind.load("pi-1")
        assert found
        assert found.record == at(Phase.STAGING)
        await world.behind.save(at(Phase.FAILED), revision, told("failed"))
        assert await world.stored() == at(Phase.FAILED)
        assert await world.sentences() == ["staging", "failed"]

    played(story)


def test_what_is_said_while_a_write_is_under_way_is_in_the_next_one() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.slow_s = world.below.slow_after_s = 1.0
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        await asyncio.sleep(MOMENT_S + 0.5)
        assert await world.behind.save(at(Phase.VERIFYING), revision, told("verifying")) == revision
        await moments(3)
        assert await world.stored() == at(Phase.VERIFYING)
        assert await world.sentences() == ["staging", "verifying"]
        assert world.losses == 0

    played(story)


def test_a_listing_while_a_write_is_under_way_takes_it_for_nobody_elses() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.slow_after_s = 1.0
        await world.behind.save(at(Phase.STAGING), revision)
        await asyncio.sleep(MOMENT_S + 0.5)
        (found,) = await world.behind.load_all()
        assert (found.record, found.revision) == (at(Phase.STAGING), revision)
        await moments(3)
        assert world.losses == 0

    played(story)


@pytest.mark.parametrize("after_s", [0.5, MOMENT_S + 0.5, MOMENT_S + 1.5])
def test_closing_stores_what_waits_also_while_a_write_is_under_way(after_s: float) -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.slow_s = world.below.slow_after_s = 1.0
        await world.behind.save(at(Phase.STAGING), revision, told("staging"))
        await asyncio.sleep(after_s)
        await world.behind.close()
        assert await world.stored() == at(Phase.STAGING)
        assert await world.sentences() == ["staging"]
        assert world.losses == 0
        saves = world.below.saves
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await moments(5)
        assert world.below.saves == saves

    played(story)


def test_closing_goes_on_where_one_of_them_cannot_be_stored() -> None:
    async def story(world: World) -> None:
        for name in ("pi-1", "pi-2"):
            pending = replace(at(Phase.PENDING), device_id=name)
            revision = await world.behind.save(pending, 0)
            await world.behind.save(replace(at(Phase.STAGING), device_id=name), revision)
        found = await world.below.load("pi-1")
        assert found
        await world.below.save(PLAIN, found.revision)
        world.below.broken = AWAY
        await world.behind.close()
        world.below.broken = None
        await world.behind.close()
        assert await world.stored() == PLAIN
        other = await world.below.load("pi-2")
        assert other
        assert other.record == replace(at(Phase.STAGING), device_id="pi-2")

    played(story)


def test_whoever_asks_waits_for_a_write_that_is_on_its_way() -> None:
    async def story(world: World) -> None:
        revision = await world.behind.save(at(Phase.PENDING), 0)
        world.below.slow_s = 5.0
        writing = asyncio.create_task(world.behind.save(at(Phase.FAILED), revision))
        await asyncio.sleep(1)
        await world.behind.settled("pi-1")
        assert await world.stored() == at(Phase.FAILED)
        await writing
        await world.behind.settled("pi-2")

    played(story)


def test_devices_do_not_wait_for_each_other() -> None:
    async def story(world: World) -> None:
        one = await world.behind.save(at(Phase.PENDING), 0)
        other = replace(at(Phase.PENDING), device_id="pi-2")
        two = await world.behind.save(other, 0)
        world.below.slow_s = 10.0
        slow = asyncio.create_task(world.behind.save(at(Phase.FAILED), one))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(0.1):
            await world.behind.save(replace(at(Phase.STAGING), device_id="pi-2"), two)
        await slow

    played(story)


def test_releases_and_events_are_those_of_the_store() -> None:
    async def story(world: World) -> None:
        await world.behind.add_release(release())
        await world.behind.replace_release(replace(release(), python=">=3.12"))
        assert (await world.behind.release("1.0.0")) == replace(release(), python=">=3.12")
        assert len(await world.behind.releases()) == 1
        withdrawn = await world.behind.withdraw_release("1.0.0", "it eats memory")
        assert await world.below.release("1.0.0") == withdrawn
        assert withdrawn is not None
        assert withdrawn.withdrawn == "it eats memory"
        await world.behind.save(PLAIN, 0, told("one"))
        assert [e.sentence for e in await world.behind.events(None, 0, 9)] == ["one"]

    played(story)


# What is merely said


SAID_OF_AN_ORDER: Final[dict[str, Any]] = {
    "phase": Phase.VERIFYING,
    "since": "later",
    "attempt": 2,
    "cause": cause(CauseKind.PLANE_UNREACHABLE, "it waits"),
    "from_version": "0.9.0",
}
ORDERED: Final[dict[str, Any]] = {
    "upgrade_id": "2" * 32,
    "generation": 9,
    "version": "3.0.0",
    "artifact": replace(ARTIFACT, size_bytes=9),
    "ordered_at": "later",
    "desired": Desired.ABORT,
    "retry": True,
    "journal_id": "journal-2",
}
SAID: Final[dict[str, Any]] = {
    "current_version": "1.5.0",
    "highest": 9,
    "journal_id": "journal-2",
    "seq": 5,
}


def test_every_field_of_an_order_is_either_said_or_ordered() -> None:
    assert SAID_OF_AN_ORDER.keys() | ORDERED.keys() == set(Order.__dataclass_fields__)
    assert not SAID_OF_AN_ORDER.keys() & ORDERED.keys()


@pytest.mark.parametrize("name", SAID_OF_AN_ORDER)
def test_what_a_device_says_of_an_order_is_merely_said(name: str) -> None:
    changed = {name: SAID_OF_AN_ORDER[name]}
    assert merely_said(at(Phase.STAGING), at(**{"phase": Phase.STAGING} | changed))


@pytest.mark.parametrize("name", ORDERED)
def test_what_an_order_is_was_not_merely_said(name: str) -> None:
    assert not merely_said(at(Phase.STAGING), at(Phase.STAGING, **{name: ORDERED[name]}))


@pytest.mark.parametrize("name", SAID)
def test_what_a_device_says_of_itself_is_merely_said(name: str) -> None:
    assert merely_said(PLAIN, replace(PLAIN, **{name: SAID[name]}))
    assert merely_said(at(Phase.STAGING), replace(at(Phase.STAGING), **{name: SAID[name]}))


def test_a_first_order_was_not_merely_said_and_no_change_is() -> None:
    assert not merely_said(PLAIN, at(Phase.PENDING))
    assert not merely_said(at(Phase.PENDING), PLAIN)
    assert merely_said(PLAIN, PLAIN)
    for end in ENDS:
        assert not merely_said(at(Phase.COMMITTED), at(end))
        assert merely_said(at(end), at(end))


# Whatever is saved, and whenever the store fails


SAVES = st.lists(
    st.one_of(
        st.sampled_from([phase for phase in Phase if not phase.final]),
        st.sampled_from(["order", "end", "break", "mend", "load", "load all"]),
        st.sampled_from([0.5, 2.0, 7.0]),
    ),
    max_size=25,
)


@given(SAVES, st.sampled_from([0.0, 0.3, 4.0]), st.sampled_from([0.0, 0.3, 4.0]), st.booleans())
def test_in_the_end_the_store_holds_the_last_record_and_every_happening_once_and_in_order(
    steps: list[Phase | str | float], slow_s: float, slow_after_s: float, closes: bool
) -> None:
    async def story(world: World) -> None:
        world.below.slow_s, world.below.slow_after_s = slow_s, slow_after_s
        record, revision = at(Phase.PENDING), await world.behind.save(at(Phase.PENDING), 0)
        expected: list[str] = []
        for number, step in enumerate(steps):
            match step:
                case Phase():
                    assert record.order
                    wanted = at(step, record.order.upgrade_id)
                case "order":
                    wanted = at(Phase.PENDING, f"{number:032x}")
                case "end":
                    assert record.order
                    wanted = at(Phase.FAILED, record.order.upgrade_id)
                case "break" | "mend":
                    world.below.broken = AWAY if step == "break" else None
                    continue
                case "load" | "load all":
                    await agree(world, record, revision, step)
                    continue
                case _:
                    await asyncio.sleep(float(step))
                    continue
            try:
                revision = await world.behind.save(wanted, revision, told(str(number)))
            except StoreError:
                assert world.below.broken
                continue
            record = wanted
            expected.append(str(number))
        world.below.broken = None
        await (world.behind.close() if closes else asyncio.sleep(LONGEST_WAIT_S + 20))
        assert await world.stored() == record
        assert await world.sentences() == expected
        assert world.losses == 0

    async def agree(world: World, record: DeviceRecord, revision: int, how: str) -> None:
        if world.below.broken:
            return
        if how == "load":
            found = await world.behind.load("pi-1")
        else:
            (found,) = await world.behind.load_all()
        assert found
        assert (found.record, found.revision) == (record, revision)

    played(story)


def test_where_there_is_no_room_nobody_waits_and_only_the_newest_is_stored() -> None:
    async def story(world: World) -> None:
        room = asyncio.Event()

        async def until_room() -> None:
            await room.wait()

        behind = WriteBehind(world.below, OwnClock(), until_room)
        revision = await behind.save(at(Phase.PENDING), 0)
        await behind.save(at(Phase.STAGING), revision, told("staging"))
        await moments(20)
        assert behind.waits("pi-1")
        await behind.save(at(Phase.VERIFYING), revision, told("verifying"))
        found = await behind.load("pi-1")
        assert found
        assert found.record == at(Phase.VERIFYING)
        assert await world.stored() == at(Phase.PENDING)
        room.set()
        await moments()
        assert await world.stored() == at(Phase.VERIFYING)
        assert await world.sentences() == ["staging", "verifying"]
        assert world.below.saves == 2
        assert not behind.waits("pi-1")

    played(story)
