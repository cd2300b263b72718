"""From the turns of all rounds to figures: medians, their spread, the ratios and the goals."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.device.turn import Turn
from benchmarks.table import Figure, median

OURS, THEIRS = "harmony-fleet", "ansible"
FASTER = 3.5
LESS_CPU = 100.0
_TAKES = {OURS: "marker written to committed"}
_TYPED = "typed to healthy"
_IN_MS = 1000

Turns = Mapping[str, Sequence[Turn]]
"""By contender, in the order of the rounds."""


def figures(turns: Turns, number: int) -> Iterator[Figure]:
    """Of a site of that many devices."""
    where = "" if number == 1 else f"{number} x "
    for name, own in turns.items():
        what = f"{where}{name}: {_TAKES.get(name, _TYPED)}"
        yield _of(own, what, "s", lambda turn: turn.seconds)
        if name == OURS:
            yield from _ours(own, where)
    yield _ratio(turns, f"{where}faster than {THEIRS}", FASTER, lambda turn: turn.seconds)
    for name, own in turns.items():
        worst_s = max(turn.seen.without_s for turn in own)
        what, goal = f"{where}{name}: without a ready agent", 0 if name == OURS else None
        middle = f"at most; median {median([turn.seen.without_s for turn in own]):.3g}"
        yield Figure(what, worst_s, "s", goal, middle)
    for name, own in turns.items():
        if not any(math.isnan(turn.cpu_s) for turn in own):
            what = f"{where}{name}: control-plane CPU"
            yield _of(own, what, "ms", lambda turn: turn.cpu_s * _IN_MS)
    for name, own in turns.items():
        what = f"{where}{name}: CPU of the device{'' if number == 1 else 's'}"
        yield _of(own, what, "ms", lambda turn: turn.seen.cpu_s * _IN_MS)
    what = f"{where}control-plane CPU less than {THEIRS}'s"
    yield _ratio(turns, what, LESS_CPU, lambda turn: turn.cpu_s)


def stages(turns: Turns) -> Iterator[Figure]:
    """Where the time of one device goes; for information."""
    own = turns[OURS]
    for name in own[0].more:
        if name.startswith("at "):
            what = f"{OURS}: {name.removeprefix('at ')}, after the marker"
            yield _of(own, what, "s", _more(name))


def _ours(own: Sequence[Turn], where: str) -> Iterator[Figure]:
    missed, beats = (sum(turn.more[name] for turn in own) for name in ("missed", "beats"))
    what = f"{where}{OURS}:"
    yield _of(own, f"{what} marker written to handed over", "s", _more("handover"))
    yield _of(own, f"{what} command typed to committed", "s", _more("typed"))
    yield Figure(f"{what} heartbeats missed", missed, "", 0, f"of {beats:.0f}")
    for part in ("operator", "nats"):
        yield _of(own, f"{what} CPU of {part}", "ms", _more(f"{part} cpu", _IN_MS))
    yield _of(own, f"{what} CPU of `fleet upgrade` itself", "ms", _more("typed cpu", _IN_MS))


def _more(name: str, times: float = 1.0) -> Callable[[Turn], float]:
    return lambda turn: turn.more[name] * times


def _of(own: Sequence[Turn], what: str, unit: str, of: Callable[[Turn], float]) -> Figure:
    values = [of(turn) for turn in own]
    return Figure(what, median(values), unit, None, _spread(values))


def _spread(values: Sequence[float]) -> str:
    least, most = (_short(one) for one in (min(values), max(values)))
    return f"{least} to {most} in {len(values)} rounds"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio(turns: Turns, what: str, goal: float, of: Callable[[Turn], float]) -> Figure:
    """Of the medians; the note has the least and the most of any one round."""
    ours, theirs = ([of(turn) for turn in turns[name]] for name in (OURS, THEIRS))
    each = [other / own for own, other in zip(ours, theirs, strict=True)]
    value = median(theirs) / median(ours)
    return Figure(what, value, "times", goal, _spread(each), at_least=True)
