"""Visits every state that a scenario can reach within its budget of faults, each once, in breadth.

The first way to a state is a shortest one. A move that is no fault and that nobody wishes for is
free: once faults stop, the free moves are all that happens, and each that stays possible happens.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from time import monotonic

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.simulation.explore import checks
from harmony_fleet.simulation.explore.ends import reached_back
from harmony_fleet.simulation.explore.moves import BITS, DeviceMove, Moves, OfficeMove
from harmony_fleet.simulation.explore.number import (
    DEVICE_KEY,
    DONE,
    FAULTS,
    FEW,
    FIRST,
    JOINT_SHIFT,
    KEPT,
    MASK,
    OFFICE_KEY,
    RECORD,
    SECOND,
    desks_of,
    parts_of,
)
from harmony_fleet.simulation.explore.office import new_desk
from harmony_fleet.simulation.explore.start import installed
from harmony_fleet.simulation.explore.world import Scenario, Sight

Desks = tuple[int, ...]
Table = tuple[tuple[int, int, bool, str], ...]
"""Of moves: what each adds to the state's number, its label, whether it is free, what it breaks."""
OfficeMoves = tuple[OfficeMove, ...]
Edge = tuple[int, int, bool, str]
"""The state after a move, its label, whether it is free, and what it breaks."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The moves of a device that reach the operators."""

    moves: tuple[DeviceMove, ...]
    only_said: bool
    """Neither the device nor the plane changes by them."""
    number: int
    """The same for all that say the same."""


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
        self._known: dict[int, int] = {}
        self._parents, self._how = array("i"), array("i")
        self._edges, self._ends = array("I"), array("Q")
        self._fine: set[int] = set()
        self._with_stops: set[int] = set()
        self._device_tables: dict[int, tuple[Table, Joint | None]] = {}
        self._joints: dict[tuple[tuple[int, int, str], ...], int] = {}
        self._joint_tables: dict[int, Table] = {}
        places = (FIRST, SECOND)[: scenario.operators]
        self._two = len(places) == 2
        self._office_keys = [OFFICE_KEY | MASK << place for place in places]
        self._office_tables: list[dict[int, tuple[Table, OfficeMoves]]] = [{} for _ in places]
        self.violations: list[Violation] = []
        self.transitions = 0

    def run(self) -> Explored:
        """Until all is visited, or something is found that must not be."""
        begun_s = monotonic()
        self._meet(self._start(), -1, 0)
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
        reached = {self._start()}
        for number, line in enumerate(story):
            after: set[int] = set()
            for state in reached:
                for difference, label, _, breach in chain.from_iterable(self._tables(state)):
                    if self._label(label) == line:
                        if breach:
                            return breach
                        after.add(self._in_order(state + difference))
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

    def _start(self) -> int:
        """A device that idles, and is known, as after its installation."""
        moves = self.moves
        device, plane, record = installed(self.scenario.plain)
        desk = moves.desks.number(new_desk(record, Sight.LOOKED))
        return self._packed(
            moves.devices.number(device),
            moves.planes.number(plane),
            moves.records.number(record) << RECORD | self.faults << FAULTS,
            (desk,) * self.scenario.operators,
        )

    def _expand(self, number: int) -> None:
        """What a move changes is the same wherever the parts that it concerns are: a difference."""
        state, known, edges, two = self.states[number], self._known, self._edges, self._two
        for table in self._tables(state):
            self.transitions += len(table)
            for difference, label, free, breach in table:
                after = state + difference
                if two and after >> FIRST & MASK > after >> SECOND:
                    after = self._in_order(after)
                there = known.get(after)
                if there is None:
                    there = self._meet(after, number, label)
                if free:
                    edges.append(there)
                if breach:
                    self._violated(breach, number, label)
        self._ends.append(len(edges))

    def _tables(self, state: int) -> list[Table]:
        """The moves of the device with the plane, of each operator, and those that join all."""
        key = state & DEVICE_KEY
        found = self._device_tables.get(key)
        if found is None:
            found = self._device_tables[key] = self._device_table(state)
        alone, joint = found
        tables = [alone]
        saving: list[OfficeMoves] = []
        for number, mask in enumerate(self._office_keys):
            key = state & mask
            office = self._office_tables[number].get(key)
            if office is None:
                office = self._office_tables[number][key] = self._office_table(state, number)
            tables.append(office[0])
            saving.append(office[1])
        if self._two:
            tables.append(self._table(state, self._of_both(state, saving)))
        if joint:
            tables.append(self._joint_table(state, joint))
        if self._stopping(state):
            tables.append(self._table(state, self._stop_moves(state)))
        return tables

    def _joint_table(self, state: int, joint: Joint) -> Table:
        """What is only said changes an operator alone, whatever the device and the plane are."""
        if not joint.only_said:
            return self._table(state, self._joint_moves(state, joint.moves))
        key = joint.number << JOINT_SHIFT | state >> RECORD
        table = self._joint_tables.get(key)
        if table is None:
            table = self._table(state, self._joint_moves(state, joint.moves))
            self._joint_tables[key] = table
        return table

    def _stopping(self, state: int) -> bool:
        """A stop is under way to the device."""
        stopping = state >> FIRST & MASK in self._with_stops
        return stopping or (self._two and state >> SECOND & MASK in self._with_stops)

    def _office_table(self, state: int, number: int) -> tuple[Table, OfficeMoves]:
        """Of an operator alone; and the moves by which the other one's sight becomes an old one."""
        desks, saving = self._desks(state), list[OfficeMove]()
        record, edges = state >> RECORD & MASK, list[Edge]()
        for move in self._office_moves(state, number):
            if self._two and move.record != record:
                saving.append(move)
            else:
                edges.append(self._office_moved(state, number, move, desks))
        if not self._two:
            edges += self._of_the_plane(state, desks)
        return self._table(state, edges), tuple(saving)

    def _of_both(self, state: int, saving: Sequence[OfficeMoves]) -> Iterator[Edge]:
        """A record that one of two operators saves, and what becomes of the plane."""
        desks = self._desks(state)
        for number, found in enumerate(saving):
            for move in found:
                yield self._office_moved(state, number, move, desks)
        yield from self._of_the_plane(state, desks)

    def _table(self, state: int, edges: Iterable[Edge]) -> Table:
        return tuple(
            [
                (after - state, label, free, breach)
                for after, label, free, breach in edges
                if after != state or breach
            ]
        )

    def _device_table(self, state: int) -> tuple[Table, Joint | None]:
        """And those of its moves that reach an operator, whose difference depends on that."""
        moves, faults = self.moves, state >> FAULTS & FEW
        device, plane = state & MASK, state >> BITS & MASK
        found: list[DeviceMove] = []
        for faulty in (False, True) if faults else (False,):
            found += [move._replace(plane=plane) for move in moves.own(device, faulty)]
            found += moves.met(device, plane, faulty)
        may = [move for move in found if move.cost <= faults]
        joint = [move for move in may if move.said or move.answers]
        desks = self._desks(state)
        alone = (move for move in may if not (move.said or move.answers))
        table = self._table(state, (self._moved(state, move, desks) for move in alone))
        return table, self._joint(joint, device, plane)

    def _joint(self, moves: Sequence[DeviceMove], device: int, plane: int) -> Joint | None:
        if not moves:
            return None
        only_said = all(
            (move.device, move.plane, move.cost, move.answers) == (device, plane, 0, ())
            for move in moves
        )
        said = tuple((move.label, move.said, move.breach) for move in moves)
        number = self._joints.setdefault(said, len(self._joints))
        return Joint(tuple(moves), only_said, number)

    def _joint_moves(self, state: int, moves: Sequence[DeviceMove]) -> Iterator[Edge]:
        desks = self._desks(state)
        for move in moves:
            yield self._moved(state, move, desks)

    def _stop_moves(self, state: int) -> Iterator[Edge]:
        desks, faults = self._desks(state), state >> FAULTS & FEW
        device, plane = state & MASK, state >> BITS & MASK
        if self.moves.planes.values[plane].device:
            for faulty in (False, True) if faults else (False,):
                for stop, left in self._stops(device, desks, faulty):
                    if stop.cost <= faults:
                        yield self._moved(state, stop._replace(plane=plane), left)

    def _meet(self, state: int, parent: int, label: int) -> int:
        number = self._known[state] = len(self.states)
        self.states.append(state)
        self._parents.append(parent)
        self._how.append(label)
        device, record = state & MASK, state >> RECORD & MASK
        if (pair := device << BITS | record) not in self._fine:
            breach = checks.of_record(
                self.moves.devices.values[device], self.moves.records.values[record]
            )
            if breach:
                self._violated(breach, number, -1)
            self._fine.add(pair)
        return number

    def _moved(self, state: int, move: DeviceMove, desks: Desks) -> Edge:
        label, cost, device, plane, said, answers, breach = move
        rest = (state & KEPT) - (cost << FAULTS)
        if said:
            rest, desks = self._told(rest, desks, said)
        if answers:
            answered = self.moves.answered
            desks = tuple([answered(desk, n, answers) for n, desk in enumerate(desks)])
        return self._packed(device, plane, rest, desks), label, not cost, breach

    def _told(self, rest: int, desks: Desks, said: int) -> tuple[int, Desks]:
        record, now = rest >> RECORD & MASK, list(desks)
        for number in range(len(desks)):
            now[number], written = self.moves.told(now[number], record, said)
            if written != record:
                for other in range(len(desks)):
                    now[other] = self.moves.stale(now[other]) if other != number else now[other]
            record = written
        return rest & ~(MASK << RECORD) | record << RECORD, tuple(now)

    def _stops(self, device: int, desks: Desks, faulty: bool) -> Iterator[tuple[DeviceMove, Desks]]:
        """One arrives; as a fault it may arrive once more."""
        moves = self.moves
        for number, desk in enumerate(desks):
            for upgrade_id in moves.desks.values[desk].channel.stops:
                left = (*desks[:number], moves.stopless(desk, upgrade_id), *desks[number + 1 :])
                for move in moves.stopped(device, upgrade_id, number, faulty):
                    yield move, left
                if faulty:
                    for move in moves.stopped(device, upgrade_id, number, False):
                        yield move._replace(cost=1), desks

    def _office_moves(self, state: int, number: int) -> Iterator[OfficeMove]:
        moves, desk = self.moves, self._desks(state)[number]
        plane, record = state >> BITS & MASK, state >> RECORD & MASK
        yield from moves.done(desk, plane, record, False)
        if state >> FAULTS & FEW:
            yield from moves.done(desk, plane, record, True)
        if (done := state >> DONE & FEW) < len(self.scenario.wishes):
            for move in moves.wished(desk, record, done):
                yield move._replace(plane=plane)

    def _office_moved(self, state: int, number: int, move: OfficeMove, desks: Desks) -> Edge:
        label, cost, desk, plane, record, wishes, breach = move
        now = list(desks)
        if self._two and record != state >> RECORD & MASK:
            now[1 - number] = self.moves.stale(now[1 - number])
        now[number] = desk
        kept = state & (FEW << DONE | FEW << FAULTS)
        rest = kept + (wishes << DONE) - (cost << FAULTS) | record << RECORD
        packed = self._packed(state & MASK, plane, rest, tuple(now))
        return packed, (number + 1) << 24 | label, not cost and not wishes, breach

    def _of_the_plane(self, state: int, desks: Desks) -> Iterator[Edge]:
        moves = self.moves
        device, plane, record = state & MASK, state >> BITS & MASK, state >> RECORD & MASK
        rest, there = state & KEPT, moves.planes.values[plane]
        if not there.up:
            for label, back in moves.returns(plane):
                yield self._packed(device, back, rest, desks), label, True, ""
        elif state >> FAULTS & FEW:
            rest -= 1 << FAULTS
            away = tuple([moves.cut_desk(desk, record, True) for desk in desks])
            label = moves.labels.number("the message plane goes away")
            yield self._packed(device, moves.outage(plane), rest, away), label, False, ""
            if there.device:
                cut = tuple([moves.cut_desk(desk, record, False) for desk in desks])
                label = moves.labels.number("the device's connection breaks")
                yield self._packed(device, moves.cut(plane), rest, cut), label, False, ""

    def _packed(self, device: int, plane: int, rest: int, desks: Desks) -> int:
        if not rest >> FAULTS & FEW:
            plane = self.moves.plain(plane)
        for desk in desks:
            if desk not in self._with_stops and self.moves.desks.values[desk].channel.stops:
                self._with_stops.add(desk)
        if self._two:
            rest |= desks[1] << SECOND
        return device | plane << BITS | rest | desks[0] << FIRST

    def _in_order(self, state: int) -> int:
        """Which of two operators is which makes no difference."""
        first, second = state >> FIRST & MASK, state >> SECOND
        if not self._two or first <= second:
            return state
        return state + ((second - first) << FIRST) - ((second - first) << SECOND)

    def _desks(self, state: int) -> Desks:
        return desks_of(self.moves, state)

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
        """Every state must have a free way to one that is settled: how many are."""
        settled = [number for number in range(len(self.states)) if self._settled(number)]
        reached = reached_back(settled, self._edges, self._ends)
        stuck = reached.find(0)
        if stuck >= 0:
            what = "6: once faults stop, it never settles"
            self.violations.append(Violation(what, self.story(stuck)))
        return len(settled)

    def _settled(self, number: int) -> bool:
        parts = parts_of(self.moves, self.states[number])
        return checks.settled(parts.device, parts.record, self.scenario.kind)
