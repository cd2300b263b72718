"""When nobody is alive to say that probation failed: what the dead-man timer decides. Pure.

The timer only wakes this; what has expired is decided on the boot clock. The control is the old
version's self-test: whether the device, with its own credentials, has contact with the plane
right now, although the new version has not proven itself in its time.
"""

from dataclasses import dataclass, replace

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.events import (
    ExpiryMark,
)
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage
from harmony_fleet.contracts.upgrade import CauseKind, cause


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds on the boot clock."""

    probation_s: float
    spacing_s: float
    """Two controls count only this far apart: more than the longest reconnect backoff."""
    outage_s: float
    """So long is an outage of the plane waited for."""


@dataclass(frozen=True, slots=True)
class Controls:
    """What earlier wakings found out about this probation. Durable, in a file of its own."""

    upgrade_id: str | None
    boot_id: str
    first_contact_s: float | None = None
    """The boot clock at the first of an unbroken run of controls with contact."""


def due(journal: Journal, now: BootTime, bounds: Bounds) -> bool:
    """Committed, and probation's time has passed in this boot."""
    attempt = journal.open_attempt
    if attempt is None or attempt.stage is not Stage.COMMITTED:
        return False
    return _elapsed(attempt.since, now) > bounds.probation_s


def judge(
    journal: Journal, now: BootTime, bounds: Bounds, contact: bool | None, controls: Controls | None
) -> tuple[Controls, ExpiryMark | None]:
    """After a control: what to remember, and the mark for the guard if it is to roll back.

    `contact` is None where the control itself could not run to its end.
    """
    attempt = journal.open_attempt
    if attempt is None:
        raise ValueError("no probation is under way")
    known = controls
    if known is None or not _of(known, attempt, now):
        known = Controls(attempt.upgrade_id, now.boot_id)
    if not contact:
        lost = replace(known, first_contact_s=None)
        over = _elapsed(attempt.since, now) > bounds.outage_s
        why = _unreachable(bounds) if contact is False else _expired(attempt.to_version, bounds)
        return lost, _mark(attempt.upgrade_id, why) if over else None
    if known.first_contact_s is None:
        return replace(known, first_contact_s=now.seconds), None
    if now.seconds - known.first_contact_s < bounds.spacing_s:
        return known, None
    return known, _mark(attempt.upgrade_id, _no_contact(attempt.to_version))


def _of(controls: Controls, attempt: Attempt, now: BootTime) -> bool:
    """They are about this upgrade, in this boot, and about the start that was counted last."""
    if (controls.upgrade_id, controls.boot_id) != (attempt.upgrade_id, now.boot_id):
        return False
    since_s = now.seconds - _elapsed(attempt.since, now)
    return controls.first_contact_s is None or controls.first_contact_s >= since_s


def _elapsed(since: BootTime | None, now: BootTime) -> float:
    if since is None or since.boot_id != now.boot_id:
        return now.seconds
    return now.seconds - since.seconds


def _mark(upgrade_id: str | None, why: tuple[CauseKind, str]) -> ExpiryMark:
    return ExpiryMark(upgrade_id, cause(*why))


def _no_contact(version: str) -> tuple[CauseKind, str]:
    return CauseKind.NO_CONTACT, (
        f"version {version} did not prove itself in its probation, although the version before "
        "it had contact from this device twice in that time: repair it, release it anew"
    )


def _unreachable(bounds: Bounds) -> tuple[CauseKind, str]:
    return CauseKind.PLANE_UNREACHABLE, (
        f"neither version had contact with the message plane for {bounds.outage_s:.0f} s: look "
        "at the device's network, then order the upgrade again"
    )


def _expired(version: str, bounds: Bounds) -> tuple[CauseKind, str]:
    return CauseKind.PROBATION_EXPIRED, (
        f"version {version} did not prove itself for {bounds.outage_s:.0f} s, and the control by "
        "the version before it did not run to its end either: look at the device"
    )
