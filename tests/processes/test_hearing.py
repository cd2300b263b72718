"""What an armed primary learns when it asks a real server whether its candidate was heard."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.processes.nats_fixture import running_nats

from harmony_fleet.agent.upgrade.plane import NatsHearing
from harmony_fleet.contracts import codec
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.subjects import HEARTBEAT_BUCKET, heartbeat_name, stream
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane

ID, OTHER_ID = "a" * 32, "b" * 32
Use = Callable[[Plane, Plane, NatsHearing], Awaitable[None]]


def with_hearing(folder: Path, use: Use) -> None:
    """`use(operator, device, hearing)`; the device is pi-1."""

    async def run() -> None:
        async with (
            running_nats(folder) as nats,
            nats.operator() as operator,
            nats.device("pi-1") as device,
        ):
            await use(operator, device, NatsHearing(device, "pi-1"))

    asyncio.run(run())


async def beat(device: Plane, version: str, upgrade_id: str) -> None:
    said = Heartbeat("pi-1", version, Role.CANDIDATE, "i", "b", 1, 1000, upgrade_id)
    name = heartbeat_name("pi-1", Role.CANDIDATE)
    await keyvalue.put(device, HEARTBEAT_BUCKET, name, codec.encode(said), 2)


def test_a_candidates_heartbeat_is_heard_by_its_version_and_its_upgrade(tmp_path: Path) -> None:
    async def use(_: Plane, device: Plane, hearing: NatsHearing) -> None:
        assert await hearing.heard("2.0.0", ID) is False
        await beat(device, "2.0.0", ID)
        assert await hearing.heard("2.0.0", ID) is True
        assert await hearing.heard("2.0.0", OTHER_ID) is False
        assert await hearing.heard("3.0.0", ID) is False

    with_hearing(tmp_path, use)


def test_a_value_that_is_no_heartbeat_was_none(tmp_path: Path) -> None:
    async def use(_: Plane, device: Plane, hearing: NatsHearing) -> None:
        name = heartbeat_name("pi-1", Role.CANDIDATE)
        await keyvalue.put(device, HEARTBEAT_BUCKET, name, b"{", 2)
        assert await hearing.heard("2.0.0", ID) is False

    with_hearing(tmp_path, use)


def test_a_plane_that_lost_the_heartbeats_stream_gives_no_answer(tmp_path: Path) -> None:
    async def use(operator: Plane, device: Plane, hearing: NatsHearing) -> None:
        await beat(device, "2.0.0", ID)
        await operator.request(f"$JS.API.STREAM.DELETE.{stream(HEARTBEAT_BUCKET)}", b"", 2)
        assert hearing.connected
        assert await hearing.heard("2.0.0", ID) is None

    with_hearing(tmp_path, use)
