"""`make storm`, `make e2e-vm`: exit status 0 only if all upgrades were played and nothing was at
fault; 1 if not; 2 where this machine cannot run the devices; 130 if it was interrupted.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.interrupts import heed_interrupts
from soak.run import commit
from soak.tables import as_markdown, as_text
from tests.machines.control_plane import ControlPlane, control_plane
from tests.machines.device import Device, Workshop
from tests.machines.hub import HubFailed, Refused, hub_at
from tests.machines.image import RECIPES, NoImage
from tests.machines.machine import Kind
from tests.machines.nspawn import BootFailed
from tests.machines.why_not import why_not

from harmony_fleet.contracts.errors import FleetError
from storm.plan import storm
from storm.player import Pace
from storm.report import Report, tables
from storm.run import Settings, Storm, add_releases

INTERRUPTED = 130
FOLDER = Path(__file__).parent.parent / ".storm"
DISK_BYTES = 512 << 20


def main() -> int:
    arguments = _arguments()
    if why := why_not():
        print(f"storm: not here, {why}", file=sys.stderr)
        return 2
    heed_interrupts()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    try:
        with TemporaryDirectory() as folder:
            report = _run(arguments, seed, Path(folder))
    except (AssertionError, BootFailed, FleetError, HubFailed, NoImage, OSError, Refused) as error:
        print(f"storm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("storm: interrupted; everything that it had started has ended", file=sys.stderr)
        return INTERRUPTED
    found = (tuple(tables(report)), report.faults)
    print(as_text(*found))
    if arguments.report is not None:
        arguments.report.write_text(as_markdown(*found), encoding="utf-8")
    return 0 if report.passed else 1


def _run(arguments: argparse.Namespace, seed: int, folder: Path) -> Report:
    FOLDER.mkdir(exist_ok=True)
    numbers = [arguments.only] if arguments.only else range(1, arguments.upgrades + 1)
    attempts = tuple(storm(seed, number) for number in numbers)
    side_by_side = min(arguments.devices, len(attempts))
    settings = Settings(attempts, side_by_side, Pace(), FOLDER)
    _say(f"seed {seed}; {len(attempts)} upgrades, {side_by_side} devices side by side")
    began_s, code = time.monotonic(), commit()
    with hub_at(folder) as hub, control_plane(hub, folder) as plane:
        _say("building the releases, and installing the first devices …")
        add_releases(plane, attempts)
        storming = Storm(settings, plane, _Devices(plane).make, _say)
        storming.run()
    return Report(
        seed=seed,
        wanted=len(attempts),
        devices=f"{side_by_side} side by side, in systemd-nspawn",
        minutes=(time.monotonic() - began_s) / 60,
        commit=code,
        ended=storming.ended,
        faults=storming.faults,
    )


class _Devices:
    """Of each Debian in turn, with a disk that loses what was not synced."""

    def __init__(self, plane: ControlPlane) -> None:
        self._workshop, self._made = Workshop(plane), 0
        for recipe in RECIPES:  # before there are threads that would each install them
            self._workshop.prepare(recipe)

    @contextmanager
    def make(self) -> Iterator[Device]:
        self._made += 1
        kind = Kind(RECIPES[self._made % len(RECIPES)], disk_bytes=DISK_BYTES)
        with self._workshop.device(kind) as device:
            yield device


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make storm")
    parser.add_argument("--upgrades", type=int, default=500, help="how many")
    parser.add_argument("--seed", type=int, help="of what is done; any if not given")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="play this one attempt alone")
    parser.add_argument("--devices", type=int, default=6, help="side by side")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write it as Markdown, too")
    arguments = parser.parse_args()
    if arguments.upgrades < 1 or arguments.devices < 1 or (arguments.only or 1) < 1:
        parser.error("upgrades, devices and the number of an attempt must be above 0")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
