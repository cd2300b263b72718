"""Runs the shares of a rehearsal, on many cores, and puts together what came of them."""

import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import islice

from harmony_fleet.simulation.attendance import Attendance, Onlooker
from harmony_fleet.simulation.picture import NOT_ORDERED
from harmony_fleet.simulation.programs import MISSED
from harmony_fleet.simulation.rehearsal import Asked, Change, Share, meets_outage, shares
from harmony_fleet.simulation.workers import workers
from harmony_fleet.simulation.world import PhaseChange, World

Progress = Callable[[int], None]
"""Told how many more devices are done."""


@dataclass(slots=True)
class Rehearsed:
    devices: int = 0
    changes: list[Change] = field(default_factory=list)
    """In the order of their instants."""
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By phase and cause."""
    violations: list[str] = field(default_factory=list)
    """What must never be, and was."""
    without_agent: int = 0
    """Devices that no working agent runs on in the end."""
    longest_without_process_s: float = 0.0
    interrupted: int = 0
    """Devices that were without a process of the agent for a moment or longer."""
    silent: int = 0
    """Devices that were not heard for `MISSED` intervals or longer."""
    longest_silence_s: float = 0.0
    spared: int = 0
    """Devices that were ordered after the outages, and nobody looked at before."""
    worlds: int = 0
    ends_s: float = 0.0
    """When the last thing was over, after the first order."""
    simulated_s: float = 0.0
    """Of all worlds together."""
    cpu_s: float = 0.0
    took_s: float = 0.0

    def add(self, other: "Rehearsed") -> None:
        self.devices += other.devices
        self.changes += other.changes
        self.ends.update(other.ends)
        self.violations += other.violations
        self.without_agent += other.without_agent
        self.interrupted += other.interrupted
        self.silent += other.silent
        self.spared += other.spared
        self.longest_without_process_s = max(
            self.longest_without_process_s, other.longest_without_process_s
        )
        self.longest_silence_s = max(self.longest_silence_s, other.longest_silence_s)
        self.worlds += other.worlds
        self.ends_s = max(self.ends_s, other.ends_s)
        self.simulated_s += other.simulated_s
        self.cpu_s += other.cpu_s


def rehearse(asked: Asked, processes: int = 0, progress: Progress = lambda _: None) -> Rehearsed:
    """The same for the same `asked`, whatever the number of processes; 0: one for each core."""
    began_s = time.monotonic()
    found = sorted(_all(asked, processes or _cores(), progress), key=lambda one: one[0])
    whole = Rehearsed()
    for _, one in found:
        whole.add(one)
    whole.changes.sort(key=lambda change: change.at_s)
    whole.took_s = time.monotonic() - began_s
    return whole


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _all(asked: Asked, processes: int, progress: Progress) -> Iterator[tuple[int, Rehearsed]]:
    wanted = enumerate(shares(asked))
    first = list(islice(wanted, 2))
    if processes == 1 or len(first) == 1:
        for number, share in (*first, *wanted):
            done = rehearse_share(share)
            progress(done.devices)
            yield number, done
        return
    with workers(processes) as pool:
        running: dict[Future[Rehearsed], int] = {}
        try:
            for number, share in (*first, *islice(wanted, 2 * processes)):
                running[pool.submit(rehearse_share, share)] = number
            while running:
                for one in wait(running, return_when=FIRST_COMPLETED).done:
                    number, done = running.pop(one), one.result()
                    progress(done.devices)
                    yield number, done
                    for following, share in islice(wanted, 1):
                        running[pool.submit(rehearse_share, share)] = following
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def rehearse_share(share: Share) -> Rehearsed:
    """In this process. The collector of rubbish waits for the world's end."""
    logged, collecting = logging.root.manager.disable, gc.isenabled()
    logging.disable(logging.CRITICAL)
    gc.disable()
    began_s = time.process_time()
    try:
        return _rehearsed(share, began_s)
    finally:
        logging.disable(logged)
        if collecting:
            gc.enable()
        gc.collect()


def _rehearsed(share: Share, began_s: float) -> Rehearsed:
    world = World(share.scenario, judging=Onlooker)
    outcome = world.run()
    attended = _attended(world.judge, outcome.lasted_s)
    unheard_s = MISSED * share.scenario.durations.heartbeat.interval_s
    return Rehearsed(
        devices=len(share.scenario.devices),
        changes=list(_on_one_clock(outcome.changes, share.begins_s)),
        ends=outcome.ends,
        violations=[str(violation) for violation in outcome.violations],
        without_agent=len({one.device for one in outcome.violations if one.invariant == 1}),
        longest_without_process_s=max(one.longest_without_process_s for one in attended),
        interrupted=sum(one.longest_without_process_s > 0 for one in attended),
        silent=sum(one.longest_silence_s >= unheard_s for one in attended),
        longest_silence_s=max(one.longest_silence_s for one in attended),
        spared=0 if meets_outage(share) else len(attended),
        worlds=1,
        ends_s=outcome.lasted_s + share.begins_s,
        simulated_s=outcome.lasted_s,
        cpu_s=time.process_time() - began_s,
    )


def _attended(judge: object, now_s: float) -> list[Attendance]:
    attended = list(judge.of.values()) if isinstance(judge, Onlooker) else []
    for one in attended:
        one.ends(now_s)
    return attended


def _on_one_clock(changes: list[PhaseChange], begins_s: float) -> Iterator[Change]:
    before: dict[str, str] = {}
    for change in changes:
        known = before.get(change.device, NOT_ORDERED)
        if change.phase != known:
            yield Change(change.at_s + begins_s, known, change.phase)
        before[change.device] = change.phase
