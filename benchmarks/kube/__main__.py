"""`make bench-kube`: exit status 1 where a goal is missed or a part came to no end, 2 where no API
server runs here or what was typed cannot be used, 130 if interrupted.
"""

import argparse
import asyncio
import logging
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from demo.interrupts import INTERRUPTS
from demo.report_file import report_file
from tests.kube.api_server import ClusterFailed, KubeCluster

from benchmarks import report
from benchmarks.kube import failover, start, upgrades
from benchmarks.kube.place import NoPrograms, cluster, grounds, programs
from benchmarks.table import Figure, print_figure
from harmony_fleet.contracts.errors import FleetError

TITLE = "In a cluster, beside SQLite"
MEANT = (
    (
        "A real API server with its etcd and controllers, the operator's own role, light devices: "
        "the shipped agent on a fake disk. etcd does not sync its files."
    ),
    f"Upgrades: all asked for at once, with {upgrades.PROBATION_S:g} s of probation.",
    (
        "Writes: requests that the API server has counted, those refused too, but not the Lease's "
        "nor what the user asks for by the spec."
    ),
    (
        "Kill to first order: the leader is killed, a Device's spec asks for another version, "
        "until the message plane has stored the other replica's order."
    ),
)
INTERRUPTED = 130
LIMIT_S = 1800.0


def main() -> int:
    asked = _parsed()
    logging.disable(logging.WARNING)
    return asyncio.run(_run(asked))


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-kube", description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000, help="that there are at a start")
    parser.add_argument("--upgrades", type=int, default=1000, help="all at once")
    parser.add_argument("--rounds", type=int, default=5, help="in which a leader is killed")
    parser.add_argument(
        "--report", type=report_file, help="write the figures to this file, in Markdown"
    )
    asked = parser.parse_args()
    for name in ("devices", "upgrades", "rounds"):
        if getattr(asked, name) < 1:
            parser.error(f"--{name} must be above 0")
    return asked


async def _run(asked: argparse.Namespace) -> int:
    interrupted = _heed_interrupts()
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _measure(asked)
    except NoPrograms as error:
        print(f"nothing was measured: {error}")
        return 2
    except BaseException as error:
        if interrupted:
            print("interrupted; everything that was started has ended")
            return INTERRUPTED
        if not isinstance(error, _NO_END):
            raise
        print(f"not measured to its end: {error}")
        return 1


_NO_END = (TimeoutError, ClusterFailed, FleetError, subprocess.SubprocessError, AssertionError)


def _heed_interrupts() -> list[int]:
    """Those that came. The first one ends what runs, in order."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[int] = []

    def heed(number: int, _frame: object) -> None:
        if not came:
            loop.call_soon_threadsafe(task.cancel)
        came.append(number)

    for number in INTERRUPTS:
        signal.signal(number, heed)
    return came


async def _measure(asked: argparse.Namespace) -> int:
    built = programs()
    print("\n".join(told := [*MEANT, report.machine()]), end="\n\n", flush=True)
    found: list[Figure] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as name,
            cluster(Path(name) / "kube", built) as kube,
        ):
            async for figure in _figures(kube, Path(name), asked):
                print_figure(figure, lambda line: print(line, flush=True))
                found.append(figure)
    finally:
        if asked.report:
            report.write(asked.report, TITLE, told, found)
    missed = sum(not figure.met for figure in found)
    print(f"{len(found)} figures, {missed} missed their goal")
    return 1 if missed else 0


async def _figures(
    kube: KubeCluster, folder: Path, asked: argparse.Namespace
) -> AsyncIterator[Figure]:
    async with grounds(kube, "fleet", folder) as place:
        async for figure in upgrades.measure(place, asked.upgrades):
            yield figure
    async with grounds(kube, "few", folder) as place:
        async for figure in failover.measure(place, asked.rounds):
            yield figure
    async with grounds(kube, "many", folder) as place:
        yield await start.populate(place, asked.devices)
        async for figure in start.measure(place, asked.devices):
            yield figure
        async for figure in failover.measure(place, asked.rounds):
            yield figure


if __name__ == "__main__":
    sys.exit(main())
