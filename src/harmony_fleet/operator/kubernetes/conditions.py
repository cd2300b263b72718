"""The conditions of a Device, as kstatus and `kubectl wait` read them: `conditions(seen)`. Pure.

Ready       the device runs what is asked for, by its own heartbeat, and nothing is under way
Reconciling the operator, or the device, is at it
Stalled     it will not come about by itself: somebody has to do something
Online      its heartbeats come
https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from dataclasses import dataclass
from enum import StrEnum

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.kubernetes.wants import Asked, GiveOrder, Settled, decide
from harmony_fleet.operator.records import DeviceRecord, Order


class Presence(StrEnum):
    """How its heartbeats come. Unheard: none ever did."""

    FRESH = "Fresh"
    LOST = "Lost"
    UNHEARD = "Unheard"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why what is asked for cannot be ordered, or what keeps the order from its end."""

    reason: str
    """One word, for programs."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the conditions are told from."""

    asked: Asked
    record: DeviceRecord
    presence: Presence
    obstacle: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One condition, before it has a time."""

    type: str
    status: bool
    reason: str
    message: str


def conditions(seen: Seen) -> tuple[State, ...]:
    """In the order of their importance."""
    ready, reconciling, stalled = _progress(seen)
    return ready, reconciling, stalled, _online(seen.presence)


def unusable(obstacle: Obstacle, presence: Presence) -> tuple[State, ...]:
    """Of a Device that is left alone: no record can be told from it, or it is not the one meant."""
    told = _told(False, False, True, obstacle.reason, obstacle.sentence)
    return *told, _online(presence)


def _progress(seen: Seen) -> tuple[State, State, State]:
    order, obstacle = seen.record.order, seen.obstacle
    open_order = order if order is not None and order.open else None
    if obstacle is not None:
        return _told(False, open_order is not None, True, obstacle.reason, obstacle.sentence)
    if open_order is not None:
        running = seen.record.current_version or "an unknown version"
        message = f"{running} to {open_order.version}: {open_order.phase}"
        return _told(False, True, False, open_order.phase, message)
    return _at_rest(seen)


def _at_rest(seen: Seen) -> tuple[State, State, State]:
    asked, record = seen.asked, seen.record
    current = record.current_version
    if current is None and not asked.version:
        return _told(False, False, False, "Unheard", "no heartbeat has come from it yet")
    if not asked.version or record.runs(asked.version):
        return _told(True, False, False, "Running", f"runs {current}")
    decision = decide(asked, record)
    if isinstance(decision, GiveOrder):
        return _told(False, True, False, "Ordering", f"{asked.version} is about to be ordered")
    if isinstance(decision, Settled):
        reason, message = _missed(record.order, asked.version, current)
        return _told(False, False, True, reason, message)
    if not record.paused:
        message = f"not heard yet: {asked.version} is ordered once it is"
        return _told(False, True, False, "Unheard", message)
    message = f"paused: {asked.version} is not ordered; {current or 'an unknown version'} runs"
    return _told(False, False, False, "Paused", message)


def _missed(order: Order | None, version: str, current: str | None) -> tuple[str, str]:
    """Why the version that was ordered does not run."""
    failed = order is not None and order.phase is not AgentUpgradePhase.SUCCEEDED
    if order is None or order.version != version or not failed:
        return "Drifted", (
            f"{version} was reached, and now {current} runs: somebody replaced it; a new value of "
            "spec.retry orders it again"
        )
    why = f"{order.cause.kind}: {order.cause.sentence}" if order.cause else "no cause was told"
    return order.phase, f"{version}: {order.phase}, {why}; {current} runs"


def _told(
    ready: bool, reconciling: bool, stalled: bool, reason: str, message: str
) -> tuple[State, State, State]:
    def state(kind: str, status: bool, otherwise: str) -> State:
        return State(kind, status, reason if status else otherwise, message if status else "")

    return (
        State("Ready", ready, reason, message),
        state("Reconciling", reconciling, "Idle"),
        state("Stalled", stalled, "NotStalled"),
    )


def _online(presence: Presence) -> State:
    message = {
        Presence.FRESH: "its heartbeats come",
        Presence.LOST: "no heartbeat has come for three of its intervals",
        Presence.UNHEARD: "no heartbeat has come yet",
    }[presence]
    return State("Online", presence is Presence.FRESH, f"Heartbeats{presence}", message)
