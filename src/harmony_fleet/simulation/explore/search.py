"""Visits every state that a scenario can reach within its budget of faults, each once, in breadth.

The first way to a state is a shortest one. A move that is no fault and that nobody wishes for is
free: once faults stop, the free moves are all that happens, and each that stays possible happens.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from time import monotonic

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.simulation.explore import checks
from harmony_fleet.simulation.explore.ends import stuck
from harmony_fleet.simulation.explore.moves import Moves
from harmony_fleet.simulation.explore.number import (
    DEVICE_AND_RECORD,
    FIRST,
    MASK,
    RECORD,
    SECOND,
)
from harmony_fleet.simulation.explore.tables import Tables
from harmony_fleet.simulation.explore.world import Scenario


@dataclass(frozen=True, slots=True)
class Violation:
    what: str
    story: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explored:
    scenario: Scenario
    faults: int
    states: int
    transitions: int
    depth: int
    seconds: float
    settled: int
    violations: tuple[Violation, ...]


class StoryImpossible(FleetError):
    """The code has changed: what was told cannot happen any more."""

    kind = "story_impossible"


class Search:
    def __init__(self, scenario: Scenario, faults: int) -> None:
        self.scenario, self.faults = scenario, faults
        self.moves = Moves(scenario)
        self.states: list[int] = []
        self.violations: list[Violation] = []
        self.transitions = 0
        self._tables = Tables(self.moves)
        self._known: dict[int, int] = {}
        self._parents, self._how = array("i"), array("i")
        self._edges, self._ends = array("I"), array("Q")
        self._judged: dict[int, bool] = {}
        """Whether all is settled, of each device and record that have met."""

    def run(self) -> Explored:
        """Until all is visited, or something is found that must not be."""
        begun_s = monotonic()
        self._meet(self._tables.start(self.faults), -1, 0)
        self._visit()
        settled = 0 if self.violations else self._judge_ends()
        return Explored(
            self.scenario,
            self.faults,
            len(self.states),
            self.transitions,
            len(self.story(len(self.states) - 1)),
            monotonic() - begun_s,
            settled,
            tuple(self.violations),
        )

    def replay(self, story: Sequence[str]) -> str:
        """What the same moves break, or nothing: in any of the ways in which they may go.

        Raises StoryImpossible where none of them can happen.
        """
        reached = {self._tables.start(self.faults)}
        for number, line in enumerate(story):
            after: set[int] = set()
            for state in reached:
                for difference, label, _, breach in chain.from_iterable(self._tables.of(state)):
                    if self._label(label) == line:
                        if breach:
                            return breach
                        after.add(self._tables.in_order(state + difference))
            if not after:
                raise StoryImpossible(f"move {number + 1} cannot happen: {line}")
            reached = after
        for state in reached:
            self._meet(state, -1, 0)
        self._visit()
        if not self.violations:
            self._judge_ends()
        return self.violations[0].what if self.violations else ""

    def _visit(self) -> None:
        number = 0
        while number < len(self.states) and not self.violations:
            self._expand(number)
            number += 1

    def _expand(self, number: int) -> None:
        state, known, edges, two = self.states[number], self._known, self._edges, self._tables.two
        for table in self._tables.of(state):
            self.transitions += len(table)
            for difference, label, free, breach in table:
                after = state + difference
                if two and after >> FIRST & MASK > after >> SECOND:
                    after = self._tables.in_order(after)
                there = known.get(after)
                if there is None:
                    there = self._meet(after, number, label)
                if free:
                    edges.append(there)
                if breach:
                    self._violated(breach, number, label)
        self._ends.append(len(edges))

    def _meet(self, state: int, parent: int, label: int) -> int:
        number = self._known[state] = len(self.states)
        self.states.append(state)
        self._parents.append(parent)
        self._how.append(label)
        if (met := state & DEVICE_AND_RECORD) not in self._judged:
            device = self.moves.devices.values[state & MASK]
            record = self.moves.records.values[state >> RECORD & MASK]
            if breach := checks.of_record(device, record):
                self._violated(breach, number, -1)
            self._judged[met] = checks.settled(device, record, self.scenario.kind)
        return number

    def _violated(self, what: str, number: int, label: int) -> None:
        story = list(self.story(number))
        if label >= 0:
            story.append(self._label(label))
        self.violations.append(Violation(what, tuple(story)))

    def story(self, number: int) -> tuple[str, ...]:
        """The moves that lead to a state, the shortest way."""
        lines = []
        while self._parents[number] >= 0:
            lines.append(self._label(self._how[number]))
            number = self._parents[number]
        return tuple(reversed(lines))

    def _label(self, label: int) -> str:
        text, operator = self.moves.labels.values[label & (1 << 24) - 1], label >> 24
        return f"operator {operator} {text}" if operator else text

    # Where all ends

    def _judge_ends(self) -> int:
        """From every state a free way must lead to where nothing but settled states follows: how
        many are settled.
        """
        judged, states = self._judged, enumerate(self.states)
        settled = [number for number, state in states if judged[state & DEVICE_AND_RECORD]]
        if (found := stuck(settled, self._edges, self._ends)) >= 0:
            what = "6: once faults stop, it never settles"
            self.violations.append(Violation(what, self.story(found)))
        return len(settled)
