"""Explores the scenarios on all cores, and tells what was found, as a table and as stories."""

import gc
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.simulation.explore.scenarios import PLANS, plan
from harmony_fleet.simulation.explore.search import Explored, Search, Violation
from harmony_fleet.simulation.explore.world import Scenario
from harmony_fleet.simulation.workers import workers

FAULTS = range(4)
"""How many a run can be asked for."""


class TraceUnusable(FleetError):
    """The file of a trace cannot be read, or names what there is not."""

    kind = "trace_unusable"


@dataclass(frozen=True, slots=True)
class Task:
    scenario: Scenario
    faults: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A story that broke something once, as a file keeps it."""

    scenario: str
    faults: int
    what: str
    story: tuple[str, ...]


def explore(task: Task) -> Explored:
    gc.disable()  # what is visited stays until all is, and then goes at once
    try:
        return Search(task.scenario, task.faults).run()
    finally:
        gc.enable()
        gc.collect()


def explore_all(tasks: Sequence[Task], processes: int) -> Iterator[Explored]:
    """In the order in which they end. The last ones, which take longest, are begun first.

    Raises BrokenProcessPool where a process of it was killed, as for want of memory.
    """
    pool = workers(processes)
    try:
        running = [pool.submit(explore, task) for task in reversed(tasks)]
        for one in as_completed(running):
            yield one.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def table(found: Sequence[Explored]) -> Iterator[str]:
    """In Markdown: a line for each scenario, and one for all."""
    order = [plan.scenario for plan in PLANS]
    found = sorted(found, key=lambda one: order.index(one.scenario))
    yield "| upgrade | faults | states | moves | depth | violations | s |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for one in found:
        numbers = f"{one.states:,} | {one.transitions:,} | {one.depth}"
        yield (
            f"| {one.scenario.name} | {one.faults} | {numbers} | {len(one.violations)} | "
            f"{one.seconds:.0f} |"
        )
    states, moves = sum(one.states for one in found), sum(one.transitions for one in found)
    bad, seconds = sum(len(one.violations) for one in found), sum(one.seconds for one in found)
    yield f"| **all** | | **{states:,}** | **{moves:,}** | | **{bad}** | {seconds:.0f} |"


def told(explored: Explored, violation: Violation) -> Iterator[str]:
    """The shortest story that leads to it."""
    yield f"{explored.scenario.name}, {explored.faults} faults: {violation.what}"
    for number, line in enumerate(violation.story, 1):
        yield f"  {number:3} {line}"


def save(folder: Path, explored: Explored, violation: Violation) -> Path:
    """For a test that replays it."""
    name = explored.scenario.name
    trace = {
        "scenario": name,
        "faults": explored.faults,
        "what": violation.what,
        "story": violation.story,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{'-'.join(name.replace(':', '').replace(',', '').split())}.json"
    path.write_text(json.dumps(trace, indent=2) + "\n")
    return path


def load(path: Path) -> Trace:
    """Raises TraceUnusable."""
    try:
        read = json.loads(path.read_text())
        trace = Trace(
            str(read["scenario"]), int(read["faults"]), str(read["what"]), tuple(read["story"])
        )
        plan(trace.scenario)
        if trace.faults not in FAULTS:
            raise ValueError(f"{trace.faults} is no number of faults")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TraceUnusable(f"{path} is no trace that can be replayed: {error}") from error
    return trace


def replay(trace: Trace) -> str:
    """What it breaks now, or nothing. Raises StoryImpossible."""
    return Search(plan(trace.scenario).scenario, trace.faults).replay(trace.story)
