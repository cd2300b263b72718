"""Whether the plane stores what is put: a real server loses its stream, and gets it back."""

import asyncio
from pathlib import Path

from tests.processes.nats_fixture import running_nats, until

from harmony_fleet.contracts.subjects import STATUS_BUCKET, stream
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.operator.storing import Storing
from harmony_fleet.operator.streams import ensure_streams
from harmony_fleet.operator.system import SystemClock


def test_a_plane_that_answers_and_stores_nothing_is_noticed_called_for_and_seen_to_recover(
    tmp_path: Path,
) -> None:
    calls: list[int] = []

    async def broken() -> None:
        calls.append(len(calls))
        raise OSError("nothing can be done")

    async def use(plane: Plane) -> None:
        storing = Storing(plane, SystemClock(), broken, interval_s=0.02)
        running = asyncio.create_task(storing.run())
        try:
            await plane.request(f"$JS.API.STREAM.DELETE.{stream(STATUS_BUCKET)}", b"", 5)
            await until(lambda: not storing.stores)
            assert plane.connected
            await until(lambda: len(calls) == 2)  # again after as many more
            await ensure_streams(plane)
            await until(lambda: storing.stores)
        finally:
            running.cancel()

    async def run() -> None:
        async with running_nats(tmp_path) as nats, nats.operator() as plane:
            await use(plane)

    asyncio.run(run())
