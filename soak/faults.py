"""What can be found at fault, by kind: the report counts them, and each count must be 0."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    LOST = "devices lost"
    STUCK = "upgrades stuck"
    LEFT_OVER = "left-overs"
    LINK = "wrong links or files"
    RECORD = "wrong records"
    VERDICT = "wrong verdicts"
    GROWTH = "growing without end"


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    text: str
    """About which device or process, and what was seen."""
