"""Devices, orders and events for the coordinator's tests, and a way to feed it several events."""

from dataclasses import replace
from typing import Any, Final

from harmony_fleet.contracts.commands import Answer, Outcome
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact, Ended, Status
from harmony_fleet.operator.coordinator import Case, Effect, SendStop, Tell, WriteMarker, step
from harmony_fleet.operator.events import Event, HeartbeatSeen, Ordered, StatusSeen, StopAnswered
from harmony_fleet.operator.records import DeviceRecord

NOW: Final = "2026-01-01T00:00:00Z"
LATER: Final = "2026-01-01T00:05:00Z"
FIRST, SECOND, THIRD = "1" * 32, "2" * 32, "3" * 32
ARTIFACT: Final = Artifact("http://127.0.0.1:7700/artifacts/a", 10, "a" * 64)
FRESH: Final = Case(DeviceRecord("pi-1"))
HEARD: Final = Case(DeviceRecord("pi-1", current_version="1.0.0"))


def ordered(upgrade_id: str = FIRST, version: str = "2.0.0", **changed: Any) -> Ordered:
    return replace(Ordered(upgrade_id, version, ARTIFACT, NOW), **changed)


def primary(live: bool = True, **changed: Any) -> HeartbeatSeen:
    plain = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "instance-1", "boot-1", 1, 1000)
    return HeartbeatSeen(replace(plain, **changed), live)


def candidate(upgrade_id: str | None = FIRST, live: bool = True, **changed: Any) -> HeartbeatSeen:
    plain = Heartbeat("pi-1", "2.0.0", Role.CANDIDATE, "instance-2", "boot-1", 1, 1000, upgrade_id)
    return HeartbeatSeen(replace(plain, **changed), live)


def said(
    seq: int, phase: AgentUpgradePhase | None, upgrade_id: str | None = FIRST, **changed: Any
) -> StatusSeen:
    plain = Status("pi-1", "journal-1", seq, 1, upgrade_id, "1.0.0", "2.0.0", phase, 1)
    return StatusSeen(replace(plain, **changed), LATER, live=True)


def ready(seq: int = 3, upgrade_id: str = FIRST, **changed: Any) -> StatusSeen:
    return said(seq, AgentUpgradePhase.CUTOVER_READY, upgrade_id, **changed)


def answered(outcome: Outcome, upgrade_id: str = FIRST, reason: str = "") -> StopAnswered:
    return StopAnswered(upgrade_id, Answer("pi-1", outcome, reason), LATER)


def ended(upgrade_id: str, generation: int, phase: AgentUpgradePhase, **changed: Any) -> Ended:
    return replace(Ended(upgrade_id, generation, phase), **changed)


def fed(case: Case, *events: Event) -> tuple[Case, list[Effect]]:
    """After all of them, with every effect on the way."""
    effects: list[Effect] = []
    for event in events:
        case, more = step(case, event)
        effects += more
    return case, effects


def after(case: Case, *events: Event) -> Case:
    return fed(case, *events)[0]


def stops(effects: list[Effect]) -> list[SendStop]:
    return [effect for effect in effects if isinstance(effect, SendStop)]


def markers(effects: list[Effect]) -> list[WriteMarker]:
    return [effect for effect in effects if isinstance(effect, WriteMarker)]


def told(effects: list[Effect]) -> list[str]:
    return [effect.happening.kind for effect in effects if isinstance(effect, Tell)]


def phase_of(case: Case) -> AgentUpgradePhase | None:
    return case.record.order.phase if case.record.order else None
