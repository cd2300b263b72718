"""How long to wait before something is tried again."""

import random
from typing import Final

_DOUBLINGS: Final = 16
BACKOFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a stop that went unanswered so often, or a marker, is tried again; the last repeats."""


def backoff_s(tries: int) -> float:
    """Seconds, after so many tries in vain. Spread, so that a fleet does not ask in step."""
    return BACKOFF_S[min(tries, len(BACKOFF_S) - 1)] * random.uniform(0.5, 1.0)


def doubling_s(times: int, first_s: float, longest_s: float) -> float:
    """Seconds: twice as long for each time, up to the longest, spread over the later half of it."""
    longest = min(longest_s, first_s * 2 ** min(times, _DOUBLINGS))
    return random.uniform(longest / 2, longest)
