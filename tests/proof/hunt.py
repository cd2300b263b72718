"""Looks for one bug, in a process that imports the copy of the code that has it.

    PYTHONPATH=copy python -m tests.proof.hunt "its name"

Prints one line of JSON: the catch, or null. What the changed code raises is no catch: only an
invariant counts that was found broken.
"""

import gc
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import monotonic
from types import FrameType
from typing import TypeVar

from tests.proof.bugs import BUGS
from tests.proof.seeding import Bug

from harmony_fleet.simulation.explore.scenarios import PLANS
from harmony_fleet.simulation.explore.search import Search
from harmony_fleet.simulation.explore.world import Scenario
from harmony_fleet.simulation.scenario import scenario_of
from harmony_fleet.simulation.world import run

T = TypeVar("T")

EXPLORER, SIMULATOR = "explorer", "simulator"
NAMED_S = (20.0, 40.0, 60.0, 60.0)
"""The longest for one scenario that the bug names, by its faults."""
OTHERS_S = (5.0, 10.0)
"""The same, of all other scenarios."""
SEEDS, SEEDS_S = 3000, 100.0
COLLECT_AFTER = 25
"""Seeds. The collector of rubbish waits: it takes a quarter of the time."""
NO_INVARIANT = 0
"""Of what the simulator reports: a process that raised."""


@dataclass(frozen=True, slots=True)
class Catch:
    by: str
    what: str
    """The invariant, by its number, and what was seen of it."""
    where: str
    """The explorer's scenario, or the simulator's seed."""
    faults: int
    story: tuple[str, ...] = ()
    """Of the explorer: the shortest."""


class TimeUp(BaseException):
    """No broad `except` of the code that is run may take it for an error."""


def hunt(bug: Bug) -> Catch | None:
    named = bug.scenarios
    others = tuple(plan.scenario for plan in PLANS if plan.scenario not in named)
    return (
        _explored(named, NAMED_S) or simulated() or (_explored(others, OTHERS_S) if named else None)
    )


def _explored(scenarios: tuple[Scenario, ...], limits_s: tuple[float, ...]) -> Catch | None:
    for faults, limit_s in enumerate(limits_s):
        for scenario in scenarios:
            if found := explored(scenario, faults, limit_s):
                return found
    return None


def explored(scenario: Scenario, faults: int, limit_s: float) -> Catch | None:
    """None also where that time was too short to visit all."""
    found = within(limit_s, lambda: Search(scenario, faults).run().violations)
    if not found:
        return None
    shortest = min(found, key=lambda one: len(one.story))
    return Catch(EXPLORER, shortest.what, scenario.name, faults, shortest.story)


def simulated(seeds: int = SEEDS, limit_s: float = SEEDS_S) -> Catch | None:
    until_s = monotonic() + limit_s
    for number in range(1, seeds + 1):
        if number % COLLECT_AFTER == 0:
            gc.collect()
        left_s = until_s - monotonic()
        if left_s <= 0:
            return None
        if found := _seed(number, left_s):
            return found
    return None


def _seed(number: int, limit_s: float) -> Catch | None:
    scenario = scenario_of(number)
    outcome = within(limit_s, lambda: run(scenario))
    for one in outcome.violations if outcome else ():
        if one.invariant != NO_INVARIANT:
            what = f"{one.invariant}: {one.sentence}"
            return Catch(SIMULATOR, what, str(number), len(scenario.faults))
    return None


def within(limit_s: float, work: Callable[[], T]) -> T | None:
    """None where it is not done by then, or raises: the changed code may do either."""
    try:
        with _alarm(limit_s):
            return work()
    except TimeUp:
        return None
    except Exception as error:  # noqa: BLE001 - of code that has a bug
        print(f"raised {error!r}", file=sys.stderr)
        return None


@contextmanager
def _alarm(limit_s: float) -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimeUp

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(name: str) -> None:
    gc.disable()
    logging.disable(logging.CRITICAL)
    found = hunt(BUGS[name])
    print(json.dumps(asdict(found) if found else None))


if __name__ == "__main__":
    main(sys.argv[1])
