"""The agent's own file, at a plane that it loses: what it says again without being asked."""

import asyncio

from benchmarks.world import World
from tests.processes.relay import relay
from tests.processes.test_agent import LIMIT_S, device

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import Status
from harmony_fleet.messaging import keyvalue

SELDOM_S = 3600.0
"""Between two heartbeats, the longest that there may be: no test sees a second for that reason."""


def test_status_and_heartbeat_are_said_again_at_each_reconnect() -> None:
    async def check() -> None:
        async with device() as one, relay(one.world.nats.url) as way:
            settings = f"plane.servers={way.url}", f"heartbeat.interval_s={SELDOM_S}"
            words = [word for setting in settings for word in ("--set", setting)]
            async with one.running(*words) as agent:
                beat, status = await heartbeat(one.world, 1), await said(one.world, 0)
                for _ in range(2):
                    way.cut()
                    again = await heartbeat(one.world, beat.beat + 1)
                    assert again.instance_id == beat.instance_id
                    revision = await said(one.world, status)
                    beat, status = again, revision
                assert agent.poll() is None

    asyncio.run(check())


async def heartbeat(world: World, number: int) -> Heartbeat:
    """The primary's, as soon as it has said so many."""
    name = subjects.heartbeat_name("one", Role.PRIMARY)
    async with asyncio.timeout(LIMIT_S):
        while True:
            entry = await keyvalue.get(world.plane, subjects.HEARTBEAT_BUCKET, name, 5)
            if entry is not None:
                beat = codec.decode(Heartbeat, entry.value)
                if beat.beat >= number:
                    return beat
            await asyncio.sleep(0.02)


async def said(world: World, revision: int) -> int:
    """The revision of its status, as soon as that is a later one."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            entry = await keyvalue.get(world.plane, subjects.STATUS_BUCKET, "one", 5)
            if entry is not None and entry.revision > revision:
                assert codec.decode(Status, entry.value).device_id == "one"
                return entry.revision
            await asyncio.sleep(0.02)
