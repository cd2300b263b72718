"""How long a device was without a ready agent. Pure.

The definition, for all contenders alike: a process is a ready agent from the instant when systemd
took its READY, as main process of the permanent unit or of the candidate's, until it has ended.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class NotSeen(Exception):
    """What was watched has a hole: no figure may be made of it. Its text says which."""


@dataclass(frozen=True, slots=True)
class Life:
    """Of one agent process. Instants are monotonic seconds."""

    unit: str
    pid: int
    seen_s: float
    """When it was first seen to run the agent; it was started a little before."""
    ended_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Ready:
    """systemd took the READY of the unit's main process."""

    unit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Span:
    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s


def ready_spans(
    lives: Sequence[Life], readies: Iterable[Ready], begin_s: float, slack_s: float
) -> list[Span]:
    """Those that were there at the beginning were ready, which whoever watches has looked at.

    `slack_s`: so much later than its READY may a process have been seen first. Raises NotSeen.
    """
    spans = [Span(begin_s, one.ended_s) for one in lives if one.seen_s <= begin_s <= one.ended_s]
    for ready in readies:
        ran = [one for one in lives if one.unit == ready.unit and one.ended_s >= ready.at_s]
        life = min(ran, key=lambda one: one.seen_s, default=None)
        if life is None or life.seen_s - slack_s > ready.at_s:
            raise NotSeen(f"{ready.unit} was READY at {ready.at_s:.3f}, and no process was seen")
        spans.append(Span(ready.at_s, life.ended_s))
    return spans


def gaps(spans: Iterable[Span], whole: Span) -> list[Span]:
    """The parts of `whole` in none of the spans."""
    found, until_s = [], whole.begin_s
    for span in sorted(spans, key=lambda one: one.begin_s):
        if span.begin_s > until_s:
            found.append(Span(until_s, min(span.begin_s, whole.end_s)))
        until_s = max(until_s, span.end_s)
        if until_s >= whole.end_s:
            return found
    return [*found, Span(until_s, whole.end_s)]
