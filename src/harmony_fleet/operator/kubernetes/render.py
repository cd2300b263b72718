"""The status of a Device, as it is written: `rendered(device, news, now)`. No I/O.

Written anew from the record as a whole, so that what stands there is never half of two states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgspec.structs import replace

from harmony_fleet.operator.kubernetes import objects
from harmony_fleet.operator.kubernetes.conditions import (
    Obstacle,
    Presence,
    Seen,
    State,
    conditions,
    unusable,
)
from harmony_fleet.operator.kubernetes.mapping import history_with, record_of, upgrade_of
from harmony_fleet.operator.kubernetes.wants import Acted, Asked, acted_on
from harmony_fleet.operator.records import DeviceRecord, Happening

_HEARTBEAT: Final[Mapping[Presence, Literal["Fresh", "Lost"] | None]] = {
    Presence.FRESH: "Fresh",
    Presence.LOST: "Lost",
    Presence.UNHEARD: None,
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What only the operator's memory holds of a device, beside its record."""

    presence: Presence | None = None
    """None: as it was."""
    obstacle: Obstacle | None = None
    generation: int = 0
    """The metadata.generation that the obstacle is about."""


@dataclass(frozen=True, slots=True)
class News:
    """What a status is written for."""

    record: DeviceRecord
    outlook: Outlook = Outlook()
    happenings: Sequence[Happening] = ()
    first: int = 0
    """The number of the first of them."""


def asked_of(device: objects.Device) -> Asked:
    acted = device.status.acted_on if device.status else None
    spec = device.spec
    return Asked(spec.version, spec.retry, Acted(acted.version, acted.retry) if acted else None)


def rendered(device: objects.Device, news: News, now: str) -> objects.DeviceStatus:
    """`now` is RFC 3339, UTC."""
    was, record = device.status or objects.DeviceStatus(), news.record
    generation = device.metadata.generation
    known = was.upgrade.upgrade_id if was.upgrade else None
    asked = acted_on(asked_of(device), record, known)
    obstacle = news.outlook.obstacle if news.outlook.generation == generation else None
    presence = news.outlook.presence or Presence(was.heartbeat or Presence.UNHEARD)
    seen = Seen(asked, record, presence, obstacle)
    written_over = int(device.metadata.resource_version)
    return objects.DeviceStatus(
        observed_generation=generation,
        current_version=record.current_version,
        heartbeat=_HEARTBEAT[presence],
        upgrade=upgrade_of(record.order) if record.order else None,
        conditions=dated(conditions(seen), was.conditions, generation, now),
        past=tuple(map(upgrade_of, record.past)),
        highest_generation=record.highest,
        journal_id=record.journal_id,
        seq=record.seq,
        acted_on=objects.ActedOn(asked.acted.version, asked.acted.retry) if asked.acted else None,
        history=history_with(device, news.happenings, now, news.first),
        revision=was.revision if record == record_of(device) else written_over,
    )


def left_alone(device: objects.Device, obstacle: Obstacle, now: str) -> objects.DeviceStatus:
    """Only its conditions are written: the rest stays as it is."""
    was, generation = device.status or objects.DeviceStatus(), device.metadata.generation
    states = unusable(obstacle, Presence(was.heartbeat or Presence.UNHEARD))
    told = dated(states, was.conditions, generation, now)
    return replace(was, observed_generation=generation, conditions=told)


def dated(
    states: Sequence[State], was: Sequence[objects.Condition], generation: int, now: str
) -> tuple[objects.Condition, ...]:
    """Each with the time since which its status is what it is."""
    return tuple(_dated(state, was, generation, now) for state in states)


def _dated(
    state: State, was: Sequence[objects.Condition], generation: int, now: str
) -> objects.Condition:
    word: Literal["True", "False"] = "True" if state.status else "False"
    before = next((one for one in was if one.type == state.type), None)
    since = before.last_transition_time if before and before.status == word else now
    return objects.Condition(
        type=state.type,
        status=word,
        reason=state.reason,
        message=state.message,
        last_transition_time=since,
        observed_generation=generation,
    )
