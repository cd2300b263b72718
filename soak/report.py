"""What the soak found, in tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from soak.faults import Fault, Kind
from soak.growth import Growth, longest_life, slope_kib_per_min
from soak.plan import How, Part
from soak.plane import Upgrade
from soak.releases import BY_VERSION
from soak.tables import Table
from soak.watching import LOST_S


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    minutes: float
    devices: int
    rounds: int
    commit: str
    upgrades: Sequence[Upgrade]
    refused: Counter[str]
    """Orders and aborts that the operator did not take, or could not be asked for: by kind."""
    dealt: Counter[tuple[Part, How]]
    left_out: int
    longest_settling_s: float
    longest_without_agent_s: float
    longest_silent_s: float
    """Between two heartbeats of one device, with its power on, whatever else was killed."""
    growth: Growth
    faults: Sequence[Fault] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.faults and bool(self.upgrades)


def tables(report: Report) -> Iterable[Table]:
    yield "The run", ("what", "value"), _run(report)
    counts = Counter(fault.kind for fault in report.faults)
    yield "Faults", ("what", "number"), [(kind, str(counts[kind])) for kind in Kind]
    yield "Upgrades", ("release", "ended", "number"), _verdicts(report.upgrades)
    blows = [(part, how, str(report.dealt[part, how])) for part in Part for how in How]
    yield "Blows", ("what", "how", "number"), blows
    header = ("process", "KiB, first", "KiB, last", "files, first", "files, last", "lived", "slope")
    yield "Growth", header, _growth(report.growth)


def _run(report: Report) -> list[tuple[str, ...]]:
    data = report.growth.data_kib or [0]
    refused = sum(report.refused.values())
    kinds = ", ".join(f"{kind} {number}" for kind, number in report.refused.most_common())
    return [
        ("verdict", "passed" if report.passed else "FAILED"),
        ("seed", str(report.seed)),
        ("minutes", f"{report.minutes:.1f}"),
        ("devices", str(report.devices)),
        ("rounds", str(report.rounds)),
        ("commit", report.commit),
        ("upgrades", str(len(report.upgrades))),
        ("orders and aborts not taken", f"{refused} ({kinds})" if kinds else "0"),
        ("blows", str(report.dealt.total())),
        ("blows left out, for want of an aim", str(report.left_out)),
        (
            f"longest time without an agent, power on (bound {LOST_S:g} s)",
            f"{report.longest_without_agent_s:.2f} s",
        ),
        ("longest time without a heartbeat, power on", f"{report.longest_silent_s:.2f} s"),
        ("longest time to settle, in calm", f"{report.longest_settling_s:.1f} s"),
        ("data folder, first and last calm", f"{data[0]} KiB, {data[-1]} KiB"),
    ]


def _verdicts(upgrades: Sequence[Upgrade]) -> list[tuple[str, ...]]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in upgrades:
        ended = f"{one.phase}, {one.cause}" if one.cause else one.phase
        counts[BY_VERSION[one.version].what, ended] += 1
    order = list(dict.fromkeys(release.what for release in BY_VERSION.values()))
    ranked = sorted(counts.items(), key=lambda one: (order.index(one[0][0]), -one[1]))
    return [(what, ended, str(number)) for (what, ended), number in ranked]


def _growth(growth: Growth) -> Sequence[tuple[str, ...]]:
    rows = []
    for name, samples in growth.samples.items():
        first, last, life = samples[0], samples[-1], longest_life(samples)
        rows.append(
            (
                name,
                str(first.rss_kib),
                str(last.rss_kib),
                str(first.descriptors),
                str(last.descriptors),
                f"{(life[-1].at_s - life[0].at_s) / 60:.1f} min",
                f"{slope_kib_per_min(life):+.0f} KiB/min",
            )
        )
    return rows
