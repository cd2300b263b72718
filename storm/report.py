"""What was found, in tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from soak.faults import Fault, Kind
from soak.tables import Table

from storm.plan import Attempt
from storm.verdicts import Ended, words_of


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    wanted: int
    """Attempts."""
    devices: str
    """How many, and of what kind."""
    minutes: float
    commit: str
    ended: Sequence[Ended]
    faults: Sequence[Fault]

    @property
    def passed(self) -> bool:
        return not self.faults and len(self.ended) == self.wanted


def tables(report: Report) -> Iterable[Table]:
    yield "The run", ("what", "value"), _run(report)
    counts = Counter(fault.kind for fault in report.faults)
    found = [(kind, str(counts[kind])) for kind in Kind if kind is not Kind.GROWTH]
    yield "Faults", ("what", "number"), found
    ends = Counter((_what(one.attempt), words_of(one)) for one in report.ended)
    yield "Upgrades", ("release", "ended", "number"), _ranked(ends)
    hits = Counter((one.hit, one.hit_in) for one in report.ended if one.hit)
    yield "Hits", ("what", "phase", "number"), _ranked(hits)


def _run(report: Report) -> list[tuple[str, ...]]:
    untouched = sum(one.attempt.hit is not None and one.hit is None for one in report.ended)
    longest = max((one.took_s for one in report.ended), default=0.0)
    return [
        ("verdict", "passed" if report.passed else "FAILED"),
        ("seed", str(report.seed)),
        ("upgrades", f"{len(report.ended)} of {report.wanted}"),
        ("devices", report.devices),
        ("minutes", f"{report.minutes:.1f}"),
        ("commit", report.commit),
        ("hits", str(sum(one.hit is not None for one in report.ended))),
        ("hits left out, for want of an aim", str(untouched)),
        ("longest upgrade", f"{longest:.1f} s"),
    ]


def _what(attempt: Attempt) -> str:
    return (
        "good" if attempt.bad is None else (attempt.bad.overlay or "wrong hash").replace("_", " ")
    )


def _ranked(counts: Counter[tuple[str, str]]) -> list[tuple[str, ...]]:
    ranked = sorted(counts.items(), key=lambda one: (one[0][0] != "good", one[0][0], -one[1]))
    return [(*words, str(number)) for words, number in ranked]
