"""How a state of the world is one number: those of its parts, each in its place."""

from typing import NamedTuple

from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore.moves import BITS, Moves
from harmony_fleet.simulation.explore.world import Desk, Device, Plane

MASK = (1 << BITS) - 1
FEW = 7
RECORD, DONE, FAULTS, FIRST, SECOND = 2 * BITS, 3 * BITS, 3 * BITS + 3, 3 * BITS + 6, 4 * BITS + 6
"""Where in a state's number the parts behind the device and the plane begin."""

KEPT = MASK << RECORD | FEW << DONE | FEW << FAULTS
"""The record, the wishes uttered, the faults left."""

DEVICE_KEY = MASK | MASK << BITS | FEW << FAULTS
DEVICE_AND_RECORD = MASK | MASK << RECORD
OFFICE_KEY = MASK << BITS | KEPT

JOINT_SHIFT = 3 * BITS + 6
"""Behind the record, the wishes, the faults, and two operators."""


class Parts(NamedTuple):
    """What a state's number stands for."""

    device: Device
    plane: Plane
    record: DeviceRecord
    desks: tuple[Desk, ...]
    wishes: int
    """Uttered."""
    faults: int
    """Left."""


def desks_of(moves: Moves, state: int) -> tuple[int, ...]:
    """Their numbers."""
    first = state >> FIRST & MASK
    return (first, state >> SECOND & MASK) if moves.scenario.operators == 2 else (first,)


def parts_of(moves: Moves, state: int) -> Parts:
    return Parts(
        moves.devices.values[state & MASK],
        moves.planes.values[state >> BITS & MASK],
        moves.records.values[state >> RECORD & MASK],
        tuple([moves.desks.values[desk] for desk in desks_of(moves, state)]),
        state >> DONE & FEW,
        state >> FAULTS & FEW,
    )
