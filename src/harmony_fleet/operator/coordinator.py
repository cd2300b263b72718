"""What the operator does about one device: `step(case, event) -> (case, effects)`. Pure.

Rules
1. The stop goes out only when this operator itself has seen a live heartbeat of the target
   version that names this upgrade, the status says CutoverReady, and nobody ordered an abort.
2. No answer to a stop means unknown: it is sent again, and nothing follows from it.
3. A verdict comes from the device, in the status or its `ended` list; once recorded it is final.
4. `current_version` comes from a primary's heartbeat alone.
5. No clock ends an upgrade: one that does not move is shown with what it waits for.
6. The record is stored before any effect is performed.
"""

from dataclasses import dataclass, field, replace
from typing import assert_never

from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.identity import MAX_COUNT
from harmony_fleet.contracts.upgrade import (
    ENDED_KEPT,
    AgentUpgradePhase,
    Desired,
    Marker,
    Status,
)
from harmony_fleet.labels import MAX_LABELS, Changes
from harmony_fleet.operator.events import (
    AbortOrdered,
    Event,
    HeartbeatSeen,
    LabelsOrdered,
    MarkerSeen,
    Ordered,
    PauseOrdered,
    SightForgotten,
    StatusSeen,
    StopAnswered,
    StopUnanswered,
)
from harmony_fleet.operator.identity_watch import Identity, observe
from harmony_fleet.operator.records import DeviceRecord, Happening, Order
from harmony_fleet.operator.verdicts import judge

PAST_KEPT = 16
SET_BACK_AFTER = 2
"""Older statuses in a row: a single one may have been overtaken on its way here."""
RENEW_JOURNAL = "stop its agent, remove its journal.json, and start it again"


class OrderRefused(FleetError):
    """The order cannot be given now. Nothing was changed."""

    kind = "order_refused"


class AlreadyRuns(OrderRefused):
    """There would be nothing to do."""


class Overtaken(OrderRefused):
    """Another order was given since whoever asks looked: look again, decide again."""

    kind = "overtaken"


@dataclass(frozen=True, slots=True)
class Case:
    """One device: what is stored, and what only this operator's memory holds."""

    record: DeviceRecord
    seen_upgrade: str | None = None
    """A live heartbeat of the order's version named this upgrade_id."""
    stop_in_flight: bool = False
    unanswered: int = 0
    """Stops without an answer, in a row."""
    stop_told: str | None = None
    """The upgrade_id whose first stop stands in the history."""
    heartbeat: Heartbeat | None = None
    """The latest of the primary."""
    candidate: Heartbeat | None = None
    """The latest of a candidate."""
    identity: Identity = field(default_factory=Identity)
    heard: tuple[str, int] | None = None
    """Journal and seq of the newest live status, or what the store held before any was heard.

    Not what another operator has stored since: this one may still be about to hear of it.
    """
    said_less: int = 0
    """Live statuses in a row that are older than `heard`, of the same journal."""
    set_back_told: str | None = None
    """The journal of which the history says that it was set back."""

    @property
    def set_back(self) -> bool:
        """The device's journal has forgotten what it said, so nothing of it can be believed."""
        return self.said_less >= SET_BACK_AFTER

    @property
    def held_back(self) -> bool:
        """While two answer to one name neither is told to upgrade; both may be told to end it."""
        order = self.record.order
        return self.identity.duplicate and order is not None and order.desired is Desired.RUN


@dataclass(frozen=True, slots=True)
class WriteMarker:
    """The bucket's value for this device becomes this one, by compare-and-set."""

    marker: Marker


@dataclass(frozen=True, slots=True)
class SendStop:
    upgrade_id: str
    after: int
    """How many before it went unanswered: the wait grows with it."""


@dataclass(frozen=True, slots=True)
class Tell:
    happening: Happening


Effect = WriteMarker | SendStop | Tell
Transition = tuple[Case, tuple[Effect, ...]]


def step(case: Case, event: Event) -> Transition:
    """Raises OrderRefused where an order cannot be given; nothing is changed then."""
    match event:
        case Ordered():
            return _ordered(case, event)
        case AbortOrdered():
            return _abort(case)
        case LabelsOrdered(changes):
            return _labels(case, changes)
        case PauseOrdered(paused):
            return _pause(case, paused)
        case HeartbeatSeen():
            return _with_stop(*_heartbeat(case, event))
        case StatusSeen():
            return _with_stop(*_status(case, event))
        case MarkerSeen():
            return _marker(case, event)
        case StopAnswered():
            return _with_stop(*_answered(case, event))
        case StopUnanswered():
            return _with_stop(*_unanswered(case, event))
        case SightForgotten():
            return replace(case, seen_upgrade=None), ()
        case _:
            assert_never(event)


def _ordered(case: Case, event: Ordered) -> Transition:
    record, current = case.record, case.record.order
    name = record.device_id
    if case.identity.duplicate:
        raise OrderRefused(
            f"two devices answer to {name!r}: give one of them another identity, then order again"
        )
    if case.set_back:
        raise OrderRefused(
            f"{name} tells less than its journal had told before, so what it reports cannot be "
            f"believed: {RENEW_JOURNAL}, then order again"
        )
    if event.over not in {None, current.upgrade_id if current else ""}:
        raise Overtaken(f"another order was given to {name} meanwhile: nothing was ordered")
    if current and current.open and not event.replace:
        raise OrderRefused(
            f"{name} is already being upgraded to {current.version} ({current.phase}): wait for "
            f"it, or run `fleet abort {name}` first"
        )
    if record.runs(event.version) and not (current and current.open):
        raise AlreadyRuns(f"{name} already runs {event.version}: nothing was ordered")
    if record.paused:
        raise OrderRefused(
            f"{name} is paused: nothing new is ordered of it until `fleet device resume {name}`"
        )
    if record.highest >= MAX_COUNT:
        raise OrderRefused(
            f"{name} claims to have seen the highest generation there is, so it would ignore every "
            f"order: its journal is damaged; {RENEW_JOURNAL}"
        )
    order = Order(
        event.upgrade_id,
        record.highest + 1,
        event.version,
        event.artifact,
        event.now,
        retry=event.retry,
        from_version=record.current_version,
        since=event.now,
        journal_id=record.journal_id,
    )
    past = _kept((*record.past, current)) if current else record.past
    record = replace(record, order=order, past=past, highest=order.generation)
    case = replace(case, record=record, seen_upgrade=None, stop_in_flight=False, unanswered=0)
    told = Happening("ordered", f"upgrade to {event.version} ordered", event.upgrade_id)
    return case, (Tell(told), WriteMarker(order.marker(name)))


def _kept(past: tuple[Order, ...]) -> tuple[Order, ...]:
    """The last ones, and the open ones as far back as a device can still tell their verdict."""
    older = (order for order in past[:-PAST_KEPT] if order.open)
    return (*older, *past[-PAST_KEPT:])[-ENDED_KEPT:]


def _abort(case: Case) -> Transition:
    order, name = case.record.order, case.record.device_id
    if order is None or not order.open:
        raise OrderRefused(f"{name} has no upgrade under way: there is nothing to abort")
    if order.phase is AgentUpgradePhase.COMMITTED:
        raise OrderRefused(
            f"{name} has committed {order.version} already; it is in probation and rolls back by "
            "itself if the version fails: to go back, order the older version afterwards"
        )
    if order.desired is Desired.ABORT:
        return case, (WriteMarker(order.marker(name)),)
    order = replace(order, desired=Desired.ABORT)
    told = Happening("abort_ordered", f"abort of {order.version} ordered", order.upgrade_id)
    record = replace(case.record, order=order)
    return replace(case, record=record), (Tell(told), WriteMarker(order.marker(name)))


def _labels(case: Case, changes: Changes) -> Transition:
    record = case.record
    labels = changes.applied(record.labels)
    if labels == record.labels:
        return case, ()
    if len(labels) > MAX_LABELS:
        raise OrderRefused(
            f"{record.device_id} would have {len(labels)} labels; {MAX_LABELS} is the most: remove "
            "some with key-"
        )
    record = replace(record, labels=labels)
    return replace(case, record=record), (Tell(Happening("labels", f"labels: {changes}")),)


def _pause(case: Case, paused: bool) -> Transition:
    if paused is case.record.paused:
        return case, ()
    told = Happening("paused", "paused") if paused else Happening("resumed", "resumed")
    return replace(case, record=replace(case.record, paused=paused)), (Tell(told),)


def _heartbeat(case: Case, event: HeartbeatSeen) -> Transition:
    beat, record, order = event.heartbeat, case.record, case.record.order
    effects: list[Effect] = []
    if beat.role is Role.CANDIDATE:
        case = replace(case, candidate=beat)
    elif beat.role is Role.PRIMARY:
        case, told = _primary(case, event)
        effects += told
    if (
        event.live
        and order is not None
        and order.open
        and beat.upgrade_id == order.upgrade_id
        and beat.agent_version == order.version
        and case.seen_upgrade != order.upgrade_id
    ):
        case = replace(case, seen_upgrade=order.upgrade_id)
        sentence = f"heartbeat of {order.version} seen from the {beat.role}"
        effects.append(Tell(Happening("candidate_seen", sentence, order.upgrade_id)))
    if case.record is not record and case.record.current_version:
        sentence = f"runs {case.record.current_version}"
        effects.append(Tell(Happening("version", sentence)))
    return case, tuple(effects)


def _primary(case: Case, event: HeartbeatSeen) -> tuple[Case, list[Effect]]:
    beat, record = event.heartbeat, case.record
    if record.current_version != beat.agent_version and (
        event.live or record.current_version is None
    ):
        record = replace(record, current_version=beat.agent_version)
    was = case.identity
    identity = observe(was, beat) if event.live else was
    case = replace(case, record=record, heartbeat=beat, identity=identity)
    if identity.duplicate and not was.duplicate:
        sentence = "two processes answer under this identity in turn: no order goes to either"
        return case, [Tell(Happening("duplicate_identity", sentence))]
    return case, []


def _status(case: Case, event: StatusSeen) -> Transition:
    status, record = event.status, case.record
    heard = case.heard
    if event.live:
        journal_id, heard_seq = heard or (None, 0)
        if status.journal_id == journal_id and status.seq < heard_seq:
            return _said_less(case)
        heard = status.journal_id, status.seq
    said_less = 0 if event.live else case.said_less
    if status.journal_id == record.journal_id and status.seq <= record.seq:
        # an old statement is none, and one seq is one statement: taken in already
        return replace(case, heard=heard, said_less=said_less), ()
    orders = [*record.past, *((record.order,) if record.order else ())]
    judged = [judge(order, status, event.now) for order in orders]
    effects = tuple(
        Tell(_told(after))
        for before, after in zip(orders, judged, strict=True)
        if (before.phase, before.cause) != (after.phase, after.cause)
    )
    record = replace(
        record,
        order=judged[-1] if record.order else None,
        past=tuple(judged[:-1]) if record.order else tuple(judged),
        highest=_highest(record, status),
        journal_id=status.journal_id,
        seq=status.seq,
    )
    return replace(case, record=record, heard=heard, said_less=said_less), effects


def _said_less(case: Case) -> Transition:
    """A device that has no newer statement can be heard no more; what of it was seen is past."""
    journal_id = case.record.journal_id
    case = replace(case, said_less=case.said_less + 1, seen_upgrade=None)
    if not case.set_back or case.set_back_told == journal_id:
        return case, ()
    case = replace(case, set_back_told=journal_id)
    sentence = "its journal was set back: it tells less than before, and is not believed"
    return case, (Tell(Happening("journal_set_back", sentence)),)


def _highest(record: DeviceRecord, status: Status) -> int:
    """What an earlier journal claimed is forgotten with it: the claim may have been damage."""
    if status.journal_id == record.journal_id:
        return max(record.highest, status.generation)
    ordered = record.order.generation if record.order else 0
    return max(ordered, status.generation)


def _told(order: Order) -> Happening:
    if order.phase is AgentUpgradePhase.NEVER_STARTED:
        sentence = f"{order.version}: the device has had a later order, and this one never started"
        return Happening("never_started", sentence, order.upgrade_id)
    sentence = f"{order.version}: {order.phase}"
    if order.cause is not None:
        sentence = f"{sentence}, {order.cause.kind}: {order.cause.sentence}"
    return Happening("phase", sentence, order.upgrade_id)


def _marker(case: Case, event: MarkerSeen) -> Transition:
    """The bucket is a cache: where it differs from the store, it is written again."""
    if event.marker is not None and event.marker.generation > case.record.highest:
        # from a store that knew more than this one, before a backup of it was restored
        record = replace(case.record, highest=event.marker.generation)
        case = replace(case, record=record)
    order = case.record.order
    if order is None or not order.open or case.held_back:
        return case, ()
    wanted = order.marker(case.record.device_id)
    return (case, ()) if event.marker == wanted else (case, (WriteMarker(wanted),))


def _answered(case: Case, event: StopAnswered) -> Transition:
    order = case.record.order
    if order is None or order.upgrade_id != event.upgrade_id:
        return case, ()  # to the stop of an order that was replaced
    case = replace(case, stop_in_flight=False)
    if not order.open:
        return case, ()
    match event.answer.outcome:
        case Outcome.OK:
            case = replace(case, unanswered=0)
            sentence = f"{order.version}: the device took the stop"
            taken = Tell(Happening("stop_answered", sentence, order.upgrade_id))
            if order.phase in {AgentUpgradePhase.COMMITTED, AgentUpgradePhase.REVERTING}:
                return case, (taken,)  # a late answer: the device has said more since
            order = replace(order, phase=AgentUpgradePhase.COMMITTED, since=event.now)
            sentence = f"{order.version}: committed, in probation"
            told = Tell(Happening("phase", sentence, order.upgrade_id))
            return replace(case, record=replace(case.record, order=order)), (taken, told)
        case Outcome.REFUSED:
            sentence = f"the device refused the stop: {event.answer.reason}"
            told = Tell(Happening("stop_refused", sentence, order.upgrade_id))
            first = case.unanswered == 0
            return replace(case, unanswered=case.unanswered + 1), (told,) if first else ()
        case Outcome.ENDED | Outcome.UNKNOWN:
            return replace(case, unanswered=case.unanswered + 1), ()
        case _:
            assert_never(event.answer.outcome)


def _unanswered(case: Case, event: StopUnanswered) -> Transition:
    order = case.record.order
    if order is None or order.upgrade_id != event.upgrade_id:
        return case, ()
    return replace(case, stop_in_flight=False, unanswered=case.unanswered + 1), ()


def _with_stop(case: Case, effects: tuple[Effect, ...]) -> Transition:
    """The decision to commit: all of rule 1, and no other stop on its way."""
    order = case.record.order
    if order is None or case.stop_in_flight or not may_stop(case, order.upgrade_id):
        return case, effects
    send = SendStop(order.upgrade_id, case.unanswered)
    case = replace(case, stop_in_flight=True)
    if case.stop_told == order.upgrade_id:
        return case, (*effects, send)
    # Beside what led to it: a status or a first sight, which are written in any case.
    told = Tell(Happening("stop_sent", f"{order.version}: stop sent", order.upgrade_id))
    return replace(case, stop_told=order.upgrade_id), (*effects, told, send)


def may_stop(case: Case, upgrade_id: str) -> bool:
    """Rule 1. Asked again at the instant of sending: a stop may have waited for its turn."""
    order = case.record.order
    return (
        order is not None
        and order.upgrade_id == upgrade_id
        and order.desired is Desired.RUN
        and order.phase is AgentUpgradePhase.CUTOVER_READY
        and case.seen_upgrade == upgrade_id
        and not case.identity.duplicate
        and not case.set_back
    )
