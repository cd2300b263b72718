"""What one agent's heartbeats say and how often, at a real NATS server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.processes.nats_fixture import running_nats

from harmony_fleet.agent.heartbeat import Heartbeats, Pace
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.heartbeat import Heartbeat, Progress, Role
from harmony_fleet.messaging.requests import Message

ID = "a" * 32
SLOW, QUICK = 60.0, 0.05
LIMIT_S = 10.0


@asynccontextmanager
async def beating(
    folder: Path,
) -> AsyncIterator[tuple[Heartbeats, "asyncio.Queue[Heartbeat]"]]:
    """A device's heartbeats, and all of them as the operator hears them."""
    heard: asyncio.Queue[Heartbeat] = asyncio.Queue()

    async def hear(message: Message) -> None:
        heard.put_nowait(codec.decode(Heartbeat, message.payload))

    async with (
        running_nats(folder) as nats,
        nats.operator() as operator,
        nats.device("pi-1") as device,
    ):
        await operator.subscribe(f"{subjects.SEEN_HEARTBEAT}.pi-1.primary", hear)
        await operator.flush(LIMIT_S)
        first = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "i", "b", 1, 1)
        beats = Heartbeats(device, first, Pace(SLOW, QUICK), lambda: "")
        running = asyncio.create_task(beats.run())
        try:
            yield beats, heard
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def until_said(heard: "asyncio.Queue[Heartbeat]", wanted: Heartbeat) -> None:
    """The next one that names this upgrade, this progress and this interval."""
    async with asyncio.timeout(LIMIT_S):
        while _words(await heard.get()) != _words(wanted):
            pass


def _words(beat: Heartbeat) -> tuple[str | None, Progress | None, int]:
    return beat.upgrade_id, beat.progress, beat.interval_ms


def saying(upgrade_id: str | None, progress: Progress | None, interval_ms: int) -> Heartbeat:
    return Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "i", "b", 1, interval_ms, upgrade_id, progress)


def test_progress_is_said_quickly_while_staging_and_ends_with_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with beating(tmp_path) as (beats, heard):
            await until_said(heard, saying(None, None, 60_000))
            beats.name_upgrade(ID, quick=False, staging=True)
            beats.name_progress(10, 100)
            await until_said(heard, saying(ID, Progress(10, 100), 500))
            beats.name_progress(90, 100)
            await until_said(heard, saying(ID, Progress(90, 100), 500))
            beats.name_upgrade(ID, quick=False)
            await until_said(heard, saying(ID, None, 60_000))

    asyncio.run(check())


def test_a_cancelled_download_that_still_speaks_is_not_heard(tmp_path: Path) -> None:
    async def check() -> None:
        async with beating(tmp_path) as (beats, heard):
            beats.name_upgrade(ID, quick=False, staging=True)
            beats.name_progress(10, 100)
            await until_said(heard, saying(ID, Progress(10, 100), 500))
            beats.name_upgrade(None, quick=False)
            beats.name_progress(20, 100)
            await until_said(heard, saying(None, None, 60_000))
            beats.name_upgrade(None, quick=True)
            await until_said(heard, saying(None, None, 50))

    asyncio.run(check())
