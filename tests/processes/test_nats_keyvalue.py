import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.processes.nats_fixture import running_nats, until

from harmony_fleet.contracts.subjects import (
    HEARTBEAT_BUCKET,
    MARKER_BUCKET,
    STATUS_BUCKET,
    key,
)
from harmony_fleet.messaging.connection import Message, Plane, RequestRefused
from harmony_fleet.messaging.keyvalue import announce, get, put, put_if
from harmony_fleet.messaging.requests import WrongRevision
from harmony_fleet.operator.streams import (
    StreamLimits,
    ensure_streams,
    list_bucket,
    stream_configurations,
    stream_state,
)


def with_planes(folder: Path, use: Callable[[Plane, Plane], Awaitable[None]]) -> None:
    """`use(operator, device)`; the device is pi-1."""

    async def run() -> None:
        async with (
            running_nats(folder) as nats,
            nats.operator() as operator,
            nats.device("pi-1") as device,
        ):
            await use(operator, device)

    asyncio.run(run())


def test_what_was_put_is_read_back_with_its_revision(tmp_path: Path) -> None:
    async def use(_: Plane, device: Plane) -> None:
        assert await get(device, MARKER_BUCKET, "pi-1", 2) is None
        first = await put(device, STATUS_BUCKET, "pi-1", b"one", 2)
        assert await put(device, STATUS_BUCKET, "pi-1", b"two", 2) > first

    async def look(operator: Plane, device: Plane) -> None:
        await use(operator, device)
        entry = await get(operator, STATUS_BUCKET, "pi-1", 2)
        assert entry is not None
        assert (entry.value, entry.revision) == (b"two", 2)
        assert entry.created.endswith("Z")

    with_planes(tmp_path, look)


def test_a_new_value_replaces_the_old_one_though_the_stream_discards_what_is_new(
    tmp_path: Path,
) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        for number in range(20):
            await put(operator, MARKER_BUCKET, "pi-1", b"%d" % number, 2)
        ((name, entry),) = await list_bucket(operator, MARKER_BUCKET)
        assert (name, entry.value, entry.revision) == ("pi-1", b"19", 20)

    with_planes(tmp_path, use)


def test_a_put_on_a_stale_revision_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        first = await put_if(operator, MARKER_BUCKET, "pi-1", b"one", 0, 2)
        second = await put_if(operator, MARKER_BUCKET, "pi-1", b"two", first, 2)
        for stale in (0, first, second + 1):
            with pytest.raises(WrongRevision):
                await put_if(operator, MARKER_BUCKET, "pi-1", b"stale", stale, 2)
        entry = await get(operator, MARKER_BUCKET, "pi-1", 2)
        assert entry is not None
        assert (entry.value, entry.revision) == (b"two", second)

    with_planes(tmp_path, use)


def test_a_deleted_key_has_no_entry_and_is_not_listed(tmp_path: Path) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        await put(operator, MARKER_BUCKET, "pi-1", b"one", 2)
        subject = key(MARKER_BUCKET, "pi-1")
        await operator.request(subject, b"", 2, {"KV-Operation": "DEL"})
        assert await get(operator, MARKER_BUCKET, "pi-1", 2) is None
        assert await list_bucket(operator, MARKER_BUCKET) == []

    with_planes(tmp_path, use)


def test_a_value_that_is_too_long_is_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    async def use(operator: Plane, device: Plane) -> None:
        await put(device, STATUS_BUCKET, "pi-1", bytes(16000), 2)
        with pytest.raises(RequestRefused):
            await put(device, STATUS_BUCKET, "pi-1", bytes(16385), 2)
        assert (await stream_state(operator, STATUS_BUCKET)).last_sequence == 1

    with_planes(tmp_path, use)


def test_each_stored_value_is_said_again_to_the_one_it_concerns(tmp_path: Path) -> None:
    async def use(operator: Plane, device: Plane) -> None:
        woken: list[Message] = []
        seen: list[Message] = []

        async def wake(message: Message) -> None:
            woken.append(message)

        async def see(message: Message) -> None:
            seen.append(message)

        await device.subscribe("fleet.order.pi-1", wake)
        await operator.subscribe("fleet.seen.>", see)
        await device.flush(2)
        await operator.flush(2)
        await put(operator, MARKER_BUCKET, "pi-1", b"order", 2)
        await put(device, STATUS_BUCKET, "pi-1", b"status", 2)
        await announce(device, HEARTBEAT_BUCKET, "pi-1.candidate", b"beat")
        await until(lambda: len(woken) == 1 and len(seen) == 2)
        assert (woken[0].subject, woken[0].payload) == ("fleet.order.pi-1", b"")
        assert {(m.subject, m.payload) for m in seen} == {
            ("fleet.seen.status.pi-1", b"status"),
            ("fleet.seen.heartbeat.pi-1.candidate", b"beat"),
        }
        assert {m.headers["Nats-Sequence"] for m in seen} == {"1"}

    with_planes(tmp_path, use)


def test_thousands_of_keys_are_listed_each_once_and_nothing_is_left_on_the_server(
    tmp_path: Path,
) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        for begin in range(0, 2500, 250):
            names = [f"pi-{number}" for number in range(begin, begin + 250)]
            await asyncio.gather(*(put(operator, MARKER_BUCKET, n, n.encode(), 5) for n in names))
        await put(operator, MARKER_BUCKET, "pi-7", b"again", 2)
        listed = await list_bucket(operator, MARKER_BUCKET)
        assert len(listed) == 2500
        assert {name: entry.value for name, entry in listed} == {
            f"pi-{number}": f"pi-{number}".encode() for number in range(2500)
        } | {"pi-7": b"again"}
        answer = await operator.request("$JS.API.CONSUMER.NAMES.KV_agent-upgrade", b"", 2)
        assert b'"total":0' in answer.payload

    with_planes(tmp_path, use)


def test_headers_that_a_device_stores_do_not_end_or_misdirect_a_listing(tmp_path: Path) -> None:
    async def use(operator: Plane, device: Plane) -> None:
        await put(operator, STATUS_BUCKET, "pi-0", b"zero", 2)
        hostile = {
            "Status": "204",
            "Nats-Subject": key(STATUS_BUCKET, "pi-2"),
            "Nats-Sequence": "999",
            "Nats-Num-Pending": "0",
        }
        await device.request(key(STATUS_BUCKET, "pi-1"), b"one", 2, hostile)
        await put(operator, STATUS_BUCKET, "pi-2", b"two", 2)
        listed = await list_bucket(operator, STATUS_BUCKET)
        assert [(name, entry.value, entry.revision) for name, entry in listed] == [
            ("pi-0", b"zero", 1),
            ("pi-1", b"one", 2),
            ("pi-2", b"two", 3),
        ]

    with_planes(tmp_path, use)


def test_streams_that_are_as_they_should_be_are_left_alone(tmp_path: Path) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        await put(operator, MARKER_BUCKET, "pi-1", b"order", 2)
        before = await stream_state(operator, MARKER_BUCKET)
        await operator.request("$JS.API.INFO", b"", 2)
        updates: list[Message] = []

        async def count(message: Message) -> None:
            updates.append(message)

        await operator.subscribe("$JS.API.STREAM.UPDATE.>", count)
        await operator.flush(2)
        await ensure_streams(operator)
        await operator.flush(2)
        assert updates == []
        assert await stream_state(operator, MARKER_BUCKET) == before

    with_planes(tmp_path, use)


def test_a_stream_with_another_limit_is_updated_and_keeps_its_values(tmp_path: Path) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        await put(operator, HEARTBEAT_BUCKET, "pi-1.primary", b"beat", 2)
        await ensure_streams(operator, StreamLimits(heartbeat_max_age_s=7.5))
        answer = await operator.request("$JS.API.STREAM.INFO.KV_device-heartbeat", b"", 2)
        assert b'"max_age":7500000000' in answer.payload
        assert await get(operator, HEARTBEAT_BUCKET, "pi-1.primary", 2) is not None

    with_planes(tmp_path, use)


def test_a_heartbeat_that_is_not_repeated_expires(tmp_path: Path) -> None:
    async def use(operator: Plane, device: Plane) -> None:
        await ensure_streams(operator, StreamLimits(heartbeat_max_age_s=0.2))
        await announce(device, HEARTBEAT_BUCKET, "pi-1.primary", b"beat")
        await device.flush(2)
        async with asyncio.timeout(5):
            while await get(device, HEARTBEAT_BUCKET, "pi-1.primary", 2) is not None:
                pass

    with_planes(tmp_path, use)


def test_a_stream_that_cannot_become_what_it_should_be_is_named(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator() as operator:
            await operator.request("$JS.API.STREAM.DELETE.KV_device-heartbeat", b"", 2)
            wrong = stream_configurations(StreamLimits())[2] | {"storage": "file"}
            subject = "$JS.API.STREAM.CREATE.KV_device-heartbeat"
            await operator.request(subject, json.dumps(wrong).encode(), 2)
            with pytest.raises(RequestRefused, match=r"KV_device-heartbeat.*storage"):
                await ensure_streams(operator)

    asyncio.run(run())


def test_a_stream_that_was_lost_and_made_anew_has_another_creation_time(tmp_path: Path) -> None:
    async def use(operator: Plane, _: Plane) -> None:
        await put(operator, MARKER_BUCKET, "pi-1", b"order", 2)
        before = await stream_state(operator, MARKER_BUCKET)
        await operator.request("$JS.API.STREAM.DELETE.KV_agent-upgrade", b"", 2)
        with pytest.raises(RequestRefused, match="no stream KV_agent-upgrade"):
            await stream_state(operator, MARKER_BUCKET)
        await ensure_streams(operator)
        after = await stream_state(operator, MARKER_BUCKET)
        assert after.created != before.created
        assert (before.last_sequence, after.last_sequence) == (1, 0)

    with_planes(tmp_path, use)
