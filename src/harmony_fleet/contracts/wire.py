"""What all messages have in common: their schema, their size, and how they meet the future.

Apart from `upgrade`, so that a first heartbeat goes out before the upgrade's words are loaded.
"""

from enum import StrEnum
from typing import Final

SCHEMA: Final = 1
"""Raised when a field changes its meaning; new fields alone do not raise it."""

MAX_MESSAGE_BYTES: Final = 16384
"""`max_msg_size` of the streams; whatever is larger is refused before it is read."""


class Tolerant(StrEnum):
    """An enum of the wire: a value that a newer side sent is read as UNKNOWN, and survived."""

    @classmethod
    def _missing_(cls, value: object) -> "Tolerant | None":
        return cls.__members__["UNKNOWN"] if isinstance(value, str) else None
