"""How long each device had no process of the agent, and how long the message plane heard none.

An agent's process: the permanent unit's that has said READY, or a candidate's. One that hangs is a
process; that it is not heard shows it. Counted from a device's first agent on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from harmony_fleet.simulation.candidate_unit import CANDIDATE
from harmony_fleet.simulation.judge import Judge
from harmony_fleet.simulation.nats_stream import Stored
from harmony_fleet.simulation.programs import Program
from harmony_fleet.simulation.units import PRIMARY, Unit

_HEARTBEATS = "$KV.device-heartbeat."


@dataclass(slots=True)
class Attendance:
    """Of one device. Seconds."""

    present: set[str] = field(default_factory=set)
    gone_at_s: float | None = None
    heard_at_s: float | None = None
    longest_without_process_s: float = 0.0
    longest_silence_s: float = 0.0

    def comes(self, role: str, now_s: float) -> None:
        self._look(now_s)
        self.gone_at_s = None
        self.present.add(role)

    def goes(self, role: str, now_s: float) -> None:
        if role in self.present:
            self.present.remove(role)
            if not self.present:
                self.gone_at_s = now_s

    def heard(self, now_s: float) -> None:
        if self.heard_at_s is not None:
            self.longest_silence_s = max(self.longest_silence_s, now_s - self.heard_at_s)
        self.heard_at_s = now_s

    def ends(self, now_s: float) -> None:
        """Nobody looks any more."""
        self._look(now_s)
        self.heard(now_s)

    def _look(self, now_s: float) -> None:
        if self.gone_at_s is not None:
            without_s = now_s - self.gone_at_s
            self.longest_without_process_s = max(self.longest_without_process_s, without_s)


class Onlooker(Judge):
    """A judge that also counts."""

    def __init__(
        self,
        now: Callable[[], float],
        connected_since: Callable[[str], float],
        story: list[str] | None = None,
    ) -> None:
        super().__init__(now, connected_since, story)
        self.of: dict[str, Attendance] = {}
        """By device."""

    def _attendance(self, device_id: str) -> Attendance:
        return self.of.setdefault(device_id, Attendance())

    def executed(self, device_id: str, what: str, version: str, program: Program | None) -> None:
        super().executed(device_id, what, version, program)
        if what == CANDIDATE and program is not None:
            self._attendance(device_id).comes(CANDIDATE, self._now())

    def unit(self, device_id: str, state: str) -> None:
        super().unit(device_id, state)
        if state == Unit.RUNNING:
            self._attendance(device_id).comes(PRIMARY, self._now())
        elif state != Unit.STOPPING:
            self._attendance(device_id).goes(PRIMARY, self._now())

    def exited(self, device_id: str, process: str, status: int | None) -> None:
        super().exited(device_id, process, status)
        if process.startswith(CANDIDATE):
            self._attendance(device_id).goes(CANDIDATE, self._now())

    def stored(self, subject: str, stored: Stored) -> None:
        super().stored(subject, stored)
        if subject.startswith(_HEARTBEATS):
            device_id = subject.removeprefix(_HEARTBEATS).split(".", maxsplit=1)[0]
            self._attendance(device_id).heard(stored.at_s)
