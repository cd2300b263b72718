"""Whether anything grows: memory and descriptors of each process, and the data folder.

Rules
1. What was measured at the first calm is the start: by then everything has been in use.
2. A process that was killed takes its growth with it. So the slope is that of the process that
   lived longest, without the first third of its life, in which it takes what it needs; and it is
   judged only where that life was `JUDGED_AFTER_S` long, and it took more than `TAKES_KIB`.
3. An agent that nobody touches lives as long as the soak, does the same all the time, and so may
   rise less; where another process plays its part, it was lost.
"""

import os
import statistics
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from soak.faults import Fault, Kind

JUDGED_AFTER_S = 600.0
SLOPE_KIB_PER_MIN = 256.0
UNTOUCHED_KIB_PER_MIN = 64.0
"""About one for each heartbeat."""
TAKES_KIB = {"NATS": 24 * 1024}
"""It takes so much until it has filled the first block of its store and written it anew, which can
be the whole of a life: a server alone rose from 17 to 30 MiB in its first 16,000 heartbeats, and
went up and down between 29 and 41 MiB over 48,000 statuses of 6 KB, at the end no higher."""
MOST_MORE_KIB = 24 * 1024
MOST_MORE_DESCRIPTORS = 24
MOST_MORE_DATA_KIB = 32 * 1024
"""Beyond what was measured first."""
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    pid: int
    rss_kib: int
    descriptors: int


@dataclass
class Growth:
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """By the name of the part, such as the operator or a device's agent."""
    data_kib: list[int] = field(default_factory=list)
    untouched: Set[str] = frozenset()
    """The parts that are neither hit nor upgraded."""

    def measure(self, parts: Iterable[tuple[str, int | None]], data: Path, at_s: float) -> None:
        for name, pid in parts:
            if pid is not None and (found := _sample(pid, at_s)) is not None:
                self.samples.setdefault(name, []).append(found)
        self.data_kib.append(_size_kib(data))

    def last_kib(self, *names: str) -> str:
        """For whoever looks on."""
        known = {name: self.samples[name][-1].rss_kib for name in names if name in self.samples}
        return ", ".join(f"{name} {rss_kib} KiB" for name, rss_kib in known.items())

    def faults(self) -> list[Fault]:
        found = [text for name in self.samples for text in self._faults_of(name)]
        if self.data_kib and self.data_kib[-1] > self.data_kib[0] + MOST_MORE_DATA_KIB:
            found.append(f"the data folder: {self.data_kib[0]} to {self.data_kib[-1]} KiB")
        return [*(Fault(Kind.GROWTH, text) for text in found), *self._lost()]

    def _lost(self) -> Iterable[Fault]:
        for name in sorted(self.untouched & self.samples.keys()):
            lives = len({sample.pid for sample in self.samples[name]})
            if lives > 1:
                yield Fault(Kind.LOST, f"{name}: {lives} processes, though nobody touched it")

    def _faults_of(self, name: str) -> Iterable[str]:
        first, last = self.samples[name][0], self.samples[name][-1]
        if last.rss_kib > first.rss_kib * 1.5 + MOST_MORE_KIB:
            yield f"{name}: from {first.rss_kib} to {last.rss_kib} KiB"
        if last.descriptors > first.descriptors + MOST_MORE_DESCRIPTORS:
            yield f"{name}: from {first.descriptors} to {last.descriptors} descriptors"
        life = longest_life(self.samples[name])
        slope, rose_kib = slope_kib_per_min(life), life[-1].rss_kib - life[0].rss_kib
        long = life[-1].at_s - life[0].at_s >= JUDGED_AFTER_S
        most = UNTOUCHED_KIB_PER_MIN if name in self.untouched else SLOPE_KIB_PER_MIN
        if long and slope > most and rose_kib > TAKES_KIB.get(name, 0):
            yield f"{name}: {slope:.0f} KiB more each minute"


def longest_life(samples: list[Sample]) -> list[Sample]:
    """Of all processes that played this part, those samples."""
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.pid, []).append(sample)
    return max(lives.values(), key=lambda life: life[-1].at_s - life[0].at_s)


def slope_kib_per_min(life: list[Sample]) -> float:
    warm = life[len(life) // 3 :]
    if len(warm) < 3:
        return 0.0
    minutes = [sample.at_s / 60 for sample in warm]
    return statistics.linear_regression(minutes, [sample.rss_kib for sample in warm]).slope


def _sample(pid: int, at_s: float) -> Sample | None:
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        rss = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
        if rss is not None:
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names only
            return Sample(at_s, pid, int(rss.split()[1]), descriptors)
    return None


def _size_kib(folder: Path) -> int:
    """On the disk, without logs, which are bounded by themselves or are the soak's own."""
    sizes = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            if not (file.is_symlink() or "log" in file.suffix or ".log" in file.name):
                sizes += file.stat().st_blocks * 512
    return sizes // _KIB
