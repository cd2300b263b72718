"""Devices by phase over time, as an SVG: areas on each other, a legend, and the outages. Pure.

Its colours are those of Okabe and Ito, which colour-blind people tell apart; and an area that has
room says its own name. Light or dark goes by what the reader's screen prefers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

NOT_ORDERED: Final = ""
"""Instead of a phase: no order has been stored yet."""
COLUMNS: Final = 360
"""Instants that a picture has room for."""
_WIDTH, _HEIGHT = 960, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 700, 118, 460
"""Of the plot."""
_LETTER: Final = 6.6
"""Pixels, of a letter of 12 pixels' height."""
_LABEL_HEIGHT: Final = 20
_MOST_TICKS: Final = 7
_STEPS_S: Final = tuple(
    unit * step
    for unit, steps in (
        (1, (1, 2, 5, 10, 15, 30)),
        (60, (1, 2, 5, 10, 15, 30)),
        (3600, (1, 2, 3, 6, 12)),
        (86400, (1, 2, 7, 14, 28, 56, 112)),
    )
    for step in steps
)


@dataclass(frozen=True, slots=True)
class Band:
    phase: str
    words: str
    colour: str
    ink: str = "#111"
    """Of letters on it."""


BANDS: Final = (
    Band(Phase.SUCCEEDED, "succeeded", "#009e73"),
    Band(Phase.ROLLED_BACK, "rolled back", "#d55e00"),
    Band(Phase.FAILED, "failed, nothing changed", "#cc79a7"),
    Band(Phase.UNRESOLVED, "ended without a verdict", "#555555", "#fff"),
    Band(Phase.NEVER_STARTED, "never started", "#777777", "#fff"),
    Band(Phase.REVERTING, "on the way back", "#882255", "#fff"),
    Band(Phase.COMMITTED, "committed, in probation", "#56b4e9"),
    Band(Phase.CUTOVER_READY, "both versions run", "#e69f00"),
    Band(Phase.VERIFYING, "testing it", "#f0e442"),
    Band(Phase.STAGING, "downloading", "#0072b2", "#fff"),
    Band(Phase.PENDING, "ordered, not heard of", "#9a9a9a"),
    Band(Phase.UNKNOWN, "unknown", "#bbbbbb"),
    Band(NOT_ORDERED, "not ordered yet", "#d4d4d4"),
)
"""From the ground up: what has ended lies lowest."""


@dataclass(frozen=True, slots=True)
class Outage:
    from_s: float
    to_s: float
    words: str


@dataclass(frozen=True, slots=True)
class Drawing:
    title: str
    lines: tuple[str, str]
    """Below it."""
    devices: int
    instants: Sequence[float]
    counts: Mapping[str, Sequence[int]]
    """Of each phase at each instant."""
    outages: tuple[Outage, ...] = ()


def instants(ends_s: float) -> list[float]:
    """What to count at: from the first order to the end of all."""
    return [ends_s * n / COLUMNS for n in range(COLUMNS + 1)]


def svg(drawing: Drawing) -> str:
    frame = _Frame(drawing)
    stacked = list(_stacked(drawing))
    parts = [
        _HEAD,
        f"<title>{escape(drawing.title)}</title>",
        f"<desc>{escape(' '.join(drawing.lines))}</desc>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        _text(24, 32, drawing.title, "title"),
        *(_text(24, 54 + 19 * n, line, "muted") for n, line in enumerate(drawing.lines)),
        *(_area(frame, band, low, high) for band, low, high in stacked),
        *_axes(frame),
        *(part for outage in drawing.outages for part in _outage(frame, outage)),
        *(label for band, low, high in stacked for label in _own_name(frame, band, low, high)),
        *_legend(drawing, [band for band, _, _ in stacked]),
        "</svg>\n",
    ]
    return "\n".join(parts)


class _Frame:
    """From seconds and devices to pixels."""

    def __init__(self, drawing: Drawing) -> None:
        self.instants, self.devices = drawing.instants, drawing.devices
        self.ends_s = drawing.instants[-1]

    def x(self, at_s: float) -> float:
        share = min(1.0, max(0.0, at_s / self.ends_s))
        return _LEFT + (_RIGHT - _LEFT) * share

    def y(self, devices: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * devices / self.devices


_Edge = Sequence[int]
_Stacked = tuple[Band, _Edge, _Edge]
"""Devices below its lower edge, and below its upper one."""


def _stacked(drawing: Drawing) -> Iterator[_Stacked]:
    """What never was is left out."""
    low: _Edge = [0] * len(drawing.instants)
    for band in BANDS:
        found = drawing.counts.get(band.phase)
        if found is not None and any(found):
            high = [below + here for below, here in zip(low, found, strict=True)]
            yield band, low, high
            low = high


def _area(frame: _Frame, band: Band, low: _Edge, high: _Edge) -> str:
    there = list(_corners(frame, high))
    back = list(_corners(frame, low))
    points = " ".join((*there, *reversed(back)))
    name = escape(band.words)
    return (
        f'<polygon class="area" fill="{band.colour}" points="{points}"><title>{name}</title>'
        "</polygon>"
    )


def _corners(frame: _Frame, edge: _Edge) -> Iterator[str]:
    """Where it turns, and no point between two of these."""
    last = len(edge) - 1
    for n, (at_s, devices) in enumerate(zip(frame.instants, edge, strict=True)):
        if 0 < n < last and edge[n - 1] == devices == edge[n + 1]:
            continue
        yield f"{frame.x(at_s):.1f},{frame.y(devices):.1f}"


def _own_name(frame: _Frame, band: Band, low: _Edge, high: _Edge) -> Iterator[str]:
    """Where the area is highest over its whole width, if that is high enough."""
    wide = _LETTER * len(band.words) + 12
    span = round(wide / (_RIGHT - _LEFT) * (len(frame.instants) - 1))
    places = []
    for first in range(len(low) - span):
        bottom = frame.y(max(low[first : first + span + 1]))
        top = frame.y(min(high[first : first + span + 1]))
        places.append((round(bottom - top), first, (bottom + top) / 2))
    best = max((height for height, _, _ in places), default=0)
    if best >= _LABEL_HEIGHT:
        highest = [place for place in places if place[0] == best]
        _, first, y = highest[len(highest) // 2]
        at = f'x="{frame.x(frame.instants[first]) + wide / 2:.0f}" y="{y + 4:.0f}"'
        yield f'<text {at} class="middle" style="fill: {band.ink}">{escape(band.words)}</text>'


# Axes


def _axes(frame: _Frame) -> Iterator[str]:
    for devices in _ticks(frame.devices):
        y = frame.y(devices)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>'
        yield _text(_LEFT - 10, y + 4, f"{devices:,}", "end")
    for at_s in _moments(frame.ends_s):
        x = frame.x(at_s)
        yield f'<path class="line" d="M{x:.1f} {_BOTTOM}v6"/>'
        yield _text(x, _BOTTOM + 22, moment(at_s), "middle")
    yield f'<path class="line" d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"/>'
    yield _text((_LEFT + _RIGHT) / 2, _BOTTOM + 46, "time since the first order", "middle muted")
    x, y = 22, (_TOP + _BOTTOM) / 2
    turned = f'class="middle muted" transform="rotate(-90 {x} {y})"'
    yield f'<text x="{x}" y="{y}" {turned}>devices</text>'


def _ticks(most: int) -> list[int]:
    """Round numbers."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(one for one in steps if most / one < _MOST_TICKS)
    return list(range(0, most + 1, step))


def _moments(ends_s: float) -> list[float]:
    fitting = (step for step in _STEPS_S if ends_s / step <= _MOST_TICKS)
    step = next(fitting, _STEPS_S[-1])
    return [step * n for n in range(int(ends_s // step) + 1)]


def moment(at_s: float) -> str:
    """`0`, `2.5 s`, `30 s`, `5 min`, `1 min 30 s`, `2 h`, `1 h 30 min`, `3 d`."""
    if 0 < round(at_s, 1) < 60:
        return f"{round(at_s, 1):g} s"
    left, words = round(at_s), []
    for name, unit_s in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= unit_s:
            words.append(f"{left // unit_s} {name}")
            left %= unit_s
    return " ".join(words) or "0"


# Outages and legend


def _outage(frame: _Frame, outage: Outage) -> Iterator[str]:
    if outage.from_s >= frame.ends_s:
        return
    left, right = frame.x(outage.from_s), frame.x(outage.to_s)
    high = f'y="{_TOP}" height="{_BOTTOM - _TOP}"'
    yield f'<rect fill="url(#away)" x="{left:.1f}" width="{right - left:.1f}" {high}/>'
    yield f'<path class="line" d="M{left:.1f} {_TOP}v-8H{right:.1f}v8"/>'
    if (left + right) / 2 > (_LEFT + _RIGHT) / 2:
        yield _text(right, _TOP - 13, outage.words, "end")
    else:
        yield _text(left, _TOP - 13, outage.words, "start")


def _legend(drawing: Drawing, bands: Sequence[Band]) -> Iterator[str]:
    x, y, end = _RIGHT + 22, _TOP + 8, _WIDTH - 16
    yield _text(x, y, "what the operator knows", "muted")
    yield _text(end, y, "in the end", "end muted")
    for n, band in enumerate(reversed(bands)):
        at = y + 26 + 24 * n
        last = drawing.counts[band.phase][-1]
        swatch = f'x="{x}" y="{at - 11}" width="14" height="14" rx="2"'
        yield f'<rect class="area" {swatch} fill="{band.colour}"/>'
        yield _text(x + 22, at, band.words, "start")
        if last:
            yield _text(end, at, f"{last:,}", "end")


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{style}">{escape(words)}</text>'


_HEAD: Final = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" \
height="{_HEIGHT}" role="img">
<style>
  text {{ font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; fill: #1a1a1a; }}
  .title {{ font-size: 18px; font-weight: 600; }}
  .muted {{ fill: #555; }}
  .end {{ text-anchor: end; }}
  .middle {{ text-anchor: middle; }}
  .paper {{ fill: #fff; }}
  .area {{ stroke: #fff; stroke-width: 0.7; }}
  .grid {{ stroke: #000; stroke-opacity: 0.13; fill: none; }}
  .line {{ stroke: #777; fill: none; }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #f0f0f0; }}
    .muted {{ fill: #b4b4b4; }}
    .paper {{ fill: #14171a; }}
    .area {{ stroke: #14171a; }}
    .grid {{ stroke: #fff; }}
    .line {{ stroke: #999; }}
  }}
</style>
<defs><pattern id="away" width="8" height="8" patternUnits="userSpaceOnUse" \
patternTransform="rotate(45)"><path d="M0 0V8" stroke="#000" stroke-opacity="0.2" \
stroke-width="1.5"/></pattern></defs>"""
