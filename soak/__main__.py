"""`make soak`: exit status 0 only if nothing was at fault; 1 if something was; 2 if the fleet could
not be started at all; 130 if it was interrupted. Whatever it started has ended then.
"""

import argparse
import asyncio
import logging
import random
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from demo.interrupts import INTERRUPTS, heed_interrupts
from demo.report_file import report_file
from demo.stage import StageFailed, end_all, strike

from harmony_fleet.contracts.errors import FleetError
from soak.device import mentioning
from soak.report import Report, tables
from soak.run import Settings, soak
from soak.tables import as_markdown, as_text

INTERRUPTED = 130
FOLDER = Path(__file__).parent.parent / ".soak"

T = TypeVar("T")


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.devices < 1 or arguments.minutes <= 0:
        parser.error("minutes and devices must be above 0")
    data = (arguments.data or FOLDER / "data").absolute()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    logging.basicConfig(level=logging.CRITICAL)  # the watcher's connection is lost on purpose
    heed_interrupts()
    try:
        report = _soaked(Settings(data, seed, arguments.minutes, arguments.devices))
        found = (tuple(tables(report)), report.faults)
        print(as_text(*found))
        if arguments.report is not None:
            arguments.report.write_text(as_markdown(*found), encoding="utf-8")
    except (StageFailed, FleetError, OSError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("soak: interrupted; everything that it had started has ended", file=sys.stderr)
        return INTERRUPTED
    left = mentioning(f"{data}/")
    for pid, words in left.items():
        print(f"soak: process {pid} was left running: {words}", file=sys.stderr)
    return 0 if report.passed and not left else 1


def _soaked(settings: Settings) -> Report:
    """The folder is kept, for whoever wants to see the logs; the next soak removes it."""
    strike(settings.data)
    settings.data.mkdir(parents=True)
    _say(f"seed {settings.seed}; everything is in {settings.data}")
    try:
        return asyncio.run(_interruptible(soak(settings, _say)))
    finally:
        end_all(settings.data)


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """The first signal cancels it, others hurry nothing. Raises KeyboardInterrupt at its end.

    The signals are heeded so until the loop is closed: its threads may still start something.
    """
    loop, task, signalled = asyncio.get_running_loop(), asyncio.create_task(work), asyncio.Event()
    for number in INTERRUPTS:
        loop.add_signal_handler(number, signalled.set)
    waiting = asyncio.create_task(signalled.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not signalled.is_set():
        return task.result()
    task.cancel()
    await asyncio.wait({task})
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long, at least one round")
    parser.add_argument("--seed", type=int, help="of what is done; any if not given")
    parser.add_argument("--devices", type=int, default=5, help="how many")
    parser.add_argument(
        "--report", type=report_file, metavar="FILE", help="write it as Markdown, too"
    )
    parser.add_argument("--data", type=Path, help="data folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
