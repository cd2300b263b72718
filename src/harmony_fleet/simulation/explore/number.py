"""How a state of the world is one number: those of its parts, each in its place."""

from harmony_fleet.simulation.explore.moves import BITS, Moves

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


def desks_of(moves: Moves, state: int) -> tuple[int, ...]:
    """Their numbers."""
    first = state >> FIRST & MASK
    return (first, state >> SECOND & MASK) if moves.scenario.operators == 2 else (first,)
