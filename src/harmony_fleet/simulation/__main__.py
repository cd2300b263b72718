"""`python -m harmony_fleet.simulation`: what many seeds came to, or one seed's whole story.

Exit status: 0 without a violation, 1 with one, 2 for what cannot be asked.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from harmony_fleet.simulation.arguments import positive, whole
from harmony_fleet.simulation.judge import Violation
from harmony_fleet.simulation.quiet import quiet
from harmony_fleet.simulation.scenario import Scenario, scenario_of
from harmony_fleet.simulation.shrink import shrink
from harmony_fleet.simulation.totals import Totals, run_many
from harmony_fleet.simulation.world import run

SHOWN = 5
"""Violations that are made smaller and told; of the others only the seed."""
PROGRESS_S = 10.0
VIOLATED, INTERRUPTED = 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    asked = _arguments().parse_args(argv)
    try:
        with quiet():
            if asked.seed is not None:
                return _replay(asked.seed, asked.shrink)
            return _run(asked.first, asked.seeds, asked.processes)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harmony_fleet.simulation",
        description="Run the shipped agent and operator in simulated worlds full of faults.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seeds", type=positive, default=2000, metavar="N", help="how many worlds")
    what.add_argument("--seed", type=whole, metavar="S", help="one world, with its whole story")
    parser.add_argument("--first", type=whole, default=1, metavar="S", help="the first seed")
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--processes", type=positive, default=cores, metavar="P", help="default: one for each core"
    )
    parser.add_argument(
        "--shrink",
        action="store_true",
        help="with --seed: leave out what its violation can do without",
    )
    return parser


def _replay(seed: int, smaller: bool) -> int:
    scenario = scenario_of(seed)
    outcome = run(scenario, story=True)
    if smaller and outcome.violations:
        scenario = _smallest(scenario, outcome.violations[0])
        outcome = run(scenario, story=True)
    print(scenario.text())
    print("\n".join(outcome.story))
    for (phase, cause), count in sorted(outcome.ends.items()):
        print(f"{count:6} {phase} {cause}".rstrip())
    for violation in outcome.violations:
        print(violation)
    return VIOLATED if outcome.violations else 0


def _run(first: int, seeds: int, processes: int) -> int:
    began_s = last_s = time.monotonic()
    told = 0

    def progress(totals: Totals) -> None:
        nonlocal last_s, told
        for seed, violation in totals.violations[told:]:
            print(f"seed {seed}: {violation}", file=sys.stderr)
        told = len(totals.violations)
        if time.monotonic() - last_s > PROGRESS_S:
            last_s = time.monotonic()
            said = f"{totals.seeds} of {seeds} seeds, {totals.upgrades} upgrades"
            print(f"{said}, {len(totals.violations)} violations", file=sys.stderr)

    totals = run_many(first, seeds, processes, progress=progress)
    _print_totals(totals, time.monotonic() - began_s)
    for seed, violation in totals.violations[:SHOWN]:
        _print_violation(seed, violation)
    if len(totals.violations) > SHOWN:
        print("more seeds:", " ".join(str(seed) for seed, _ in totals.violations[SHOWN:][:200]))
    return VIOLATED if totals.violations else 0


def _print_totals(totals: Totals, took_s: float) -> None:
    rate = totals.upgrades / totals.cpu_s if totals.cpu_s else 0.0
    hours = totals.simulated_s / 3600
    print(f"{totals.upgrades} upgrades of {totals.seeds} seeds, {hours:.1f} simulated hours")
    print(f"{took_s:.1f} s, {rate:.0f} upgrades/s for each core")
    print("faults that hit:")
    for kind, count in sorted(totals.faults.items()):
        print(f"{count:8} {kind}")
    print("ends:")
    for (phase, cause), count in sorted(totals.ends.items()):
        print(f"{count:8} {phase} {cause}".rstrip())
    print(f"violations: {len(totals.violations)}")


def _print_violation(seed: int, violation: Violation) -> None:
    print(f"\nseed {seed}: {violation}")
    print(f"again: python -m harmony_fleet.simulation --seed {seed}")
    scenario = _smallest(scenario_of(seed), violation)
    print("smaller, by `--shrink`:")
    print(scenario.text())
    print("\n".join(run(scenario, story=True).story))


def _smallest(scenario: Scenario, violation: Violation) -> Scenario:
    def fails(candidate: Scenario) -> bool:
        found = run(candidate).violations
        return any(one.invariant == violation.invariant for one in found)

    return shrink(scenario, fails)


if __name__ == "__main__":
    sys.exit(main())
