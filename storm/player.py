"""Plays one attempt on one device: orders, hits at the planned instant, waits, and looks.

An attempt has ended when the operator calls it final. After it the device must settle.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from soak.faults import Fault, Kind
from tests.machines.control_plane import ControlPlane
from tests.machines.device import Device
from tests.machines.hub import Refused
from tests.machines.nspawn import BootFailed, MachineOff

from harmony_fleet.contracts.errors import FleetError
from storm.plan import GOOD, Attempt, Hit, Target
from storm.verdicts import Ended, judge, named

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """With devices of one kind: those that are emulated take longer for everything."""

    slower: float
    """By this factor than what the plan reckons with."""
    soon_s: float
    """What should happen has happened by then; an upgrade may be many such things."""

    @property
    def end_limit_s(self) -> float:
        """An attempt that has not ended by then is stuck."""
        return 4 * self.soon_s

    @property
    def settle_limit_s(self) -> float:
        return 1.5 * self.soon_s


class Stuck(Exception):
    """What should have come about has not. Its text says what."""


@dataclass
class ControlPlaneHits:
    """All devices share it: it is hit once at a time."""

    plane: ControlPlane
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart_operator(self) -> None:
        with self._lock:
            self.plane.restart()

    def kill_nats(self) -> None:
        with self._lock:
            self.plane.kill_nats()


@dataclass
class Player:
    device: Device
    control_plane: ControlPlaneHits
    patience: Patience
    interrupted: threading.Event
    """Set from outside: nothing is waited for any more."""
    running: str = GOOD[0]
    _generation: int = 0
    """Of the last order."""
    _seen: dict[str, Any] = field(default_factory=dict)
    """The last upgrade, as the operator told of it when it answered last."""

    def play(self, attempt: Attempt) -> tuple[Ended | None, list[Fault]]:
        """None: it never ended. The device is fit for another only where nothing is at fault."""
        to_version = attempt.bad.version if attempt.bad else self._another()
        began_s = time.monotonic()
        try:
            self._order(to_version)
            hit, hit_in = self._wait_and_hit(attempt.hit, began_s)
            self._wait(self._ended, self.patience.end_limit_s, "it has not ended")
        except Stuck as error:
            return None, [Fault(Kind.STUCK, self._told(attempt, to_version, error))]
        except (BootFailed, Refused, MachineOff) as error:
            return None, [Fault(Kind.LOST, self._told(attempt, to_version, error))]
        ended = Ended(
            attempt=attempt,
            device=self.device.device_id,
            from_version=self.running,
            to_version=to_version,
            hit=hit,
            hit_in=hit_in,
            phase=self._seen["phase"],
            cause=(self._seen["cause"] or {}).get("kind"),
            took_s=time.monotonic() - began_s,
        )
        self.running = ended.runs
        return ended, [*self._settle(ended), *judge(ended)]

    def _wait(self, condition: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        """Raises Stuck."""
        ends_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > ends_s:
                raise Stuck(f"{otherwise} within {limit_s:g} s")
            if self.interrupted.wait(LOOK_S):
                raise Stuck("interrupted")

    def _another(self) -> str:
        return GOOD[(GOOD.index(self.running) + 1) % len(GOOD)]

    def _told(self, attempt: Attempt, to_version: str, error: Exception) -> str:
        to = f"{self.running} to {to_version}"
        return f"attempt {attempt.number} on {self.device.device_id}, {to}: {error}"

    def _order(self, version: str) -> None:
        """Asked again until it is taken: the operator may be away just then, hit elsewhere."""
        refused: list[str] = []

        def taken() -> bool:
            try:
                self.device.order(version, retry=True)
            except FleetError as error:
                refused[:] = [str(error)]
            return self._look() > self._generation

        try:
            self._wait(taken, self.patience.settle_limit_s, "the order is not taken")
        except Stuck as error:
            raise Stuck(": ".join([str(error), *refused])) from error
        self._generation = int(self._seen["generation"])

    def _ended(self) -> bool:
        return self._look() == self._generation and bool(self._seen["final"])

    def _look(self) -> int:
        """The generation that is known now; 0 where nobody answers, hit elsewhere just then."""
        upgrade = self.device.upgrade()
        self._seen = upgrade or self._seen
        return int(upgrade.get("generation", 0))

    def _settle(self, ended: Ended) -> list[Fault]:
        faults: list[Fault] = []

        def settled() -> bool:
            faults[:] = [*self.device.faults(ended.runs), *self._believed(ended)]
            return not faults

        try:
            self._wait(settled, self.patience.settle_limit_s, "it does not settle")
        except Stuck:
            return [Fault(one.kind, f"{named(ended)}: {one.text}") for one in faults]
        return []

    def _believed(self, ended: Ended) -> list[Fault]:
        """A file of other bytes than were ordered must never have had its name."""
        bad = ended.attempt.bad
        try:
            if bad is None or not bad.tampered or not self.device.holds(bad.version):
                return []
        except (Refused, MachineOff) as error:
            return [Fault(Kind.LOST, str(error))]
        return [Fault(Kind.LINK, f"version {bad.version} has another digest, and is there")]

    def _wait_and_hit(self, hit: Hit | None, began_s: float) -> tuple[str | None, str]:
        """What was hit, and the phase then. Raises BootFailed, Stuck."""
        if hit is None:
            return None, ""
        left_s = began_s + hit.after_s * self.patience.slower - time.monotonic()
        if self.interrupted.wait(max(0.0, left_s)):
            raise Stuck("interrupted")
        phase = self.device.phase() or "unknown"  # the operator is away, hit elsewhere
        return self._strike(hit), phase

    def _strike(self, hit: Hit) -> str | None:
        match hit.target:
            case Target.POWER:
                self.device.machine.cut_power()
                self.device.machine.boot()
                return "power"
            case Target.OPERATOR:
                self.control_plane.restart_operator()
                return "operator"
            case Target.NATS:
                self.control_plane.kill_nats()
                return "NATS"
            case Target.PROCESS:
                return self._kill_a_process(hit.pick)

    def _kill_a_process(self, pick: float) -> str | None:
        """Its unit. None: there was none, or it had just ended."""
        machine = self.device.machine
        found = sorted(
            (one for one in machine.processes() if one.unit.startswith("fleet-agent")),
            key=lambda one: one.pid,
        )
        if not found:
            return None
        chosen = found[int(pick * len(found))]
        try:
            machine.run("kill", "-9", str(chosen.pid))
        except (Refused, MachineOff):
            return None
        return _kind_of(chosen.unit)


def _kind_of(unit: str) -> str:
    """Without the version: `fleet-agent-self-test-v1.0.0.service` is one of the self-tests."""
    return unit.removesuffix(".service").partition("-v")[0]
