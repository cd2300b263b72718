"""`make demo`: tells the story, and ends with the watcher's table and verdict.

Exit status 0 only if everything was observed as it must be; 1 if not; 2 if the story cannot be
told at all.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.stage import DEVICES, PLAIN_FILE, Stage, StageFailed, stage
from demo.story import STEPS, Outcome, tell
from demo.without import PROTECTIONS, run_without
from harmony_fleet.contracts.errors import FleetError

COLUMNS = ("release", "device", "ended", "cause", "runs", "starts", "no agent", "silent", "")
FOLDER = Path(__file__).parent.parent / ".demo"


def main() -> int:
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    data = arguments.data or FOLDER / "data"
    try:
        if arguments.without is not None:
            console.rule(f"[bold]without its {arguments.without} protection")
            folder = data.parent / f"without-{arguments.without}"
            return run_without(arguments.without, folder)
        with stage(data, arguments.nats_server, arguments.keep) as ready:
            return _tell_all(ready, console, arguments.keep)
    except (StageFailed, FleetError) as error:
        console.print(f"[red]demo:[/red] {error}", soft_wrap=True)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="leave it running")
    parser.add_argument("--without", choices=sorted(PROTECTIONS), help="take a protection out")
    parser.add_argument("--data", type=Path, help="data folder")
    parser.add_argument("--nats-server", type=Path, help="your own nats-server")
    return parser


def _tell_all(ready: Stage, console: Console, keep: bool) -> int:
    began_s = time.monotonic()
    console.print(
        f"{len(DEVICES)} devices run, {PLAIN_FILE} installed as a plain file, the others by a link."
    )
    outcomes: list[Outcome] = []
    for number, step in enumerate(STEPS, 1):
        console.rule(f"[bold]{number}. {step.version}: {step.title}", align="left")
        outcomes.append(tell(ready, step, lambda text: console.print(text, style="dim")))
        if not outcomes[-1].as_expected:
            break
    passed = len(outcomes) == len(STEPS) and all(one.as_expected for one in outcomes)
    _conclude(console, outcomes, passed, time.monotonic() - began_s)
    if keep:
        _say_what_to_try(console, ready.data)
    return 0 if passed else 1


def _conclude(console: Console, outcomes: Sequence[Outcome], passed: bool, took_s: float) -> None:
    console.rule("[bold]what the watcher saw", align="left")
    table = Table(box=None, pad_edge=False)
    for title in COLUMNS:
        table.add_column(title, no_wrap=title != "")
    for outcome in outcomes:
        for found in outcome.findings:
            table.add_row(
                outcome.step.version,
                found.device_id,
                found.phase,
                found.cause or "",
                found.version,
                str(found.starts),
                f"{found.without_agent_s:.2f} s",
                f"{found.heartbeat_gap_s:.2f} s",
                "[red]" + "; ".join(found.faults) if found.faults else "[green]ok",
            )
        table.add_section()
    console.print(table)
    if passed:
        console.print(
            f"\n[bold green]VERDICT: passed.[/] One good release and four bad ones in "
            f"{took_s:.0f} s; no device was left without a working agent."
        )
    else:
        failed = outcomes[-1].step
        console.print(f"\n[bold red]VERDICT: failed[/] at {failed.version}, {failed.title}.")


def _say_what_to_try(console: Console, data: Path) -> None:
    fleet = Path(sys.executable).with_name("fleet")
    console.print("\nIt goes on running. Try:")
    for words in (
        "device list",
        f"why {DEVICES[0]}",
        f"device events {DEVICES[0]}",
        f"upgrade {DEVICES[0]} --to 1.3.0 --wait",
        f"upgrade {DEVICES[0]} --to 0.1.0 --wait",
        "device stop-local",
    ):
        console.print(f"  {fleet} {words} --data {data}", soft_wrap=True)
    console.print("The next `make demo` ends it, and begins anew.")


if __name__ == "__main__":
    sys.exit(main())
