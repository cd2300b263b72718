"""What a device's status says of one order: `judge(order, status, now)`. Pure.

Rules
1. What is final stays. A verdict is the device's word: its status's, or that of its `ended` list.
2. Nothing is inferred of an order that the device does not name, but that it never started: where
   its list reaches back far enough, is whole, and is of the journal that was known at the order.
"""

from dataclasses import replace

from harmony_fleet.contracts.upgrade import ENDED_KEPT, AgentUpgradePhase, Ended, Status, cause
from harmony_fleet.operator.records import Order


def judge(order: Order, status: Status, now: str) -> Order:
    """The order as this status leaves it."""
    if not order.open:
        return order
    verdict = next((e for e in status.ended if e.upgrade_id == order.upgrade_id), None)
    named = status.upgrade_id == order.upgrade_id and status.phase is not None
    if verdict is not None and not (named and status.phase and status.phase.final):
        return _ended(order, verdict, now)
    if named:
        return _entered(order, status, now)
    if _never_started(order, status):
        return replace(order, phase=AgentUpgradePhase.NEVER_STARTED, since=now)
    return order


def _entered(order: Order, status: Status, now: str) -> Order:
    phase = status.phase or AgentUpgradePhase.UNKNOWN
    since = order.since if phase is order.phase else now
    return replace(
        order,
        phase=phase,
        since=since,
        cause=status.cause,
        attempt=status.attempt,
        from_version=status.from_version or order.from_version,
    )


def _ended(order: Order, verdict: Ended, now: str) -> Order:
    why = cause(verdict.cause, f"ended as {verdict.cause}") if verdict.cause else None
    known = verdict.phase.final  # a newer agent may have words for an end that this one lacks
    phase = verdict.phase if known else AgentUpgradePhase.UNRESOLVED
    return replace(order, phase=phase, since=now, cause=why)


def _never_started(order: Order, status: Status) -> bool:
    """Inferred only where the device's list of ended upgrades reaches back that far.

    And of the journal that was known at the order only: another one may have lost its verdict.
    """
    if order.phase is not AgentUpgradePhase.PENDING:
        return False
    if order.journal_id not in {None, status.journal_id}:
        return False
    if status.generation <= order.generation or not status.ended_complete:
        return False
    if order.upgrade_id in {status.upgrade_id, status.deferred}:
        return False
    if len(status.ended) < ENDED_KEPT:
        return True
    return order.generation > status.ended[0].generation
