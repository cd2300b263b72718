"""What the API says of one device, from what the operator stores and sees. Pure.

Nothing here is decided upon: `online`, the conditions and every duration are for people.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, assert_never

from harmony_fleet.contracts.heartbeat import Heartbeat, Progress
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Cause, Desired
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.records import DeviceEvent, Order, Side

INTERVALS_UNTIL_OFFLINE: Final = 3
"""As many as a heartbeat's key lives in its bucket."""
STALLED_AFTER_S: Final = 2400.0
"""Above the longest time that a device waits for a stop by its default deadlines, half an hour."""

_TAKES_AS_IT_NEEDS: Final = frozenset({AgentUpgradePhase.STAGING, AgentUpgradePhase.COMMITTED})
"""A download is as long as it is; a probation is a setting of the device, and ends by itself."""

Condition = Literal["DuplicateIdentity", "JournalSetBack", "Stalled"]


class Sight(Protocol):
    """One device as the operator's loop sees it now."""

    @property
    def case(self) -> Case: ...

    @property
    def heard_age_s(self) -> float | None:
        """Seconds since this operator last heard the primary; None: not yet."""


@dataclass(frozen=True, slots=True)
class UpgradeView:
    """One order of a device, open or ended."""

    upgrade_id: str
    generation: int
    from_version: str | None
    to_version: str
    phase: AgentUpgradePhase
    desired: Desired
    attempt: int
    ordered_at: str
    """By the operator's clock. RFC 3339, UTC."""
    since: str
    """When the phase was entered, by the operator's clock. RFC 3339, UTC."""
    final: bool
    cause: Cause | None
    """Why it ended; before the end, why it waits."""
    progress: Progress | None
    """Of the download, while staging."""
    waits_for: str | None
    """What must happen next; null once it has ended."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    device_id: str
    current_version: str | None
    """What a heartbeat of the primary said that it runs; never what was ordered."""
    online: bool
    """Heard within three of its own heartbeat intervals."""
    heartbeat_age_s: float | None
    """Since the primary was last heard by this operator; null: not yet."""
    instance_id: str | None
    boot_id: str | None
    conditions: tuple[Condition, ...]
    labels: dict[str, str]
    """By key."""
    paused: bool
    """Nothing new is ordered of it; what is under way goes on."""
    upgrade: UpgradeView | None
    """The newest order."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One entry of a device's history."""

    number: int
    """Grows over all devices."""
    device_id: str
    at: str
    """When the operator did it, or heard of it. RFC 3339, UTC."""
    kind: str
    """Stable, for programs."""
    sentence: str
    upgrade_id: str | None
    """Null for what belongs to no upgrade."""
    side: Side
    """Whose word it is."""


def view(sight: Sight, now: str) -> DeviceView:
    """`now` is RFC 3339, by the clock that wrote the record's times."""
    record, beat = sight.case.record, sight.case.heartbeat
    age = sight.heard_age_s
    return DeviceView(
        device_id=record.device_id,
        current_version=record.current_version,
        online=online(sight),
        heartbeat_age_s=None if age is None else round(age, 3),
        instance_id=beat.instance_id if beat else None,
        boot_id=beat.boot_id if beat else None,
        conditions=conditions(sight, now),
        labels={label.key: label.value for label in record.labels},
        paused=record.paused,
        upgrade=_upgrade(sight, record.order) if record.order else None,
    )


def upgrade_view(sight: Sight, upgrade_id: str) -> UpgradeView | None:
    """The order of that id, the newest one or an older one; None where none is kept."""
    found = (one for one in upgrade_views(sight) if one.upgrade_id == upgrade_id)
    return next(found, None)


def upgrade_views(sight: Sight) -> tuple[UpgradeView, ...]:
    """All orders that are kept, oldest first."""
    record = sight.case.record
    orders = (*record.past, *((record.order,) if record.order else ()))
    return tuple(_upgrade(sight, order) for order in orders)


def event_view(event: DeviceEvent) -> EventView:
    return EventView(
        number=event.number,
        device_id=event.device_id,
        at=event.at,
        kind=event.kind,
        sentence=event.sentence,
        upgrade_id=event.upgrade_id,
        side=event.side,
    )


def online(sight: Sight) -> bool:
    beat, age = sight.case.heartbeat, sight.heard_age_s
    if beat is None or age is None:
        return False
    return age * 1000 <= INTERVALS_UNTIL_OFFLINE * beat.interval_ms


def conditions(sight: Sight, now: str) -> tuple[Condition, ...]:
    found: list[Condition] = []
    if sight.case.identity.duplicate:
        found.append("DuplicateIdentity")
    if sight.case.set_back:
        found.append("JournalSetBack")
    order = sight.case.record.order
    if order and order.open and order.phase not in _TAKES_AS_IT_NEEDS:
        age_s = seconds_between(order.since, now)
        if age_s is not None and age_s > STALLED_AFTER_S:
            found.append("Stalled")
    return tuple(found)


def waits_for(sight: Sight) -> str | None:
    """A noun phrase: what must happen next for the newest order. None where nothing is open."""
    case, order = sight.case, sight.case.record.order
    step = _next_step(case, order) if order else None
    if order is None or step is None:
        return None
    if case.identity.duplicate:
        return "one of the two processes under this identity to get another one"
    if case.set_back:
        return "its journal to be renewed"
    if sight.heard_age_s is None:
        return "a first heartbeat of the device"
    if not online(sight):
        return "the device to be heard again"
    if order.desired is Desired.ABORT:
        return "the device to end the attempt, as the abort asks"
    if blocker := blocking(case):
        return f"the device to end its attempt of {blocker.version} first"
    return step


def _next_step(case: Case, order: Order) -> str | None:
    match order.phase:
        case AgentUpgradePhase.PENDING:
            return "the device to take up the order"
        case AgentUpgradePhase.STAGING:
            return "the download to be complete and verified"
        case AgentUpgradePhase.VERIFYING:
            return "the self-tests of the new version and of the one to go back to"
        case AgentUpgradePhase.CUTOVER_READY if not candidate_seen(case):
            return f"a live heartbeat of {order.version} in this upgrade"
        case AgentUpgradePhase.CUTOVER_READY:
            return "the device's answer to the stop"
        case AgentUpgradePhase.COMMITTED:
            return f"the end of the probation of {order.version}"
        case AgentUpgradePhase.REVERTING:
            return "the device to finish going back"
        case AgentUpgradePhase.UNKNOWN:
            return "a report that this operator understands"
        case (
            AgentUpgradePhase.SUCCEEDED
            | AgentUpgradePhase.FAILED
            | AgentUpgradePhase.ROLLED_BACK
            | AgentUpgradePhase.UNRESOLVED
            | AgentUpgradePhase.NEVER_STARTED
        ):
            return None
        case _:
            assert_never(order.phase)


def blocking(case: Case) -> Order | None:
    """The older order that the device has still to end before it takes up the newest."""
    order = case.record.order
    if order is None or order.phase is not AgentUpgradePhase.PENDING:
        return None
    begun = (
        AgentUpgradePhase.CUTOVER_READY,
        AgentUpgradePhase.COMMITTED,
        AgentUpgradePhase.REVERTING,
    )
    return next((past for past in reversed(case.record.past) if past.phase in begun), None)


def candidate_seen(case: Case) -> bool:
    """This operator itself saw a live heartbeat of the ordered version in this upgrade."""
    order = case.record.order
    return order is not None and case.seen_upgrade == order.upgrade_id


def progress_of(beat: Heartbeat | None, order: Order) -> Progress | None:
    if beat is None or order.phase is not AgentUpgradePhase.STAGING:
        return None
    return beat.progress if beat.upgrade_id == order.upgrade_id else None


def seconds_between(earlier: str, later: str) -> float | None:
    """None where one of them is not a time that can be read."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return None


def _upgrade(sight: Sight, order: Order) -> UpgradeView:
    return UpgradeView(
        upgrade_id=order.upgrade_id,
        generation=order.generation,
        from_version=order.from_version,
        to_version=order.version,
        phase=order.phase,
        desired=order.desired,
        attempt=order.attempt,
        ordered_at=order.ordered_at,
        since=order.since,
        final=order.phase.final,
        cause=order.cause,
        progress=progress_of(sight.case.heartbeat, order),
        waits_for=waits_for(sight) if order is sight.case.record.order else _past_waits_for(order),
    )


def _past_waits_for(order: Order) -> str | None:
    return "the device to end this older order" if order.open else None
