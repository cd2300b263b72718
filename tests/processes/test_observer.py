"""What the observer reports of a real message plane, and which heartbeats it calls live."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.processes.fake_device import FakeDevice, eventually, fake_device
from tests.processes.nats_fixture import MessagePlane, running_nats, until

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.errors import InvalidValue, MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, Marker
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.operator.events import (
    Event,
    HeartbeatSeen,
    MarkerSeen,
    SightForgotten,
    StatusSeen,
)
from harmony_fleet.operator.observer import Observer, read_marker
from harmony_fleet.operator.streams import StreamLimits

ID = "1" * 32
MARKER = Marker("pi-1", ID, 3, "2.0.0", Artifact("http://h/a", 10, "a" * 64))


async def nothing_new() -> None:
    pass


@dataclass
class Seen:
    """All that was reported, in order."""

    plane: Plane
    events: list[tuple[str, Event]] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    def report(self, device_id: str, event: Event) -> None:
        self.events.append((device_id, event))

    @property
    def heartbeats(self) -> list[tuple[int, bool]]:
        """Number and liveness."""
        found = [event for _, event in self.events if isinstance(event, HeartbeatSeen)]
        return [(event.heartbeat.beat, event.live) for event in found]

    @property
    def statuses(self) -> list[int]:
        return [event.status.seq for _, event in self.events if isinstance(event, StatusSeen)]

    @property
    def markers(self) -> list[tuple[str, Marker | None]]:
        found = [(name, event) for name, event in self.events if isinstance(event, MarkerSeen)]
        return [(name, event.marker) for name, event in found]

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for _, event in self.events)


@asynccontextmanager
async def observing(
    nats: MessagePlane, known: list[str] | None = None, relist_s: float = 300.0
) -> AsyncIterator[Seen]:
    async with nats.operator() as plane:
        seen = Seen(plane, known=known or [])
        observer = Observer(plane, seen.report, lambda: "now", relist_s, StreamLimits())
        await observer.start(lambda: seen.known, nothing_new)
        running = asyncio.create_task(observer.run())
        try:
            await until(lambda: observer.ready)
            yield seen
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def with_observer(
    folder: Path,
    use: Callable[[Seen, FakeDevice, MessagePlane], Awaitable[None]],
    relist_s: float = 300.0,
) -> None:
    async def run() -> None:
        async with (
            running_nats(folder) as nats,
            fake_device(nats) as device,
            observing(nats, relist_s=relist_s) as seen,
        ):
            await use(seen, device, nats)

    asyncio.run(run())


async def beat_often(device: FakeDevice, times: int) -> None:
    """So that a stream that is made anew does not count that far in a test."""
    value = codec.encode(Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "i", "b", 1, 1000))
    for _ in range(times):
        await device.plane.publish(subjects.heartbeat_key("pi-1", Role.PRIMARY), value)
    await device.beat()


def test_a_heartbeat_that_comes_while_connected_is_live(tmp_path: Path) -> None:
    async def use(seen: Seen, device: FakeDevice, _: MessagePlane) -> None:
        await device.beat()
        await device.beat(role=Role.CANDIDATE)
        await until(lambda: seen.heartbeats == [(1, True), (2, True)])

    with_observer(tmp_path, use)


def test_a_heartbeat_that_was_there_before_is_reported_and_is_not_live(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator(), fake_device(nats) as device:
            await device.beat(beat=7)
            async with observing(nats, relist_s=0.05) as seen:
                await until(lambda: len(seen.heartbeats) >= 3)
                assert set(seen.heartbeats) == {(7, False)}
                await device.beat(beat=8)
                await until(lambda: (8, True) in seen.heartbeats)
                await until(lambda: (8, False) in seen.heartbeats)

    asyncio.run(run())


def test_a_heartbeat_in_a_stream_that_was_made_since_is_live_although_its_number_is_low(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator(), fake_device(nats) as device:
            await beat_often(device, 20_000)
            async with observing(nats) as seen:
                name = subjects.stream(subjects.HEARTBEAT_BUCKET)
                await seen.plane.request(f"$JS.API.STREAM.DELETE.{name}", b"", 2)
                async with nats.operator():
                    pass  # makes the streams that are missing

                async def live() -> bool:
                    await device.beat(beat=100)
                    return (100, True) in seen.heartbeats

                await eventually(live)
                assert (100, False) in seen.heartbeats, "what was there at the look is not counted"

    asyncio.run(run())


def test_an_old_heartbeat_that_is_published_again_is_not_live(tmp_path: Path) -> None:
    """Only the operator could do so; unsure means no."""

    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator(), fake_device(nats) as device:
            await device.beat(beat=7)
            async with observing(nats) as seen:
                await until(lambda: seen.heartbeats == [(7, False)])
                old = codec.encode(Heartbeat("pi-1", "2.0.0", Role.PRIMARY, "i", "b", 8, 1000, ID))
                subject = f"{subjects.SEEN_HEARTBEAT}.pi-1.primary"
                for headers in ({"Nats-Sequence": "1"}, {}, {"Nats-Sequence": "-9"}):
                    await seen.plane.publish(subject, old, headers)
                await until(lambda: len(seen.heartbeats) == 4)
                assert seen.heartbeats[1:] == [(8, False)] * 3

    asyncio.run(run())


def test_after_a_loss_of_the_plane_all_sight_is_forgotten_and_a_new_one_begins(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats, fake_device(nats) as device:
            port = int(nats.server.url.rpartition(":")[2])
            async with observing(nats, ["pi-1", "pi-2"]) as seen:
                await device.beat(beat=1)
                await device.say()
                await until(lambda: seen.heartbeats == [(1, True)] and bool(seen.statuses))
                await nats.server.stop()
                await until(lambda: seen.count(SightForgotten) == 2)
                seen.events.clear()
                async with running_nats(tmp_path, port):
                    await until(lambda: seen.statuses == [1])  # file storage: still there
                    await until(lambda: len(seen.markers) == 2)
                    assert seen.heartbeats == []

                    async def live() -> bool:
                        if device.plane.connected:
                            await device.beat(beat=50)
                        return (50, True) in seen.heartbeats

                    await eventually(live)

    asyncio.run(run())


def test_a_look_that_a_loss_overtakes_makes_no_heartbeat_live(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator() as plane:
            observer = Observer(plane, lambda *_: None, lambda: "now", 300.0, StreamLimits())
            await observer.start(list, nothing_new)
            look = asyncio.create_task(observer._look())
            await asyncio.sleep(0)
            observer._forget()
            await look
            assert not observer.ready
            await observer._look()
            assert observer.ready

    asyncio.run(run())


def test_a_status_is_reported_as_it_comes_and_again_with_each_listing(tmp_path: Path) -> None:
    async def use(seen: Seen, device: FakeDevice, _: MessagePlane) -> None:
        await device.say(phase=AgentUpgradePhase.STAGING, upgrade_id=ID)
        await until(lambda: seen.statuses.count(1) >= 3)
        found = [event.live for _, event in seen.events if isinstance(event, StatusSeen)]
        assert found.count(True) == 1  # a listing does not tell when it was said

    with_observer(tmp_path, use, relist_s=0.05)


def test_of_each_known_device_the_bucket_s_marker_or_its_absence_is_reported(
    tmp_path: Path,
) -> None:
    async def use(seen: Seen, _device: FakeDevice, _nats: MessagePlane) -> None:
        seen.known += ["pi-1", "pi-2", "pi-3"]
        await keyvalue.put(seen.plane, subjects.MARKER_BUCKET, "pi-1", codec.encode(MARKER), 2)
        await keyvalue.put(seen.plane, subjects.MARKER_BUCKET, "pi-3", b"garbage", 2)
        wanted = {("pi-1", MARKER), ("pi-2", None), ("pi-3", None)}
        await until(lambda: wanted <= set(seen.markers))

    with_observer(tmp_path, use, relist_s=0.05)


def test_a_key_of_the_markers_that_names_no_device_makes_none(tmp_path: Path) -> None:
    async def use(seen: Seen, _device: FakeDevice, _nats: MessagePlane) -> None:
        for name in ("UPPER", "_x", "pi-4"):
            await keyvalue.put(seen.plane, subjects.MARKER_BUCKET, name, b"garbage", 2)
        lie = codec.encode(MARKER)
        await keyvalue.put(seen.plane, subjects.MARKER_BUCKET, "pi-5", lie, 2)
        await keyvalue.put(seen.plane, subjects.MARKER_BUCKET, "pi-1", lie, 2)
        await until(lambda: ("pi-1", MARKER) in seen.markers)
        assert {name for name, _ in seen.markers} == {"pi-1"}

    with_observer(tmp_path, use, relist_s=0.05)


def test_what_cannot_be_read_or_names_another_device_is_not_reported(tmp_path: Path) -> None:
    async def use(seen: Seen, device: FakeDevice, _nats: MessagePlane) -> None:
        beat = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "i", "b", 66, 1000)
        values = [b"", b"\xff", b"[" * 5000, b"{}", codec.encode(beat)]
        for value in values:
            for name in ("pi-2.primary", "pi-1.candidate", "pi-1.UPPER"):
                await keyvalue.put(seen.plane, subjects.HEARTBEAT_BUCKET, name, value, 2)
        await device.say()
        assert device.status is not None
        lie = codec.encode(device.status)
        for value in [*values, lie]:
            await keyvalue.put(seen.plane, subjects.STATUS_BUCKET, "pi-2", value, 2)
        await device.beat(beat=99)
        await until(lambda: (99, True) in seen.heartbeats and bool(seen.statuses))
        assert {beat for beat, _ in seen.heartbeats} == {99}
        assert {name for name, event in seen.events if isinstance(event, StatusSeen)} == {"pi-1"}

    with_observer(tmp_path, use)


def test_an_observer_can_be_ended_at_any_time(tmp_path: Path) -> None:
    """On Python 3.11 `asyncio.wait_for` swallows a cancellation that comes with its event."""

    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator() as plane:
            for ticks in range(60):
                observer = Observer(plane, lambda *_: None, lambda: "now", 300.0, StreamLimits())
                running = asyncio.create_task(observer.run())
                await asyncio.sleep(0)
                observer._wanted.set()
                for _ in range(ticks):
                    await asyncio.sleep(0)
                running.cancel()
                done, _ = await asyncio.wait([running], timeout=2.0)
                assert done

    asyncio.run(run())


def test_a_marker_is_read_under_its_own_device_only() -> None:
    value = codec.encode(MARKER)
    assert read_marker("pi-1", value) == MARKER
    for name, bad in (("pi-2", value), ("UPPER", value), ("pi-1", value[:-1]), ("pi-1", b"")):
        with pytest.raises((InvalidValue, MalformedMessage)):
            read_marker(name, bad)
