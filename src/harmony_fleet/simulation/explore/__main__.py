"""`python -m harmony_fleet.simulation.explore`: what `make prove` runs."""

import argparse
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from time import monotonic

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.simulation.arguments import positive
from harmony_fleet.simulation.explore.prove import (
    FAULTS,
    Task,
    TraceUnusable,
    explore_all,
    load,
    replay,
    save,
    table,
    told,
)
from harmony_fleet.simulation.explore.scenarios import PLANS
from harmony_fleet.simulation.explore.search import Explored
from harmony_fleet.simulation.quiet import quiet

VIOLATED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def run(arguments: list[str] | None = None) -> int:
    """The exit status."""
    asked = _parser().parse_args(arguments)
    try:
        with quiet():
            if asked.replay:
                return _replay(asked.replay)
            return _prove(_tasks(asked.faults, asked.scenario), asked.processes, asked.traces)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)  # its processes end with it: who waited for them would wait long
    except BrokenProcessPool:
        print(
            "explore: one of its processes was killed: is there too little memory?", file=sys.stderr
        )
        return VIOLATED
    except FleetError as error:
        print(f"explore: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="explore", description="Visit every state within a budget of faults."
    )
    parser.add_argument("--faults", type=int, choices=FAULTS, help="else as each is planned")
    parser.add_argument("--scenario", help="of these alone whose name holds this text")
    parser.add_argument("--processes", type=positive, default=os.cpu_count() or 1)
    parser.add_argument("--traces", type=Path, default=Path(".prove"), help="folder for violations")
    parser.add_argument("--replay", type=Path, help="the file of a trace")
    return parser


def _tasks(faults: int | None, text: str | None) -> list[Task]:
    chosen = [plan for plan in PLANS if text is None or text in plan.scenario.name]
    if not chosen:
        names = ", ".join(repr(plan.scenario.name) for plan in PLANS)
        raise TraceUnusable(f"no scenario's name holds {text!r}: there are {names}")
    return [Task(plan.scenario, plan.whole if faults is None else faults) for plan in chosen]


def _prove(tasks: list[Task], processes: int, traces: Path) -> int:
    begun_s, found = monotonic(), list[Explored]()
    for explored in explore_all(tasks, processes):
        found.append(explored)
        done = f"{len(found)} of {len(tasks)}"
        print(f"{done}: {explored.scenario.name}: {explored.states:,} states", flush=True)
        for violation in explored.violations:
            print("\n".join(told(explored, violation)))
            print(f"replay it: --replay {save(traces, explored, violation)}", flush=True)
    print("\n".join(["", *table(found), "", f"{monotonic() - begun_s:.0f} s"]))
    return VIOLATED if any(explored.violations for explored in found) else 0


def _replay(path: Path) -> int:
    trace = load(path)
    broken = replay(trace)
    print(broken or f"{path} breaks nothing: {trace.what} is mended")
    return VIOLATED if broken else 0


if __name__ == "__main__":
    sys.exit(run())
