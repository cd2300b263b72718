"""The verdict as a person reads it: whole at 80 columns, a line for devices that ended alike."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from demo.stage import TIMING
from demo.story import Outcome
from demo.watcher import Finding

WIDTH = 80
INDENT = "  "
HEADERS = ("release", "devices", "ended", "cause", "runs", "starts", "absent", "silent")
WIDE = (7, 7, 10, 16, 5, 6, 6, 6)
LEGEND = (
    "runs: the version each device runs in the end, by the file its agent holds open",
    f"starts: of that release as the permanent agent (the guard allows {TIMING.starts_allowed})",
    "absent: the longest time without any agent process",
    "silent: the longest time between two heartbeats",
)
_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")

Line = tuple[str, str]
"""A style and a text."""


def lines(outcomes: Sequence[Outcome]) -> Iterator[Line]:
    """The table with each cause's own words, and what its columns mean."""
    yield "bold", _row(HEADERS)
    for outcome in outcomes:
        yield from _of_release(outcome)
    yield "", ""
    for text in LEGEND:
        yield "dim", text


def summary(outcome: Outcome) -> str:
    """After its step, in a sentence."""
    expected, wrong = outcome.step.expected, sum(bool(one.faults) for one in outcome.findings)
    if wrong:
        return f"not as it must be on {wrong} of {len(outcome.findings)} devices"
    runs = f"all {len(outcome.findings)} devices run {expected.version}"
    if expected.cause is None:
        return f"as it must be: {runs}"
    return f"as it must be: {expected.release} did not get through, {runs}"


def _of_release(outcome: Outcome) -> Iterator[Line]:
    alike = sorted(outcome.findings, key=_ended)
    for _, group in groupby(alike, key=_ended):
        found = list(group)
        faulty = bool(found[0].faults)
        yield "red" if faulty else "", _row(_cells(outcome, found, faulty))
        if faulty:
            for one in found:
                yield from _wrapped("red", f"{one.device_id}: {'; '.join(one.faults)}")
        elif said := quoted(found[0].words, outcome.step.expected.words):
            yield from _wrapped("dim", said)


def _ended(found: Finding) -> tuple[bool, str, str, str, int]:
    """Devices with the same share a line."""
    what = (found.phase, found.cause, found.version)
    phase, cause, version = (one or "" for one in what)
    return bool(found.faults), phase, cause, version, found.starts


def _cells(outcome: Outcome, found: list[Finding], faulty: bool) -> tuple[str, ...]:
    first = found[0]
    return (
        outcome.step.version,
        f"{len(found)}/{len(outcome.findings)} {'bad' if faulty else 'ok'}",
        first.phase or "-",
        first.cause or "-",
        first.version or "-",
        f"{first.starts}".rjust(6),
        f"{max(one.without_agent_s for one in found):.2f} s",
        f"{max(one.heartbeat_gap_s for one in found):.2f} s",
    )


def quoted(words: str, fragment: str) -> str:
    """The line that says `fragment`, from there on where it is a sentence; hashes are cut."""
    line = next((line.strip() for line in words.splitlines() if fragment in line), "")
    if not fragment or not line:
        return ""
    if len(line) > 2 * WIDTH:
        line = "… " + line[line.index(fragment) :].split(";")[0]
    return _HASH.sub(r"\1…", line)


def _row(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(wide) for cell, wide in zip(cells, WIDE, strict=True)).rstrip()


def _wrapped(style: str, text: str) -> Iterator[Line]:
    for line in textwrap.wrap(
        text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
    ):
        yield style, line
