"""`make demo`: tells the story, and ends with the watcher's table and verdict.

Exit status 0 only if everything was observed as it must be; 1 if not; 2 if the story cannot be
told at all; 130 if it was interrupted.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

from demo.interrupts import heed_interrupts
from demo.stage import (
    DEVICES,
    FLEET,
    PLAIN_FILE,
    Stage,
    StageFailed,
    control_plane_pid,
    stage,
)
from demo.story import STEPS, Outcome, Step, tell
from demo.verdict import lines, summary
from demo.without import PROTECTIONS, run_without
from harmony_fleet import __version__
from harmony_fleet.contracts.errors import FleetError

SCENE = (
    f"This machine plays a fleet: a control plane and {len(DEVICES)} devices, all real processes. "
    f"Each device runs its agent, version {__version__}; {PLAIN_FILE}'s is installed as a plain "
    "file, the others' by a link. A watcher follows the processes and hears the heartbeats, and "
    "takes nobody's word for what runs."
)
INTERRUPTED = 130
FOLDER = Path(__file__).parent.parent / ".demo"


def main() -> int:
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    data = (arguments.data or FOLDER / "data").absolute()
    heed_interrupts()
    try:
        if arguments.without is not None:
            _tell_without(console, arguments.without, data)
        _say(console, f"Starting a control plane and {len(DEVICES)} devices …", "dim")
        with stage(data, arguments.nats_server, arguments.keep) as ready:
            return _tell_all(ready, console, arguments.keep)
    except (StageFailed, FleetError, OSError) as error:
        console.print(f"[red]demo:[/red] {escape(str(error))}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("demo: interrupted; everything that it had started has ended")
        return INTERRUPTED


def _tell_without(console: Console, protection: str, data: Path) -> NoReturn:
    if protection not in PROTECTIONS:
        known = ", ".join(sorted(PROTECTIONS))
        raise StageFailed(f"there is no protection {protection!r}; PROTECTION is one of {known}")
    console.rule(f"[bold]without its {protection} protection")
    run_without(protection, data.parent / f"without-{protection}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="leave it running")
    parser.add_argument("--without", metavar="PROTECTION", help="take a protection out")
    parser.add_argument("--data", type=Path, help="data folder")
    parser.add_argument("--nats-server", type=Path, help="your own nats-server")
    return parser


def _tell_all(ready: Stage, console: Console, keep: bool) -> int:
    began_s = time.monotonic()
    _say(console, SCENE)
    outcomes: list[Outcome] = []
    for number, step in enumerate(STEPS, 1):
        outcomes.append(_tell_one(ready, console, number, step))
        if not outcomes[-1].as_expected:
            break
    passed = len(outcomes) == len(STEPS) and all(one.as_expected for one in outcomes)
    _conclude(console, outcomes, passed, time.monotonic() - began_s)
    if keep:
        _say_what_to_try(console, ready.data)
    return 0 if passed else 1


def _tell_one(ready: Stage, console: Console, number: int, step: Step) -> Outcome:
    console.print()
    console.rule(f"[bold]{number} of {len(STEPS)}. {step.version}: {step.title}", align="left")
    _say(console, step.about)
    outcome = tell(ready, step, lambda text: _say(console, text, "dim"))
    _say(console, f"Watcher: {summary(outcome)}.", "green" if outcome.as_expected else "red")
    return outcome


def _say(console: Console, text: str, style: str = "") -> None:
    """As it is: no word of it is taken for a style."""
    console.print(text, style=style, markup=False)


def _conclude(console: Console, outcomes: Sequence[Outcome], passed: bool, took_s: float) -> None:
    console.print()
    console.rule("[bold]what the watcher saw", align="left")
    for style, text in lines(outcomes):
        _say(console, text, style)
    if passed:
        console.print(
            f"\n[bold green]VERDICT: passed.[/] One good release and four bad ones in "
            f"{took_s:.0f} s; no device was left without a working agent."
        )
    else:
        failed = outcomes[-1].step
        console.print(f"\n[bold red]VERDICT: failed[/] at {failed.version}, {failed.title}.")


def _say_what_to_try(console: Console, data: Path) -> None:
    _say(console, "\nIt goes on running. Try, in any shell:")
    for words, remark in (
        ("device list", "what runs where"),
        (f"why {DEVICES[0]}", "the last upgrade, in sentences"),
        (f"device events {DEVICES[0]}", "the whole story of a device"),
        (f"upgrade {DEVICES[0]} --to 1.3.0 --wait", "refused: it failed here before"),
        (f"upgrade {DEVICES[0]} --to {__version__} --wait", "back to where it began"),
        ("device stop-local", "ends the devices"),
    ):
        _say(console, f"# {remark}", "dim")
        command = shlex.join([str(FLEET), *words.split(), "--data", str(data)])
        console.print(command, markup=False, soft_wrap=True)
    _say(console, "# ends the control plane", "dim")
    _say(console, f"kill {control_plane_pid(data)}")
    _say(console, "The next `make demo` ends it all, too, and begins anew.")


if __name__ == "__main__":
    sys.exit(main())
