"""`make storm`, and with --cuts `make e2e-vm`: exit status 0 only if all upgrades were played and
nothing was at fault; 1 if not; 2 where this machine cannot run the devices; 130 if interrupted.
"""

import argparse
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.interrupts import heed_interrupts
from demo.report_file import report_file
from soak.run import commit
from soak.tables import as_markdown, as_text
from tests.machines.control_plane import control_plane
from tests.machines.hub import HubFailed, Refused, hub_at
from tests.machines.image import NoImage
from tests.machines.nspawn import BootFailed
from tests.machines.why_no_virtual_machine import why_no_virtual_machine
from tests.machines.why_not import why_not

from harmony_fleet.contracts.errors import FleetError
from storm.devices import CONTAINERS, Devices, Sort, virtual_machines
from storm.plan import UNTOUCHED, Attempt, power_cuts, storm
from storm.report import Report, tables
from storm.run import Settings, Storm, add_releases

INTERRUPTED = 130
FOLDER = Path(__file__).parent.parent / ".storm"
UPGRADES = 500
SIDE_BY_SIDE = {False: 6, True: 2}
"""By whether they are virtual: an emulated one takes a processor for itself."""


def main() -> int:
    arguments = _arguments()
    virtual = arguments.cuts is not None
    heed_interrupts()
    try:
        if why := why_not() or (why_no_virtual_machine() if virtual else None):
            print(f"storm: not here, {why}", file=sys.stderr)
            return 2
        with TemporaryDirectory() as folder:
            sort = virtual_machines() if virtual else CONTAINERS
            report = _run(arguments, sort, Path(folder))
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


def _run(arguments: argparse.Namespace, sort: Sort, folder: Path) -> Report:
    FOLDER.mkdir(exist_ok=True)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    attempts = _attempts(arguments, seed)
    wanted = arguments.devices or SIDE_BY_SIDE[arguments.cuts is not None]
    side_by_side = min(wanted, (len(attempts) + 1) // 2)
    settings = Settings(attempts, side_by_side, sort.patience, FOLDER)
    devices = f"{side_by_side} side by side, {sort.words}"
    _say(f"seed {seed}; {len(attempts)} upgrades; devices: {devices}")
    began_s, code = time.monotonic(), commit()
    with hub_at(folder) as hub, control_plane(hub, folder) as plane:
        _say("building the releases, and installing the first devices …")
        add_releases(plane, attempts)
        storming = Storm(settings, plane, Devices(plane, sort, side_by_side).make, _say)
        storming.run()
    return Report(
        seed=seed,
        wanted=len(attempts),
        devices=devices,
        minutes=(time.monotonic() - began_s) / 60,
        commit=code,
        ended=storming.ended,
        faults=storming.faults,
    )


def _attempts(arguments: argparse.Namespace, seed: int) -> tuple[Attempt, ...]:
    plan, last = storm, arguments.upgrades or UPGRADES
    if arguments.cuts is not None:
        plan, last = power_cuts, len(UNTOUCHED) + arguments.cuts
    numbers = [arguments.only] if arguments.only else range(1, last + 1)
    return tuple(plan(seed, number) for number in numbers)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="storm")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--upgrades", type=int, help=f"how many, on containers; {UPGRADES}")
    what.add_argument("--cuts", type=int, help="power cuts, of virtual machines")
    parser.add_argument("--seed", type=int, help="of what is done; any if not given")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="play this one attempt alone")
    parser.add_argument("--devices", type=int, help="side by side")
    parser.add_argument(
        "--report", type=report_file, metavar="FILE", help="write it as Markdown, too"
    )
    arguments = parser.parse_args()
    for name in ("upgrades", "cuts", "only", "devices"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            parser.error(f"--{name} must be above 0")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
