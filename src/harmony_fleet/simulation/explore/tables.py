"""The moves of each state of the world, as differences of its number, each table worked out once.

What a move changes is the same wherever the parts that it concerns are: those of a device depend on
it and the plane, those of an operator on it, the plane and the record. What joins them is put
together for each state anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

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
)
from harmony_fleet.simulation.explore.office import new_desk
from harmony_fleet.simulation.explore.start import installed
from harmony_fleet.simulation.explore.world import Sight

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


class Tables:
    def __init__(self, moves: Moves) -> None:
        self.moves = moves
        places = (FIRST, SECOND)[: moves.scenario.operators]
        self.two = len(places) == 2
        self._with_stops: set[int] = set()
        self._device_tables: dict[int, tuple[Table, Joint | None]] = {}
        self._joints: dict[tuple[tuple[int, int, str], ...], int] = {}
        self._joint_tables: dict[int, Table] = {}
        self._office_keys = [OFFICE_KEY | MASK << place for place in places]
        self._office_tables: list[dict[int, tuple[Table, OfficeMoves]]] = [{} for _ in places]

    def start(self, faults: int) -> int:
        """A device that idles, and is known, as after its installation."""
        moves = self.moves
        device, plane, record = installed(self.moves.scenario.plain)
        desk = moves.desks.number(new_desk(record, Sight.LOOKED))
        return self._packed(
            moves.devices.number(device),
            moves.planes.number(plane),
            moves.records.number(record) << RECORD | faults << FAULTS,
            (desk,) * self.moves.scenario.operators,
        )

    def of(self, state: int) -> list[Table]:
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
        if self.two:
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
        return stopping or (self.two and state >> SECOND & MASK in self._with_stops)

    def _office_table(self, state: int, number: int) -> tuple[Table, OfficeMoves]:
        """Of an operator alone; and the moves by which the other one's sight becomes an old one."""
        desks, saving = self._desks(state), list[OfficeMove]()
        record, edges = state >> RECORD & MASK, list[Edge]()
        for move in self._office_moves(state, number):
            if self.two and move.record != record:
                saving.append(move)
            else:
                edges.append(self._office_moved(state, number, move, desks))
        if not self.two:
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
            for upgrade_id in sorted(moves.desks.values[desk].channel.stops):
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
        if (done := state >> DONE & FEW) < len(self.moves.scenario.wishes):
            for move in moves.wished(desk, record, done):
                yield move._replace(plane=plane)

    def _office_moved(self, state: int, number: int, move: OfficeMove, desks: Desks) -> Edge:
        label, cost, desk, plane, record, wishes, breach = move
        now = list(desks)
        if self.two and record != state >> RECORD & MASK:
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
        if self.two:
            rest |= desks[1] << SECOND
        return device | plane << BITS | rest | desks[0] << FIRST

    def in_order(self, state: int) -> int:
        """Which of two operators is which makes no difference, unless the device knows one."""
        first, second = state >> FIRST & MASK, state >> SECOND
        if not self.two or first <= second or self.moves.knows_who(state & MASK):
            return state
        return state + ((second - first) << FIRST) - ((second - first) << SECOND)

    def _desks(self, state: int) -> Desks:
        return desks_of(self.moves, state)
