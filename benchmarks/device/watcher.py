"""Watches from outside which agent processes live on the machines, and when systemd took READY.

A process is found by looking at its unit's cgroup every few milliseconds, and its end is told by
its pidfd at once. READY stands in the machine's journal, with the instant at which systemd sent
the line; all machines here have this kernel's clocks. So no figure is finer than a pidfd's wake-up
and a line's way into the journal: well under a millisecond on an idle machine.
"""

import json
import os
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from demo.processes import NOT_AN_AGENT
from tests.machines.machine import Machine

from benchmarks.device.gaps import Life, NotSeen, Ready, Span, gaps, ready_spans

PERMANENT = "fleet-agent.service"
CANDIDATE = "fleet-agent-candidate.service"
UNITS = (PERMANENT, CANDIDATE)
SCAN_S = 0.002
"""For each unit, so that many machines are looked at no harder than one. An agent takes longer to
get ready than the pause between two looks at ten of them.
"""
SLACK_S = 0.02
_STARTED = "39f53479d3a045ac8e11786248231fbf"
"""SD_MESSAGE_UNIT_STARTED: of a notify unit, its READY."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Of one device, from one instant to another."""

    gaps_s: tuple[float, ...]
    """Each time without a ready agent."""
    primary_ready_s: float
    """The last READY of the permanent unit, monotonic; NaN where there was none."""

    @property
    def without_s(self) -> float:
        return sum(self.gaps_s)


@dataclass
class _Place:
    """One unit of one machine."""

    machine: Machine
    unit: str
    leader: int
    cgroup: Path
    lives: dict[int, Life] = field(default_factory=dict)
    """By pidfd."""
    ended: list[Life] = field(default_factory=list)
    settled: str = ""
    """What cgroup.procs said when each process in it was known to be an agent or never one."""


class Watcher:
    """`close` it at the end."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._places = {
            name: [_Place(one, unit, one.leader(), one.cgroup_of(unit)) for unit in UNITS]
            for name, one in machines.items()
        }
        self._poll = select.poll()
        self._closing = threading.Event()
        self._broken: Exception | None = None
        self._begun_s = 0.0
        self._lock = threading.Lock()
        for place in self._all():
            self._look(place)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Each machine's agent is ready: whoever calls this has looked. Raises NotSeen."""
        with self._lock:
            self._begun_s = time.monotonic()
            for name, (permanent, _) in self._places.items():
                if not permanent.lives:
                    raise NotSeen(f"{name} runs no agent that the watcher would see")
            for place in self._all():
                place.ended.clear()

    def end(self) -> dict[str, Watched]:
        """Since `begin`. Raises NotSeen."""
        ended_s = time.monotonic()
        return {name: self._watched(places, ended_s) for name, places in self._places.items()}

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for place in self._all():
            for descriptor in place.lives:
                os.close(descriptor)

    def _watched(self, places: list[_Place], ended_s: float) -> Watched:
        if self._broken is not None:
            raise NotSeen(f"the watcher ended: {self._broken}") from self._broken
        with self._lock:
            lives = [life for place in places for life in (*place.ended, *place.lives.values())]
        readies = _readies(places[0].machine, self._begun_s)
        spans = ready_spans(lives, readies, self._begun_s, SLACK_S)
        found = gaps(spans, Span(self._begun_s, ended_s))
        primary = [one.at_s for one in readies if one.unit == PERMANENT]
        last_s = max(primary, default=float("nan"))
        return Watched(tuple(one.length_s for one in found), last_s)

    def _all(self) -> Iterator[_Place]:
        for places in self._places.values():
            yield from places

    def _run(self) -> None:
        pause_ms = SCAN_S * 1000 * len(list(self._all()))
        try:
            while not self._closing.is_set():
                told = self._poll.poll(pause_ms)
                with self._lock:
                    now_s = time.monotonic()
                    for descriptor, _ in told:
                        self._ended(descriptor, now_s)
                    for place in self._all():
                        self._look(place)
        except Exception as error:  # noqa: BLE001 - whoever asks what was watched is told
            self._broken = error

    def _ended(self, descriptor: int, now_s: float) -> None:
        for place in self._all():
            if (life := place.lives.pop(descriptor, None)) is not None:
                place.ended.append(replace(life, ended_s=now_s))
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def _look(self, place: _Place) -> None:
        said = _read(place.cgroup / "cgroup.procs")
        if said == place.settled:
            return
        known = {life.pid for life in place.lives.values()}
        new = [int(pid) for pid in said.split() if int(pid) not in known]
        for pid in new:
            if _is_agent(pid, place.leader):
                with suppress(ProcessLookupError):
                    descriptor = os.pidfd_open(pid)
                    self._poll.register(descriptor, select.POLLIN)
                    place.lives[descriptor] = Life(place.unit, pid, time.monotonic())
        place.settled = said if known and not new else ""


def _is_agent(pid: int, leader: int) -> bool:
    """A child of the machine's systemd: what an agent starts has its command line for a while."""
    words = _read(Path(f"/proc/{pid}/cmdline")).split("\0")
    if NOT_AN_AGENT.intersection(map(str.encode, words)):
        return False
    if not any("/fleet-agent" in word for word in words[:3]):
        return False
    return f"\nPPid:\t{leader}\n" in _read(Path(f"/proc/{pid}/status"))


def _readies(machine: Machine, since_s: float) -> list[Ready]:
    behind_s = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    machine.run("journalctl", "--sync")
    units = [f"UNIT={unit}" for unit in UNITS]
    words = ("-q", "-o", "json", f"--since=@{since_s + behind_s:.6f}", f"MESSAGE_ID={_STARTED}")
    lines = machine.run("journalctl", *words, *units).splitlines()
    told = [json.loads(line) for line in lines]
    found = [
        Ready(one["UNIT"], int(one["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 - behind_s) for one in told
    ]
    return [one for one in found if one.at_s >= since_s]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended, or is not there yet
        return ""
