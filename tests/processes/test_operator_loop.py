"""The operator over a real NATS server, with devices that do what the test tells them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.fake_device import FakeDevice, Reply, eventually, fake_device, fake_devices
from tests.processes.nats_fixture import MessagePlane, connected, running_nats, until
from tests.processes.operator_world import (
    BASE_URL,
    KEEN,
    PATIENT,
    SHA256,
    CountedIds,
    QuickClock,
    World,
    in_world,
    listening,
    operating,
)

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Outcome
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, Desired, Marker, Status
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.events import MarkerSeen
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.ports import StoreError, Versioned
from harmony_fleet.operator.records import DeviceRecord, Happening
from harmony_fleet.operator.results import UnknownDevice, UnknownRelease
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.streams import StreamLimits, ensure_streams
from harmony_fleet.testing.fake_store import FakeStore

P = AgentUpgradePhase
ARTIFACT = Artifact(f"{BASE_URL}/agent-2.0.0", 10, SHA256)


async def heard(world: World, device: FakeDevice) -> None:
    """The device's first heartbeat has reached the operator."""
    await device.beat()
    await until(lambda: world.knows(device.device_id) and version_of(world, device) is not None)


def version_of(world: World, device: FakeDevice) -> str | None:
    return world.case(device.device_id).record.current_version


async def taken_in(world: World, device: FakeDevice) -> None:
    """The device's last status has reached the operator's store."""
    assert device.status is not None
    seq = device.status.seq
    await until(lambda: world.case(device.device_id).record.seq >= seq)


async def settled(world: World, device: FakeDevice) -> None:
    """All that the device published before has been handled: a later heartbeat was."""
    await device.beat(beat=10_000)
    await until(lambda: beat_of(world, device) == 10_000)
    await device.beat(beat=10_001)
    await until(lambda: beat_of(world, device) == 10_001)


def beat_of(world: World, device: FakeDevice) -> int:
    heartbeat = world.case(device.device_id).heartbeat
    return heartbeat.beat if heartbeat else 0


async def delete(plane: Plane, bucket: str) -> None:
    await plane.request(f"$JS.API.STREAM.DELETE.{subjects.stream(bucket)}", b"", 2)


def test_what_is_seen_as_the_operator_ends_is_left_without_a_trace(tmp_path: Path) -> None:
    """A task that never ran would leave its work un-awaited, which Python complains of."""

    async def run() -> None:
        async with running_nats(tmp_path) as nats, connected(nats.operator_endpoint()) as plane:
            store, clock = FakeStore(QuickClock()), QuickClock()
            operator = Operator(store, plane, clock, CountedIds(), BASE_URL, PATIENT)
            running = asyncio.create_task(operator.run())
            await until(lambda: listening(operator))
            running.cancel()
            operator._saw("pi-1", MarkerSeen(None))
            await asyncio.wait([running])
            assert await store.load("pi-1") is None

    asyncio.run(run())


def test_an_order_is_stored_and_then_stands_in_the_bucket(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            order = await world.upgrade()
            marker = await device.ordered()
            assert marker == Marker("pi-1", order.upgrade_id, 1, "2.0.0", ARTIFACT)
            stored = await world.store.load("pi-1")
            assert stored is not None
            assert stored.record.order == order

    in_world(tmp_path, use)


def test_an_upgrade_goes_from_order_to_success_and_the_version_is_what_was_observed(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await device.cut_over(marker)
            await world.phase(P.COMMITTED)
            assert device.stops == [marker.upgrade_id]
            assert version_of(world, device) == "1.0.0"
            await device.report(marker, P.COMMITTED)
            await device.finish(marker)
            await world.phase(P.SUCCEEDED)
            await until(lambda: version_of(world, device) == "2.0.0")
            assert device.stops == [marker.upgrade_id]
            kinds = [event.kind for event in await world.store.events("pi-1", 0, 100)]
            assert "candidate_seen" in kinds
            assert kinds.count("stop_sent") == 1
            assert kinds.count("ordered") == 1

    in_world(tmp_path, use)


def test_the_word_of_the_device_alone_brings_no_stop(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            device.armed = marker.upgrade_id
            await device.report(marker, P.CUTOVER_READY)
            await taken_in(world, device)
            await settled(world, device)
            assert device.commands == []

    in_world(tmp_path, use)


def test_a_heartbeat_from_before_the_operator_connected_never_leads_to_a_stop(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        store = FakeStore(QuickClock())
        async with running_nats(tmp_path) as nats, fake_device(nats) as device:
            async with operating(nats, store) as world:
                await heard(world, device)
                await world.upgrade()
                marker = await device.ordered()
            await device.cut_over(marker)
            async with operating(nats, store, KEEN) as world:
                await world.phase(P.CUTOVER_READY)
                await until(lambda: world.case().candidate is not None)
                await settled(world, device)
                assert world.case().seen_upgrade is None
                assert device.commands == []
                await device.beat_candidate(marker, beat=2)
                await world.phase(P.COMMITTED)
                assert device.stops == [marker.upgrade_id]

    asyncio.run(run())


def test_an_operator_that_is_given_a_connected_plane_looks_at_once(tmp_path: Path) -> None:
    """`operating` waits for the connection before it runs the operator."""

    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator(), fake_device(nats) as device:
            await device.say()
            async with operating(nats, FakeStore(QuickClock()), PATIENT) as world:
                await world.known("pi-1")
                assert listening(world.operator)

    asyncio.run(run())


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "by the operator"])
def test_after_the_heartbeats_stream_was_lost_and_made_again_new_heartbeats_are_live(
    tmp_path: Path, by_hand: bool
) -> None:
    async def use(world: World) -> None:
        async with world.nats.operator() as plane, fake_device(world.nats) as device:
            for _ in range(9):
                await device.beat()
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await delete(plane, subjects.HEARTBEAT_BUCKET)
            if by_hand:
                async with world.nats.operator():
                    pass  # makes the streams that are missing
            device.armed = marker.upgrade_id
            await device.report(marker, P.CUTOVER_READY)

            async def stopped() -> bool:
                await device.beat_candidate(marker)
                return bool(device.stops)

            await eventually(stopped)
            assert set(device.stops) == {marker.upgrade_id}

    in_world(tmp_path, use, PATIENT if by_hand else KEEN)


def test_after_a_restart_of_the_server_what_was_seen_before_is_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        store = FakeStore(QuickClock())
        async with running_nats(tmp_path) as nats, fake_device(nats) as device:
            port = int(nats.server.url.rpartition(":")[2])
            async with operating(nats, store) as world:
                await heard(world, device)
                await world.upgrade()
                marker = await device.ordered()
                await device.beat_candidate(marker)
                await until(lambda: world.case().seen_upgrade == marker.upgrade_id)
                await nats.server.stop()
                await until(lambda: world.case().seen_upgrade is None)
                async with running_nats(tmp_path, port):
                    await until(lambda: listening(world.operator) and device.plane.connected)
                    device.armed = marker.upgrade_id
                    await device.report(marker, P.CUTOVER_READY)
                    await taken_in(world, device)
                    await settled(world, device)
                    assert device.commands == []
                    await device.beat_candidate(marker)
                    await world.phase(P.COMMITTED)
                    assert device.stops == [marker.upgrade_id]

    asyncio.run(run())


def test_a_stop_that_waits_for_its_turn_does_not_go_out_after_a_loss_of_the_plane(
    tmp_path: Path,
) -> None:
    """It was allowed by a sight that may not count any more."""

    async def run() -> None:
        store = FakeStore(QuickClock())
        async with running_nats(tmp_path) as nats, fake_device(nats) as device:
            port = int(nats.server.url.rpartition(":")[2])
            device.answer = lambda _: None
            async with operating(nats, store) as world:
                await heard(world, device)
                await world.upgrade()
                marker = await device.ordered()
                await device.cut_over(marker)
                await until(lambda: len(device.stops) == 1)
                await nats.server.stop()
                await until(lambda: world.case().seen_upgrade is None)
                async with running_nats(tmp_path, port):
                    await until(lambda: listening(world.operator) and device.plane.connected)
                    await until(lambda: not world.case().stop_in_flight)
                    await settled(world, device)
                    assert len(device.stops) == 1
                    device.answer = None
                    await device.beat_candidate(marker)
                    await world.phase(P.COMMITTED)

    asyncio.run(run())


@pytest.mark.parametrize("bucket", [subjects.MARKER_BUCKET, subjects.STATUS_BUCKET])
def test_a_bucket_that_is_lost_is_made_again_and_the_order_written_again(
    tmp_path: Path, bucket: str
) -> None:
    async def use(world: World) -> None:
        async with world.nats.operator() as plane, fake_device(world.nats) as device:
            await heard(world, device)
            order = await world.upgrade()
            await device.ordered()
            await delete(plane, bucket)
            marker = await device.ordered(upgrade_id=order.upgrade_id)

            async def said() -> bool:
                try:
                    await device.report(marker, P.STAGING)
                except MessagingError:  # the bucket is not there yet
                    return False
                return True

            await eventually(said)
            await world.phase(P.STAGING)

    in_world(tmp_path, use, KEEN)


def test_no_listing_changes_the_streams_to_other_limits_than_the_operator_was_given(
    tmp_path: Path,
) -> None:
    limits = StreamLimits(heartbeat_max_age_s=7.5)

    async def run() -> None:
        async with running_nats(tmp_path) as nats, connected(nats.operator_endpoint()) as plane:
            await ensure_streams(plane, limits)
            settings = replace(KEEN, streams=limits)
            async with operating(nats, FakeStore(QuickClock()), settings) as world:
                await world.operator.register("pi-1")
                await world.upgrade()
                async with fake_device(nats) as device:
                    await device.ordered()
                assert await max_age_s(plane) == 7.5

    asyncio.run(run())


async def max_age_s(plane: Plane) -> float:
    name = subjects.stream(subjects.HEARTBEAT_BUCKET)
    answer = await plane.request(f"$JS.API.STREAM.INFO.{name}", b"", 2)
    return float(json.loads(answer.payload)["config"]["max_age"]) / 1e9


def test_an_emptied_bucket_gets_the_order_again(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with world.nats.operator() as plane, fake_device(world.nats) as device:
            await heard(world, device)
            order = await world.upgrade()
            await device.ordered()
            await plane.request(
                f"$JS.API.STREAM.PURGE.{subjects.stream(subjects.MARKER_BUCKET)}", b"", 2
            )
            await device.ordered(upgrade_id=order.upgrade_id)

    in_world(tmp_path, use, KEEN)


def test_a_newer_order_than_the_store_knows_is_left_alone_in_the_bucket(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with world.nats.operator() as plane, fake_device(world.nats) as device:
            await heard(world, device)
            newer = Marker("pi-1", "e" * 32, 7, "3.0.0", ARTIFACT)
            await keyvalue.put(plane, subjects.MARKER_BUCKET, "pi-1", codec.encode(newer), 2)
            await world.upgrade()
            await settled(world, device)
            await settled(world, device)
            assert await device.marker() == newer

    in_world(tmp_path, use, KEEN)


class AbortedMeanwhile(FakeStore):
    """Another operator aborts, in store and bucket, once the order's record has been read."""

    abort: Callable[[DeviceRecord], Awaitable[None]] | None = None

    async def load(self, device_id: str) -> Versioned | None:
        found = await super().load(device_id)
        if self.abort and found and found.record.order:
            abort, self.abort = self.abort, None
            await self.save(aborted(found.record), found.revision)
            await abort(aborted(found.record))
        return found


def aborted(record: DeviceRecord) -> DeviceRecord:
    assert record.order is not None
    return replace(record, order=replace(record.order, desired=Desired.ABORT))


def test_an_abort_that_comes_while_the_order_is_being_written_is_not_written_over(
    tmp_path: Path,
) -> None:
    written: list[Desired] = []

    async def use(world: World, store: AbortedMeanwhile, device: FakeDevice) -> None:
        async def abort(record: DeviceRecord) -> None:
            assert record.order is not None
            value = codec.encode(record.order.marker("pi-1"))
            await keyvalue.put(other, subjects.MARKER_BUCKET, "pi-1", value, 2)

        async def note(_message: object) -> None:
            found = await device.marker()
            written.extend([found.desired] if found else [])

        async with world.nats.operator() as other:
            await device.plane.subscribe(subjects.order_wake("pi-1"), note)
            await heard(world, device)
            store.abort = abort
            await world.upgrade()
            await until(lambda: bool(written) and world.aborted())
            await settled(world, device)
            await device.ordered(desired=Desired.ABORT)
            assert set(written) == {Desired.ABORT}

    async def run() -> None:
        store = AbortedMeanwhile(QuickClock())
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store) as world,
            fake_device(nats) as device,
        ):
            await use(world, store, device)

    asyncio.run(run())


# Stops and their answers


def test_an_unanswered_stop_is_repeated_with_growing_waits_until_it_is_answered(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            device.answer = lambda _: None
            await device.cut_over(marker)
            await until(lambda: len(device.stops) == 4)
            assert world.order().phase is P.CUTOVER_READY
            device.answer = None
            await world.phase(P.COMMITTED)
            assert set(device.stops) == {marker.upgrade_id}
            waits_s = world.clock.waits_s
            assert len(waits_s) >= 3
            longest = (0.25, 0.5, 1.0, 2.0)
            assert all(wait <= most for wait, most in zip(waits_s, longest, strict=False))
            assert all(wait >= most / 2 for wait, most in zip(waits_s, longest, strict=False))

    in_world(tmp_path, use)


def test_without_a_responder_the_outcome_is_unknown_and_the_stop_is_sent_again(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with world.nats.device("pi-1") as plane:
            device = FakeDevice(plane, "pi-1")
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await device.cut_over(marker)
            await until(lambda: world.case().unanswered >= 2)
            assert world.order().phase is P.CUTOVER_READY
            await device.listen()
            await world.phase(P.COMMITTED)

    in_world(tmp_path, use)


def ok_of(name: str) -> Reply:
    return Answer(name, Outcome.OK)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"\xff{", id="garbage"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="another kind"),
        pytest.param(b"x" * 20_000, id="too long"),
        pytest.param(ok_of("pi-2"), id="in the name of another device"),
        pytest.param(Answer("pi-1", Outcome.REFUSED, "not yet"), id="refused"),
        pytest.param(b'{"device_id":"pi-1","outcome":"perhaps"}', id="an unknown outcome"),
        pytest.param(Answer("pi-1", Outcome.ENDED), id="ended"),
    ],
)
def test_what_is_no_yes_of_this_device_commits_nothing(tmp_path: Path, wrong: Reply) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            device.answer = lambda _: wrong
            await device.cut_over(marker)
            await until(lambda: len(device.stops) >= 2)
            assert world.order().phase is P.CUTOVER_READY
            device.answer = None
            await world.phase(P.COMMITTED)

    in_world(tmp_path, use)


def test_after_an_abort_no_stop_goes_out_and_the_device_decides(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            (result,) = await world.operator.abort(["pi-1"])
            assert result.reason is None
            aborted = await device.ordered(desired=Desired.ABORT)
            assert aborted == replace(marker, desired=Desired.ABORT)
            await device.cut_over(marker)
            await taken_in(world, device)
            await settled(world, device)
            assert device.commands == []
            await device.report(marker, P.ROLLED_BACK)
            await world.phase(P.ROLLED_BACK)

    in_world(tmp_path, use)


# Garbage


def garbage_of(name: str) -> list[bytes]:
    return [b"", b"\xff\xfe", b"null", b"[" * 9000, b'{"device_id":"' + name.encode() + b'"}']


def test_garbage_in_every_bucket_and_on_every_republished_subject_stops_nothing(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        async with world.nats.operator() as plane, fake_device(world.nats) as device:
            await heard(world, device)
            names = {
                subjects.MARKER_BUCKET: ["pi-1", "pi-2", "UPPER", "_x"],
                subjects.STATUS_BUCKET: ["pi-1", "pi-2", "UPPER"],
                subjects.HEARTBEAT_BUCKET: ["pi-1.primary", "pi-2.candidate", "pi-1.UPPER"],
            }
            for bucket, keys in names.items():
                for name in keys:
                    for value in garbage_of(name):
                        await keyvalue.put(plane, bucket, name, value, 2)
            for subject in ("fleet.seen.status.pi-1", "fleet.seen.heartbeat.pi-1.primary"):
                for value in garbage_of("pi-1"):
                    for headers in (None, {"Nats-Sequence": "x"}, {"Nats-Sequence": "9" * 30}):
                        await plane.publish(subject, value, headers)
            await world.upgrade()
            marker = await device.ordered()
            await device.cut_over(marker)
            await world.phase(P.COMMITTED)
            known = {sight.case.record.device_id for sight in world.operator.sights()}
            assert known == {"pi-1"}

    in_world(tmp_path, use, KEEN)


def test_what_stands_under_the_key_of_another_device_is_ignored(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with (
            world.nats.operator() as plane,
            fake_devices(world.nats, ["pi-1", "pi-2"]) as (device, other),
        ):
            await heard(world, device)
            await heard(world, other)
            await world.upgrade()
            marker = await device.ordered()
            await device.report(marker, P.CUTOVER_READY)
            await taken_in(world, device)
            beat = world.case("pi-2").heartbeat
            assert beat is not None
            lie = replace(
                beat,
                device_id="pi-1",
                role=Role.CANDIDATE,
                agent_version="2.0.0",
                upgrade_id=marker.upgrade_id,
            )
            for key in ("pi-2.candidate", "pi-1.primary"):
                await keyvalue.put(plane, subjects.HEARTBEAT_BUCKET, key, codec.encode(lie), 2)
            assert device.status is not None
            done = codec.encode(replace(device.status, phase=P.SUCCEEDED, seq=99))
            await keyvalue.put(plane, subjects.STATUS_BUCKET, "pi-2", done, 2)
            await settled(world, device)
            await settled(world, other)
            assert device.commands == other.commands == []
            assert world.order().phase is P.CUTOVER_READY

    in_world(tmp_path, use)


# A store that fails


def test_a_status_that_comes_while_the_store_is_broken_is_taken_in_later(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        assert isinstance(world.store, FakeStore)
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            world.store.broken = StoreError("the disk is full")
            await device.report(marker, P.VERIFYING)
            await settled(world, device)
            assert world.order().phase is P.PENDING
            world.store.broken = None
            await world.phase(P.VERIFYING)

    in_world(tmp_path, use)


def test_a_yes_that_cannot_be_stored_is_asked_for_again(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        store = world.store
        assert isinstance(store, FakeStore)
        async with fake_device(world.nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()

            def break_and_obey(command: Command) -> Reply:
                store.broken = StoreError("the disk is full")
                return ok_of("pi-1")

            device.answer = break_and_obey
            await device.cut_over(marker)
            await until(lambda: world.case().unanswered >= 1)
            assert world.order().phase is P.CUTOVER_READY
            device.answer, store.broken = None, None
            await world.phase(P.COMMITTED)
            assert len(device.stops) >= 2

    in_world(tmp_path, use)


class FaultyStore(FakeStore):
    """Fails once in a way that no port allows, where a stop is about to go out."""

    faults: int = 0

    async def load(self, device_id: str) -> Versioned | None:
        found = await super().load(device_id)
        order = found.record.order if found else None
        if order and order.phase is P.CUTOVER_READY and not self.faults:
            self.faults += 1
            raise ZeroDivisionError("a defect")
        return found


def test_a_defect_on_the_way_of_a_stop_does_not_hold_up_the_later_ones(tmp_path: Path) -> None:
    async def run() -> None:
        store = FaultyStore(QuickClock())
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store) as world,
            fake_device(nats) as device,
        ):
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await device.beat_candidate(marker)
            await until(lambda: world.case().seen_upgrade == marker.upgrade_id)
            await device.cut_over(marker)
            await world.phase(P.COMMITTED)
            assert store.faults == 1
            assert device.stops == [marker.upgrade_id]

    asyncio.run(run())


class SlowHistory(FakeStore):
    """Takes its time over what is told beside a record that does not change."""

    def __init__(self) -> None:
        super().__init__(QuickClock())
        self.may_be_told = asyncio.Event()

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        there = await self.load(record.device_id)
        if there is not None and there.record == record:
            await self.may_be_told.wait()
        return await super().save(record, revision, happenings)


def test_a_stop_does_not_wait_for_the_history_that_tells_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        store = SlowHistory()
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store) as world,
            fake_device(nats) as device,
        ):
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await device.report(marker, P.CUTOVER_READY)
            await world.phase(P.CUTOVER_READY)
            device.armed = marker.upgrade_id
            await device.beat_candidate(marker)
            await until(lambda: device.stops == [marker.upgrade_id])
            assert "stop_sent" not in await told(store)
            store.may_be_told.set()
            await world.phase(P.COMMITTED)
            history = ["candidate_seen", "stop_sent", "stop_answered", "phase"]
            assert (await told(store))[-4:] == history

    asyncio.run(run())


async def told(store: FakeStore) -> list[str]:
    return [event.kind for event in await store.events("pi-1", 0, 100)]


class FullStore(FakeStore):
    """Has no room for an order to pi-2."""

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        if record.device_id == "pi-2" and record.order:
            raise StoreError("no room for pi-2")
        return await super().save(record, revision, happenings)


def test_of_an_order_to_all_a_device_that_cannot_be_stored_is_in_the_results(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, FullStore(QuickClock())) as world,
        ):
            for name in ("pi-1", "pi-2", "pi-3"):
                await world.operator.register(name)
            results = await world.operator.upgrade(None, "2.0.0", retry=False, replace=False)
            assert [result.reason for result in results] == [None, "no room for pi-2", None]
            assert world.case("pi-2").record.order is None
            assert world.order("pi-3").version == "2.0.0"

    asyncio.run(run())


# Many devices, and refusals


def test_fifty_devices_are_ordered_at_once_and_each_gets_its_own(tmp_path: Path) -> None:
    names = [f"pi-{number}" for number in range(50)]

    async def use(world: World) -> None:
        for name in names:
            await world.operator.register(name)
        results = await world.operator.upgrade(None, "2.0.0", retry=True, replace=False)
        assert [result.device_id for result in results] == sorted(names)
        assert len({result.upgrade_id for result in results}) == 50
        async with world.nats.operator() as plane:
            for result in results:

                async def written(name: str = result.device_id) -> bool:
                    entry = await keyvalue.get(plane, subjects.MARKER_BUCKET, name, 2)
                    if entry is None:
                        return False
                    marker = codec.decode(Marker, entry.value)
                    return marker == world.order(name).marker(name) and marker.retry

                await eventually(written)

    in_world(tmp_path, use)


def test_of_a_list_in_which_one_refuses_nothing_is_ordered(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with fake_devices(world.nats, ["pi-1", "pi-2"]) as devices:
            for device in devices:
                await heard(world, device)
            await world.upgrade("pi-2")
            with pytest.raises(OrderRefused, match="pi-2 is already being upgraded"):
                await world.operator.upgrade(["pi-1", "pi-2"], "2.0.0", retry=False, replace=False)
            with pytest.raises(UnknownDevice, match="pi-3"):
                await world.operator.upgrade(["pi-1", "pi-3"], "2.0.0", retry=False, replace=False)
            with pytest.raises(UnknownRelease, match="9\\.9\\.9"):
                await world.operator.upgrade(["pi-1"], "9.9.9", retry=False, replace=False)
            with pytest.raises(OrderRefused, match="nothing to abort"):
                await world.operator.abort(["pi-2", "pi-1"])
            assert world.case("pi-1").record.order is None
            assert not world.aborted("pi-2")
            assert await devices[0].marker() is None

    in_world(tmp_path, use)


def test_an_order_to_all_goes_to_those_that_can_take_it_and_names_those_that_cannot(
    tmp_path: Path,
) -> None:
    async def use(world: World) -> None:
        for name in ("pi-1", "pi-2"):
            await world.operator.register(name)
        await world.upgrade("pi-2")
        results = await world.operator.upgrade(None, "2.0.0", retry=False, replace=False)
        assert [result.upgrade_id is None for result in results] == [False, True]
        assert "already being upgraded" in (results[1].reason or "")

    in_world(tmp_path, use)


# Restarts


async def pending(device: FakeDevice, marker: Marker) -> None:
    pass


async def staging(device: FakeDevice, marker: Marker) -> None:
    await device.report(marker, P.STAGING)


async def verifying(device: FakeDevice, marker: Marker) -> None:
    await device.report(marker, P.VERIFYING)


async def armed_unseen(device: FakeDevice, marker: Marker) -> None:
    device.armed = marker.upgrade_id
    await device.report(marker, P.CUTOVER_READY)


async def committed(device: FakeDevice, marker: Marker) -> None:
    await device.report(marker, P.COMMITTED)


async def succeeded(device: FakeDevice, marker: Marker) -> None:
    await device.report(marker, P.SUCCEEDED)


@pytest.mark.parametrize(
    ("go", "phase"),
    [
        (pending, P.PENDING),
        (staging, P.STAGING),
        (verifying, P.VERIFYING),
        (armed_unseen, P.CUTOVER_READY),
        (committed, P.COMMITTED),
        (succeeded, P.SUCCEEDED),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("lost", [False, True], ids=["", "and all of NATS lost"])
def test_a_restart_of_the_operator_loses_neither_order_nor_verdict_in(
    tmp_path: Path, go: Callable[[FakeDevice, Marker], Awaitable[None]], phase: P, lost: bool
) -> None:
    async def before(nats: MessagePlane, store: SqliteStore) -> tuple[Marker, Status | None]:
        async with operating(nats, store) as world, fake_device(nats) as device:
            await heard(world, device)
            await world.upgrade()
            marker = await device.ordered()
            await go(device, marker)
            await world.phase(phase)
            return marker, device.status

    async def later(
        nats: MessagePlane, store: SqliteStore, marker: Marker, said: Status | None
    ) -> None:
        async with operating(nats, store) as world, fake_device(nats) as device:
            await world.phase(phase)
            assert world.order().upgrade_id == marker.upgrade_id
            if phase is P.SUCCEEDED:
                return
            assert await device.ordered() == marker
            device.status = said
            if phase is not P.COMMITTED:
                await device.cut_over(marker)
                await world.phase(P.COMMITTED)
            await device.finish(marker)
            await world.phase(P.SUCCEEDED)

    async def run() -> None:
        path, folder = tmp_path / "fleet.db", tmp_path / "nats"
        async with running_nats(folder) as nats, SqliteStore(path, QuickClock()) as store:
            marker, said = await before(nats, store)
        folder = tmp_path / "another" if lost else folder
        async with running_nats(folder) as nats, SqliteStore(path, QuickClock()) as store:
            await later(nats, store, marker, said)

    asyncio.run(run())


# Two operators on one store and one message plane


def with_two(folder: Path, use: Callable[[World, World, FakeDevice], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running_nats(folder / "nats") as nats:
            path = folder / "fleet.db"
            async with (
                SqliteStore(path, QuickClock()) as answertore,
                SqliteStore(path, QuickClock()) as other_store,
                operating(nats, answertore, KEEN) as one,
                operating(nats, other_store, KEEN, first_id=1000) as other,
                fake_device(nats) as device,
            ):
                await heard(one, device)
                await heard(other, device)
                await use(one, other, device)

    asyncio.run(run())


def test_of_two_operators_that_order_at_once_one_does_and_the_other_says_why_not(
    tmp_path: Path,
) -> None:
    async def use(one: World, other: World, device: FakeDevice) -> None:
        asked = [
            world.operator.upgrade(["pi-1"], version, retry=False, replace=False)
            for world, version in ((one, "2.0.0"), (other, "3.0.0"))
        ]
        given = await asyncio.gather(*asked, return_exceptions=True)
        results = [
            result for answer in given if not isinstance(answer, BaseException) for result in answer
        ]
        (done,) = [result for result in results if result.reason is None]
        reasons = [str(answer) for answer in given if isinstance(answer, OrderRefused)]
        (not_done,) = [*reasons, *(result.reason for result in results if result.reason)]
        assert "already being upgraded" in not_done
        assert (await device.ordered()).upgrade_id == done.upgrade_id
        assert one.order() == other.order()
        assert one.order().generation == 1

    with_two(tmp_path, use)


def test_two_operators_bring_one_upgrade_to_its_end_and_do_no_harm(tmp_path: Path) -> None:
    async def use(one: World, other: World, device: FakeDevice) -> None:
        await one.upgrade()
        marker = await device.ordered()
        await device.report(marker, P.STAGING)
        await other.phase(P.STAGING)
        await device.cut_over(marker)

        async def committed() -> bool:
            await device.beat_candidate(marker)
            return {one.order().phase, other.order().phase} == {P.COMMITTED}

        await eventually(committed)
        assert set(device.stops) == {marker.upgrade_id}
        await device.finish(marker)
        await one.phase(P.SUCCEEDED)
        await other.phase(P.SUCCEEDED)
        assert await device.marker() == marker

    with_two(tmp_path, use)


def test_an_abort_by_one_operator_is_neither_undone_nor_overtaken_by_the_other(
    tmp_path: Path,
) -> None:
    async def use(one: World, other: World, device: FakeDevice) -> None:
        await one.upgrade()
        marker = await device.ordered()
        device.armed = marker.upgrade_id
        await device.report(marker, P.CUTOVER_READY)
        await one.phase(P.CUTOVER_READY)
        await other.phase(P.CUTOVER_READY)
        await one.operator.abort(["pi-1"])
        await device.ordered(desired=Desired.ABORT)
        await device.beat_candidate(marker)
        with suppress(TimeoutError):
            await until(other.aborted)
        assert other.aborted()
        await settled(other, device)
        await settled(one, device)
        assert device.commands == []
        assert (await device.ordered()).desired is Desired.ABORT

    with_two(tmp_path, use)


def test_the_marker_of_an_abort_is_never_written_over_by_an_operator_that_has_not_heard_of_it(
    tmp_path: Path,
) -> None:
    async def use(one: World, other: World, device: FakeDevice) -> None:
        await one.upgrade()
        marker = await device.ordered()
        await device.report(marker, P.STAGING)
        await other.phase(P.STAGING)
        written: list[Desired] = []

        async def note(_message: object) -> None:
            found = await device.marker()
            if found:
                written.append(found.desired)

        await device.plane.subscribe(subjects.order_wake("pi-1"), note)
        await device.plane.flush(2)
        await one.operator.abort(["pi-1"])
        await until(lambda: bool(written))
        await until(other.aborted)  # its listing found the difference, and it asked the store
        assert set(written) == {Desired.ABORT}

    with_two(tmp_path, use)


class SlowToMeet(FakeStore):
    """Takes its time over a device that it does not hold yet."""

    def __init__(self) -> None:
        super().__init__(QuickClock())
        self.may_go_on, self.asked = asyncio.Event(), 0

    async def load(self, device_id: str) -> Versioned | None:
        self.asked += 1
        await self.may_go_on.wait()
        return await super().load(device_id)


def test_a_newcomer_that_talks_without_a_pause_is_met_once_and_its_last_word_counts(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        store = SlowToMeet()
        async with (
            running_nats(tmp_path) as nats,
            operating(nats, store) as world,
            fake_device(nats) as device,
        ):
            for _ in range(100):
                await device.beat()
            await until(lambda: store.asked > 0)
            async with fake_device(nats, "pi-2") as another:
                await another.beat()
                await until(lambda: store.asked > 1)
            assert store.asked == 2
            store.may_go_on.set()
            await until(lambda: world.knows(device.device_id))
            await until(lambda: beat_of(world, device) == 100)

    asyncio.run(run())
