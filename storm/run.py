"""Puts it together: a control plane, devices side by side, and the attempts handed out to them.

A device that something is at fault with is looked at, told of, and replaced by a new one.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from soak.faults import Fault, Kind
from tests.machines.control_plane import ControlPlane
from tests.machines.device import Device

from storm.plan import GOOD, Attempt
from storm.player import ControlPlaneHits, Patience, Player
from storm.verdicts import Ended, named

FAULTY_AT_MOST = 5
"""Attempts with a fault; after that many no more are begun."""

Say = Callable[[str], None]
MakeDevice = Callable[[], AbstractContextManager[Device]]


@dataclass(frozen=True, slots=True)
class Settings:
    attempts: tuple[Attempt, ...]
    side_by_side: int
    patience: Patience
    stories: Path
    """The folder for what was seen of devices that something was at fault with."""


@dataclass
class Storm:
    settings: Settings
    plane: ControlPlane
    make_device: MakeDevice
    say: Say
    ended: list[Ended] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _faulty: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _interrupted: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        attempts = self.settings.attempts
        self._pairs = iter([attempts[n : n + 2] for n in range(0, len(attempts), 2)])

    def run(self) -> None:
        """Until all attempts are played, or so many were at fault that no more are begun.

        A device that could not be made, or looked at, is a fault as well; the others go on.
        """
        hits, number = ControlPlaneHits(self.plane), self.settings.side_by_side
        with ThreadPoolExecutor(number) as pool:
            running = [pool.submit(self._play_all, hits) for _ in range(number)]
            try:
                for one in running:
                    if (error := one.exception()) is not None:
                        self._report(Fault(Kind.LOST, f"{type(error).__name__}: {error}"))
            except KeyboardInterrupt:
                self._interrupted.set()
                raise
            finally:
                self._stopping.set()

    def _report(self, fault: Fault) -> None:
        self.faults.append(fault)
        self.say(f"  FAULT, {fault.kind}: {fault.text}")

    def _play_all(self, hits: ControlPlaneHits) -> None:
        pair = self._next_pair()
        while pair:
            with self.make_device() as device:
                player = Player(device, hits, self.settings.patience, self._interrupted)
                fit = True
                while pair and fit:
                    fit = all(self._play(player, one) for one in pair)
                    pair = self._next_pair()

    def _next_pair(self) -> tuple[Attempt, ...]:
        """A good one and a bad one, so that each device has them in turn. Empty: no more."""
        with self._lock:
            return () if self._stopping.is_set() else next(self._pairs, ())

    def _play(self, player: Player, attempt: Attempt) -> bool:
        """The device is fit for another."""
        ended, faults = player.play(attempt)
        if self._interrupted.is_set():
            return False
        with self._lock:
            self.ended += [ended] if ended else []
            self.say(_told(len(self.ended), len(self.settings.attempts), attempt, ended))
            for fault in faults:
                self._report(fault)
            if faults:
                self._faulty += 1
                file = self.settings.stories / f"attempt-{attempt.number}.txt"
                file.write_text(player.device.story(), encoding="utf-8")
                self.say(f"  what was seen of the device: {file}")
            if self._faulty >= FAULTY_AT_MOST:
                self._stopping.set()
        return not faults


def _told(done: int, of: int, attempt: Attempt, ended: Ended | None) -> str:
    if ended is None:
        return f"{done}/{of} attempt {attempt.number} never ended"
    hit = f"hit: {ended.hit} in {ended.hit_in}" if ended.hit else "not hit"
    return f"{done}/{of} {named(ended)}; {hit}; {ended.took_s:.1f} s"


def add_releases(plane: ControlPlane, attempts: Iterable[Attempt]) -> None:
    for version in GOOD:
        plane.add_release(version)
    for bad in dict.fromkeys(attempt.bad for attempt in attempts):
        if bad is not None:
            plane.add_release(bad.version, bad.overlay, bad.tampered)
