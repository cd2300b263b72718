"""Whether a heartbeat is live: stored since this operator connected. Pure. Unsure means no.

Rules
1. A heartbeat is judged by its stream sequence against the baseline, which is the stream as it was
   seen in this connection. Without one nothing is live.
2. A sequence that is not above the baseline is not live, and a reason to look again: it is an old
   value, or the stream was made anew and counts from 1 again.
3. A stream with another creation time gives a new baseline at its last sequence then: what it had
   stored by that look is not counted. One that only seems to have gone back gives none.
4. Each loss ends the baseline. What was asked for in one connection is none in another.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class StreamState:
    created: str
    """RFC 3339. Another one than before: the stream was lost and made anew."""
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Liveness:
    connection: int = 0
    """Counts the losses: the number of what is between two of them."""
    baseline: StreamState | None = None


class Verdict(StrEnum):
    LIVE = "live"
    NOT_LIVE = "not_live"
    LOOK_AGAIN = "look_again"
    """Not live; and the stream may be another one than the baseline's."""


def lost(liveness: Liveness) -> Liveness:
    return Liveness(liveness.connection + 1)


def looked(liveness: Liveness, asked_in: int, state: StreamState) -> Liveness:
    """After a look at the stream that was asked for in the connection of that number."""
    known = liveness.baseline
    if asked_in != liveness.connection or (known and known.created == state.created):
        return liveness
    return Liveness(liveness.connection, state)


def judge(liveness: Liveness, sequence: int | None) -> Verdict:
    """`sequence` is None where the message names none that can be read."""
    if liveness.baseline is None or sequence is None:
        return Verdict.NOT_LIVE
    return Verdict.LIVE if sequence > liveness.baseline.last_sequence else Verdict.LOOK_AGAIN
