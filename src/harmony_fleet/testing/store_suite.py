"""What every DeviceStore does, as plain coroutines that assert: run each one of `CASES`.

You provide a fresh `World` for each case. With pytest, which this module does not need:

    @pytest.mark.parametrize("case", store_suite.CASES, ids=store_suite.name)
    def test_a_store(case, tmp_path):
        async def run():
            async with my_world(tmp_path) as world:
                await case(world)
        asyncio.run(run())
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, CauseKind, Desired, cause
from harmony_fleet.labels import Label
from harmony_fleet.operator.ports import Conflict, DeviceStore, ReleaseExists
from harmony_fleet.operator.records import DeviceRecord, Happening, Order, Release

UPGRADE_ID = "0123456789abcdef" * 2
SHA256 = "a" * 64


class World(Protocol):
    @property
    def store(self) -> DeviceStore: ...

    @property
    def events_kept(self) -> int:
        """Of each device, at least so many."""

    async def settled(self) -> None:
        """Until a listing of each user shows what any has written: it may be late by a moment."""

    def another(self) -> DeviceStore:
        """A second user of the same data, as a second operator would be."""

    async def reopened(self) -> DeviceStore:
        """The same data after every user of it has gone and one has come back."""


Case = Callable[[World], Awaitable[None]]


def device(name: str = "pi-1", version: str | None = None) -> DeviceRecord:
    return DeviceRecord(name, current_version=version)


def full_record() -> DeviceRecord:
    """One in which no field has its default."""
    artifact = Artifact("http://127.0.0.1:7700/artifacts/a", 10, SHA256)
    why = cause(CauseKind.CRASH_LOOP, "it crashed: “Größe 0”", "line 1\nline 2")
    old = Order(UPGRADE_ID, 3, "1.1.0", artifact, "2026-01-01T00:00:00Z")
    old = replace(old, phase=AgentUpgradePhase.ROLLED_BACK, cause=why, attempt=2, retry=True)
    new = replace(old, generation=4, desired=Desired.ABORT, from_version="1.0.0", since="now")
    labels = (Label("example.com/site", ""), Label("ring", "canary"))
    return DeviceRecord("pi-1", "1.0.0", new, (old,), 4, "journal-1", 17, labels, paused=True)


def release(version: str = "1.0.0", sha256: str = SHA256) -> Release:
    return Release(version, f"agent-{version}", 10, sha256, ">=3.11", "2026-01-01T00:00:00Z")


async def what_was_never_saved_is_not_there(world: World) -> None:
    assert await world.store.load("pi-1") is None
    assert list(await world.store.load_all()) == []
    assert list(await world.store.events(None, 0, 10)) == []
    assert list(await world.store.releases()) == []
    assert await world.store.release("1.0.0") is None


async def a_record_is_read_as_it_was_written(world: World) -> None:
    revision = await world.store.save(full_record(), 0)
    found = await world.store.load("pi-1")
    assert found is not None
    assert found.record == full_record()
    assert found.revision == revision


async def every_save_gives_a_revision_that_the_next_one_must_name(world: World) -> None:
    first = await world.store.save(device(), 0)
    second = await world.store.save(device(version="1.0.0"), first)
    assert second != first
    await refused(world.store, device(version="2.0.0"), first)
    found = await world.store.load("pi-1")
    assert found is not None
    assert (found.record, found.revision) == (device(version="1.0.0"), second)


async def creating_what_is_there_is_a_conflict(world: World) -> None:
    await world.store.save(device(version="1.0.0"), 0)
    await refused(world.store, device(version="2.0.0"), 0)


async def changing_what_is_not_there_is_a_conflict(world: World) -> None:
    await refused(world.store, device(), 1)
    assert await world.store.load("pi-1") is None


async def of_two_who_read_the_same_only_one_writes(world: World) -> None:
    revision = await world.store.save(device(), 0)
    stores = [world.store, world.another()]
    records = [device(version="1.0.0"), device(version="2.0.0")]
    saves = [s.save(r, revision) for s, r in zip(stores, records, strict=True)]
    outcomes = await asyncio.gather(*saves, return_exceptions=True)
    assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]
    winner = records[[isinstance(outcome, Conflict) for outcome in outcomes].index(False)]
    found = await world.store.load("pi-1")
    assert found is not None
    assert found.record == winner


async def a_refused_save_tells_nothing(world: World) -> None:
    await refused(world.store, device(), 7, Happening("ordered", "never happened"))
    assert list(await world.store.events(None, 0, 10)) == []


async def records_come_in_the_order_of_their_ids(world: World) -> None:
    for name in ("pi-2", "pi-10", "a"):
        await world.store.save(device(name), 0)
    names = [one.record.device_id for one in await world.store.load_all()]
    assert names == ["a", "pi-10", "pi-2"]


async def events_are_numbered_upwards_over_all_devices(world: World) -> None:
    await world.store.save(
        device("a"), 0, [Happening("one", "1"), Happening("two", "2", UPGRADE_ID)]
    )
    await world.another().save(device("b"), 0, [Happening("three", "3")])
    await world.settled()
    events = await world.store.events(None, 0, 10)
    assert [(e.device_id, e.kind, e.sentence) for e in events] == [
        ("a", "one", "1"),
        ("a", "two", "2"),
        ("b", "three", "3"),
    ]
    assert [e.upgrade_id for e in events] == [None, UPGRADE_ID, None]
    assert sorted({e.number for e in events}) == [e.number for e in events]
    assert all(e.at for e in events)


async def events_are_read_on_from_a_number_and_up_to_a_limit(world: World) -> None:
    for name in ("a", "b"):
        await world.store.save(device(name), 0, [Happening(f"{name}{n}", "") for n in range(4)])
    first = await world.store.events("b", 0, 2)
    assert [e.kind for e in first] == ["b0", "b1"]
    rest = await world.store.events("b", first[-1].number, 100)
    assert [e.kind for e in rest] == ["b2", "b3"]
    assert [e.kind for e in await world.store.events(None, first[-1].number, 1)] == ["b2"]


async def the_history_of_a_device_is_bounded_and_the_newest_stays(world: World) -> None:
    await world.store.save(device("quiet"), 0, [Happening("old", "")])
    many = [Happening("e", str(n)) for n in range(world.events_kept * 2)]
    revision = await world.store.save(device("loud"), 0, many)
    for extra in range(3):
        revision = await world.store.save(
            device("loud"), revision, [Happening("e", f"last {extra}")]
        )
    loud = await world.store.events("loud", 0, len(many) * 2)
    assert world.events_kept <= len(loud) < len(many)
    assert loud[-1].sentence == "last 2"
    assert len(await world.store.events("quiet", 0, 10)) == 1


async def a_release_is_added_once_and_the_same_bytes_change_nothing(world: World) -> None:
    assert await world.store.add_release(release()) == release()
    again = replace(release(), added_at="2027-01-01T00:00:00Z", artifact_name="other")
    assert await world.store.add_release(again) == release()
    assert list(await world.store.releases()) == [release()]


async def other_bytes_under_a_known_version_are_refused(world: World) -> None:
    await world.store.add_release(release())
    try:
        await world.another().add_release(release(sha256="b" * 64))
    except ReleaseExists:
        assert await world.store.release("1.0.0") == release()
        return
    raise AssertionError("other bytes were taken under a known version")


async def a_release_may_be_written_anew_where_its_bytes_are_the_same(world: World) -> None:
    await world.store.add_release(release())
    await world.store.add_release(release("2.0.0"))
    elsewhere = replace(release(), url="https://files.example/a", artifact_name="", python="")
    assert await world.another().replace_release(elsewhere) == elsewhere
    assert await world.store.release("1.0.0") == elsewhere
    assert [one.version for one in await world.store.releases()] == ["1.0.0", "2.0.0"]
    new = release("3.0.0")
    assert await world.store.replace_release(new) == new
    assert await world.store.release("3.0.0") == new


async def a_release_is_never_written_anew_with_other_bytes(world: World) -> None:
    await world.store.add_release(release())
    try:
        await world.another().replace_release(release(sha256="b" * 64))
    except ReleaseExists:
        assert await world.store.release("1.0.0") == release()
        return
    raise AssertionError("a version's bytes were changed")


async def a_release_may_be_withdrawn_and_given_back(world: World) -> None:
    await world.store.add_release(release())
    withdrawn = replace(release(), withdrawn="it eats memory: “Größe 0”")
    for _ in range(2):
        assert await world.store.withdraw_release("1.0.0", withdrawn.withdrawn) == withdrawn
    assert await world.another().release("1.0.0") == withdrawn
    assert list(await world.store.releases()) == [withdrawn]
    assert await world.another().withdraw_release("1.0.0", None) == release()
    assert await world.store.release("1.0.0") == release()


async def a_release_that_is_not_there_cannot_be_withdrawn(world: World) -> None:
    assert await world.store.withdraw_release("1.0.0", "it eats memory") is None
    assert await world.store.release("1.0.0") is None
    assert await world.store.add_release(release()) == release()


async def a_release_that_is_added_or_written_anew_stays_withdrawn(world: World) -> None:
    """Whoever writes it may have read it before it was withdrawn."""
    await world.store.add_release(release())
    withdrawn = await world.another().withdraw_release("1.0.0", "it eats memory")
    assert withdrawn is not None
    assert await world.store.add_release(release()) == withdrawn
    elsewhere = replace(release(), url="https://files.example/a", artifact_name="", python="")
    kept = replace(elsewhere, withdrawn=withdrawn.withdrawn)
    assert await world.store.replace_release(elsewhere) == kept
    assert await world.another().release("1.0.0") == kept
    await world.store.withdraw_release("1.0.0", None)
    assert await world.another().replace_release(kept) == elsewhere


async def releases_come_in_the_order_in_which_they_were_added(world: World) -> None:
    for version in ("1.10.0", "1.2.0", "1.9.0"):
        await world.store.add_release(release(version))
    assert [r.version for r in await world.store.releases()] == ["1.10.0", "1.2.0", "1.9.0"]


async def everything_is_there_after_all_users_have_gone(world: World) -> None:
    revision = await world.store.save(full_record(), 0, [Happening("ordered", "once")])
    await world.store.add_release(release())
    withdrawn = await world.store.withdraw_release("1.0.0", "it eats memory")
    store = await world.reopened()
    found = await store.load("pi-1")
    assert found is not None
    assert (found.record, found.revision) == (full_record(), revision)
    (event,) = await store.events(None, 0, 10)
    await store.save(full_record(), revision, [Happening("phase", "later")])
    (later,) = await store.events(None, event.number, 10)
    assert later.sentence == "later"
    assert list(await store.releases()) == [withdrawn]


async def refused(
    store: DeviceStore, record: DeviceRecord, revision: int, *happenings: Happening
) -> None:
    try:
        await store.save(record, revision, happenings)
    except Conflict:
        return
    raise AssertionError(f"a save at revision {revision} was taken")


def name(case: Case) -> str:
    return getattr(case, "__name__", str(case)).replace("_", " ")


CASES: tuple[Case, ...] = (
    what_was_never_saved_is_not_there,
    a_record_is_read_as_it_was_written,
    every_save_gives_a_revision_that_the_next_one_must_name,
    creating_what_is_there_is_a_conflict,
    changing_what_is_not_there_is_a_conflict,
    of_two_who_read_the_same_only_one_writes,
    a_refused_save_tells_nothing,
    records_come_in_the_order_of_their_ids,
    events_are_numbered_upwards_over_all_devices,
    events_are_read_on_from_a_number_and_up_to_a_limit,
    the_history_of_a_device_is_bounded_and_the_newest_stays,
    a_release_is_added_once_and_the_same_bytes_change_nothing,
    other_bytes_under_a_known_version_are_refused,
    a_release_may_be_written_anew_where_its_bytes_are_the_same,
    a_release_is_never_written_anew_with_other_bytes,
    a_release_may_be_withdrawn_and_given_back,
    a_release_that_is_not_there_cannot_be_withdrawn,
    a_release_that_is_added_or_written_anew_stays_withdrawn,
    releases_come_in_the_order_in_which_they_were_added,
    everything_is_there_after_all_users_have_gone,
)
