"""`make bench-device`: exit status 1 where a goal is missed or a turn failed, 2 where no machines
run here or what was typed cannot be used, 130 if interrupted.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from demo.interrupts import heed_interrupts
from demo.report_file import report_file
from tests.machines.hub import HubFailed, Refused, hub_at
from tests.machines.image import DEBIAN_12, WITH_MENDER, NoImage, Recipe, image
from tests.machines.nspawn import BootFailed, MachineOff
from tests.machines.why_not import why_not

from benchmarks import report
from benchmarks.device.ansible import Ansible
from benchmarks.device.figures import Turns, figures, stages
from benchmarks.device.gaps import NotSeen
from benchmarks.device.harmony import Harmony
from benchmarks.device.mender import Mender
from benchmarks.device.report import MEANT, TITLE
from benchmarks.device.shell import Shell
from benchmarks.device.site import Grounds, Site, grounds
from benchmarks.device.turn import Contender, Failed, Turn, take
from benchmarks.table import Figure, print_figure
from harmony_fleet.contracts.errors import FleetError

INTERRUPTED = 130
MANY_ROUNDS = 3
"""With many devices, at most."""


def main() -> int:
    asked = _parsed()
    heed_interrupts()
    try:
        if why := why_not():
            print(f"nothing was measured: {why}")
            return 2
        return _measure(asked)
    except (Failed, NotSeen, TimeoutError, AssertionError) as error:
        print(f"not measured to its end: {error}")
        return 1
    except (BootFailed, FleetError, HubFailed, MachineOff, NoImage, OSError, Refused) as error:
        print(f"not measured to its end, the machines did not run: {error}")
        return 2
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended")
        return INTERRUPTED


def _measure(asked: argparse.Namespace) -> int:
    recipe, without = _recipe()
    told = [*MEANT, *without, report.machine()]
    print("\n".join(told), end="\n\n")
    found: list[Figure] = []
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            hub_at(Path(name)) as hub,
            grounds(hub, Path(name), recipe) as place,
        ):
            for figure in _measured(place, asked.rounds, asked.devices, not without):
                print_figure(figure)
                found.append(figure)
    finally:
        if asked.report:
            report.write(asked.report, TITLE, told, found)
    missed = sum(not figure.met for figure in found)
    print(f"{len(found)} figures, {missed} missed their goal")
    return 1 if missed else 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-device", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each, with one device")
    parser.add_argument("--devices", type=int, default=10, help="side by side, afterwards; or 1")
    parser.add_argument(
        "--report", type=report_file, help="write the figures to this file, in Markdown"
    )
    asked = parser.parse_args()
    for name in ("rounds", "devices"):
        if getattr(asked, name) < 1:
            parser.error(f"--{name} must be above 0")
    return asked


def _recipe() -> tuple[Recipe, list[str]]:
    """With the reason why Mender is not measured, if it is not."""
    try:
        image(WITH_MENDER)
    except NoImage as error:
        return DEBIAN_12, [f"Mender's client was not measured: {error}"]
    return WITH_MENDER, []


def _measured(place: Grounds, rounds: int, devices: int, mender: bool) -> Iterator[Figure]:
    with place.site(1) as site:
        turns = _rounds(site, rounds, mender)
        yield from figures(turns, 1)
        yield from stages(turns)
    if devices > 1:
        with place.site(devices) as site:
            yield from figures(_rounds(site, min(rounds, MANY_ROUNDS), mender), devices)


def _rounds(site: Site, number: int, mender: bool) -> Turns:
    """One before them is not counted: files, caches and connections are warm after it."""
    contenders: list[Contender] = [Harmony(), Ansible(), Shell(), *([Mender()] if mender else [])]
    turns: dict[str, list[Turn]] = {one.name: [] for one in contenders}
    site.measure_idle()
    with ExitStack() as stack:
        for one in contenders:
            one.prepare(site)
            stack.callback(one.close)
        for count in range(number + 1):
            first = count % len(contenders)
            for one in (*contenders[first:], *contenders[:first]):
                turn = take(one, site)
                if count > 0:
                    turns[one.name].append(turn)
    return turns


if __name__ == "__main__":
    sys.exit(main())
