"""Five devices that are upgraded at once, each traced: what a power cut is to be tried on."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.world import VERSIONS, World, add_release, world
from demo.releases import build_release
from tests.crash.disk import Operation, Snapshot
from tests.crash.recorder import operations, snapshot_of, traced_supervisor

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.embedded.start_local import QUICK
from harmony_fleet.release.manifest import describe

LIMIT_S = 60.0
TIMING = replace(
    QUICK,
    interval_s=0.5,
    quick_interval_s=0.25,
    probation_s=1.0,
    stop_limit_s=2.0,
    starts_allowed=2,
    versions_kept=1,
)
OLD, NEW = VERSIONS
SILENT, CRASHING = "1.2.0", "1.3.0"


@dataclass(frozen=True, slots=True)
class Plot:
    orders: tuple[str, ...]
    phase: Phase
    """In which the last of them ends."""
    plain_file: bool = False


PLOTS = {
    "upgrades": Plot((NEW, OLD), Phase.SUCCEEDED),
    "reverted by the old version": Plot((SILENT,), Phase.ROLLED_BACK),
    "rolled back by the guard": Plot((CRASHING,), Phase.ROLLED_BACK),
    "from a plain file": Plot((NEW,), Phase.SUCCEEDED, plain_file=True),
    "from a plain file and back": Plot((CRASHING,), Phase.ROLLED_BACK, plain_file=True),
}


@dataclass(frozen=True, slots=True)
class Recording:
    before: Snapshot
    after: Snapshot
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Recordings:
    by_plot: dict[str, Recording]
    versions: dict[bytes, str]
    """Of every program that was released, by its bytes."""


@cache
def recordings() -> Recordings:
    """Made once in each process."""
    with TemporaryDirectory() as folder:
        return asyncio.run(_record(Path(folder)))


async def _record(folder: Path) -> Recordings:
    async with world() as ready:
        files = [ready.artifacts / f"fleet-agent-{version}" for version in VERSIONS]
        for version, overlay in ((SILENT, "never_heartbeats"), (CRASHING, "crashes_as_primary")):
            files.append(build_release(version, ready.artifacts, overlay))
            await add_release(ready.store, describe(files[-1]))
        told = zip(_names(), PLOTS.items(), strict=False)
        done = await asyncio.gather(*(_play(ready, name, plot, folder) for name, (_, plot) in told))
        versions = {file.read_bytes(): file.name.removeprefix("fleet-agent-") for file in files}
        return Recordings(dict(zip(PLOTS, done, strict=True)), versions)


async def _play(ready: World, name: str, plot: Plot, folder: Path) -> Recording:
    root, trace = ready.prepare_device(name, TIMING, plot.plain_file), folder / name
    before = snapshot_of(root)
    stack = ExitStack()
    await asyncio.to_thread(stack.enter_context, traced_supervisor(root, trace))
    try:
        await ready.heard(name)
        for version in plot.orders:
            await ready.operator.upgrade([name], version, retry=False, replace=False)
            async with asyncio.timeout(LIMIT_S):
                while _ended(ready, name) is None:
                    await asyncio.sleep(0.05)
        assert _ended(ready, name) is plot.phase
    finally:
        await asyncio.to_thread(stack.close)
    after = snapshot_of(root)
    return Recording(before, after, tuple(operations(trace, root, before)))


def _ended(ready: World, name: str) -> Phase | None:
    order = ready.operator.sight(name).case.record.order
    return order.phase if order and not order.open else None


def _names() -> Iterator[str]:
    for number in range(1, 100):
        yield f"device-{number}"
