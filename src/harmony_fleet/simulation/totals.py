"""What many simulated worlds came to, and how they are run on many cores."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from itertools import islice

from harmony_fleet.simulation.judge import Violation
from harmony_fleet.simulation.quiet import quiet
from harmony_fleet.simulation.scenario import USUAL, Rates, scenario_of
from harmony_fleet.simulation.workers import workers
from harmony_fleet.simulation.world import run

CHUNK = 25
"""Seeds of one piece of work."""
COLLECTED = 2
"""Worlds, after which their rubbish is collected: it is still in the processor's caches then."""


@dataclass(slots=True)
class Totals:
    seeds: int = 0
    upgrades: int = 0
    cpu_s: float = 0.0
    simulated_s: float = 0.0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, Violation]] = field(default_factory=list)
    """With their seeds; of each seed the first."""

    def add(self, other: "Totals") -> None:
        self.seeds += other.seeds
        self.upgrades += other.upgrades
        self.cpu_s += other.cpu_s
        self.simulated_s += other.simulated_s
        self.ends.update(other.ends)
        self.faults.update(other.faults)
        self.violations += other.violations


def run_seeds(first: int, count: int, rates: Rates = USUAL) -> Totals:
    """In this process. The collector of rubbish waits for worlds to end, and looks at no other."""
    totals, collecting = Totals(), gc.isenabled()
    gc.disable()
    began_s = time.process_time()
    try:
        with quiet():
            for seed in range(first, first + count):
                outcome = run(scenario_of(seed, rates))
                totals.seeds += 1
                totals.upgrades += outcome.upgrades
                totals.simulated_s += outcome.lasted_s
                totals.ends.update(outcome.ends)
                totals.faults.update(outcome.faults)
                totals.violations += [(seed, violation) for violation in outcome.violations[:1]]
                if totals.seeds % COLLECTED == 0:
                    gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    totals.cpu_s = time.process_time() - began_s
    return totals


def run_many(
    first: int,
    count: int,
    processes: int,
    rates: Rates = USUAL,
    progress: Callable[[Totals], None] = lambda _totals: None,
) -> Totals:
    """The same totals, whatever the number of processes; violations by their seeds."""
    totals = Totals()
    chunks = _chunks(first, count)
    with workers(processes) as pool:
        running = {pool.submit(run_seeds, *chunk, rates) for chunk in islice(chunks, 2 * processes)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    totals.add(one.result())
                running |= {
                    pool.submit(run_seeds, *chunk, rates) for chunk in islice(chunks, len(done))
                }
                progress(totals)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    totals.violations.sort(key=lambda found: found[0])
    return totals


def _chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, first + count, CHUNK):
        yield begin, min(CHUNK, first + count - begin)
