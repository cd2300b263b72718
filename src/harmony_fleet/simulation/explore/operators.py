"""What one operator may do: the shipped coordinator, with the loop around it as small steps.

As in `operator/loop.py`: the record is saved before effects; a conflict means read and decide
again; marker and stop go their own ways, each with another look at the store before it acts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from harmony_fleet.contracts.commands import Answer
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import Desired, Marker, Status
from harmony_fleet.operator.bucket import BucketWrite, bucket_write
from harmony_fleet.operator.coordinator import (
    SET_BACK_AFTER,
    Case,
    Effect,
    OrderRefused,
    SendStop,
    Tell,
    WriteMarker,
    may_stop,
    step,
)
from harmony_fleet.operator.events import (
    AbortOrdered,
    Event,
    HeartbeatSeen,
    MarkerSeen,
    Ordered,
    SightForgotten,
    StatusSeen,
    StopAnswered,
    StopUnanswered,
)
from harmony_fleet.operator.identity_watch import Identity
from harmony_fleet.operator.known import read_again
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore.world import (
    DEVICE,
    IDS,
    VERSIONS,
    Beat,
    Channel,
    Desk,
    Hand,
    Plane,
    Sight,
    Wish,
    Writing,
    artifact,
)


@dataclass(frozen=True, slots=True)
class Office:
    """An operator with what it reaches."""

    desk: Desk
    plane: Plane
    record: DeviceRecord


@dataclass(frozen=True, slots=True)
class Act:
    label: str
    office: Office
    cost: int = 0
    wishes: int = 0
    breach: str = ""
    """What must never be done, and was."""


def new_desk(record: DeviceRecord, sight: Sight) -> Desk:
    """An operator that has just started."""
    heard = (record.journal_id, record.seq) if record.journal_id else None
    return Desk(Case(record, heard=heard), Channel(sight))


class View(StrEnum):
    """What of the plane an act needs: acts that need the same are worked out together."""

    CONNECTION = "connection"
    STATUSES = "statuses"
    MARKER = "marker"
    HEARTBEATS = "heartbeats"

    def of(self, plane: Plane) -> Plane:
        """That alone."""
        match self:
            case View.CONNECTION:
                return Plane(up=plane.up, device=plane.device)
            case View.STATUSES:
                others = plane.of_another_journal
                return Plane(status=plane.status, of_another_journal=others)
            case View.MARKER:
                older = plane.older_marker
                return Plane(marker=plane.marker, older_marker=older, written=plane.written)
            case View.HEARTBEATS:
                return Plane(beats=plane.beats)
            case _:
                assert_never(self)


def acts(office: Office, view: View, alone: bool) -> Iterator[Act]:
    """What it may do by itself that needs no more than this view.

    Where it is alone it writes a marker in one move: nobody else writes one between its looks.
    """
    desk, plane = office.desk, office.plane
    looks = desk.channel.sight is Sight.LOOKED
    match view:
        case View.CONNECTION:
            yield from _connects(office)
            yield from _stops(office)
        case View.STATUSES if plane.status is not None:
            yield from _hears(office, plane.status)
            if looks:
                yield from _changed(office, "lists the statuses", StatusSeen(plane.status, ""))
        case View.MARKER:
            yield from _writes(office, alone)
            if looks:
                yield from _changed(office, "lists the markers", MarkerSeen(plane.marker))
        case View.HEARTBEATS if looks:
            for beat in plane.beats:
                yield from _changed(office, "lists the heartbeats", _beat_event(beat))
        case View.STATUSES | View.HEARTBEATS:
            return
        case _:
            assert_never(view)


def faults(office: Office, view: View) -> Iterator[Act]:
    """What may go wrong about it."""
    channel, saw = office.desk.channel, office.desk.saw
    if view is View.CONNECTION:
        killed = replace(office, desk=new_desk(office.record, Sight.AWAY))
        yield Act("is killed, and started again", killed, 1)
        if channel.sight is not Sight.AWAY:
            yield Act("loses its connection", disconnected(office), 1)
        if saw is not None and channel.sight is Sight.LOOKED:
            beat = Beat(Role.CANDIDATE, VERSIONS[saw], saw, live=True)
            act = _heard(office, beat)
            if act.office != office:
                yield replace(act, label="hears the heartbeat once more, late", cost=1)
    if view is View.STATUSES and channel.sight is not Sight.AWAY:
        for status in _late_statuses(office):
            yield replace(_heard(office, status), label="hears an older status, late", cost=1)


def _late_statuses(office: Office) -> Iterator[Status]:
    """All that matters of one that is older than what was heard is that it is."""
    status, heard = office.plane.status, office.desk.case.heard
    if status is not None and heard is not None and heard[0] == status.journal_id and heard[1] > 0:
        yield replace(status, seq=heard[1] - 1)
    if (other := office.plane.of_another_journal) is not None:
        yield other


def wished(office: Office, wish: Wish) -> Iterator[Act]:
    """What somebody asks of this operator, unless it refuses."""
    name = None if wish is Wish.ABORT else IDS[wish]
    event: Event = AbortOrdered()
    if name is not None:
        version = VERSIONS[name]
        event = Ordered(
            name,
            version,
            artifact(version),
            "",
            retry=wish is Wish.RETRY,
            replace=wish is Wish.OTHER,
        )
    try:
        yield Act(f"is asked: {wish}", decide(_read(office), event), wishes=1)
    except OrderRefused:
        return


def disconnected(office: Office) -> Office:
    """What was seen counts no more; what was under way to it is lost."""
    stops = office.desk.channel.stops
    desk = replace(office.desk, channel=Channel(Sight.AWAY, stops=stops), saw=None)
    if desk.writing is not None:
        desk = replace(desk, writing=Writing(desk.writing.then or desk.writing.wanted))
    return decide(replace(office, desk=desk), SightForgotten())


def told(office: Office, beat: Beat) -> Office:
    """What the server has stored is under way to it. Live is what comes after its look.

    A heartbeat that no upgrade could count is heard at once: all that follows from it is what is
    shown as the current version, by which no upgrade is decided.
    """
    desk, channel = office.desk, office.desk.channel
    if channel.sight is Sight.AWAY:
        return office
    beat = replace(beat, live=channel.sight is Sight.LOOKED)
    if VERSIONS.get(beat.upgrade_id or "") != beat.version:
        return decide(office, _beat_event(beat))
    if not beat.live or _heard(office, beat).office == office:
        return office
    return replace(office, desk=replace(desk, channel=replace(channel, beat=beat)))


def answered(desk: Desk, upgrade_id: str, answer: Answer) -> Desk:
    """The device's answer is under way to it. What was asked before is asked no more."""
    if desk.channel.sight is Sight.AWAY or desk.stop != upgrade_id or not desk.asked:
        return desk
    return replace(desk, channel=replace(desk.channel, answer=answer))


def without_stop(desk: Desk, upgrade_id: str) -> Desk:
    """The device has got it."""
    return replace(desk, channel=replace(desk.channel, stops=desk.channel.stops - {upgrade_id}))


def decide(office: Office, event: Event) -> Office:
    """As `Operator._decide`. Raises OrderRefused."""
    while True:
        case = office.desk.case
        after, effects = step(case, event)
        if after.record == case.record:
            break
        if office.desk.in_sync:
            office = replace(office, record=after.record)
            break
        office = _read(office)
    desk = replace(office.desk, case=_plain(after))
    for effect in effects:
        desk = _perform(desk, effect)
    return replace(office, desk=desk)


def _plain(case: Case) -> Case:
    """Without what people are shown or a wait depends on; counts no higher than they matter."""
    return replace(
        case,
        unanswered=0,
        said_less=min(case.said_less, SET_BACK_AFTER),
        stop_told=None,
        set_back_told=None,
        heartbeat=None,
        candidate=None,
        identity=Identity(),
    )


def _perform(desk: Desk, effect: Effect) -> Desk:
    match effect:
        case WriteMarker(marker):
            writing = desk.writing
            busy = writing is not None and writing.hand is not Hand.BEGINS
            after = replace(writing, then=marker) if writing and busy else Writing(marker)
            return replace(desk, writing=after)
        case SendStop(upgrade_id):
            channel = replace(desk.channel, answer=None)  # one to an older stop means nothing
            return replace(desk, stop=upgrade_id, asked=False, channel=channel)
        case Tell():
            return desk
        case _:
            assert_never(effect)


def _read(office: Office) -> Office:
    """What the store holds, where somebody else has written it."""
    desk = office.desk
    if desk.in_sync:
        return office
    desk = replace(desk, case=read_again(desk.case, office.record), in_sync=True)
    return replace(office, desk=desk)


def _connects(office: Office) -> Iterator[Act]:
    channel = office.desk.channel
    if office.plane.up and channel.sight is Sight.AWAY:
        yield Act("connects", _with(office, sight=Sight.CONNECTED))
    if channel.sight is Sight.CONNECTED:
        yield Act("looks at the stream", _with(office, sight=Sight.LOOKED))
    if channel.beat is not None:
        yield _heard(_with(office, beat=None), channel.beat)


def _hears(office: Office, status: Status) -> Iterator[Act]:
    if office.desk.channel.sight is not Sight.AWAY:
        act = _heard(office, status)
        if act.office != office:
            yield act


def _heard(office: Office, said: Beat | Status) -> Act:
    if isinstance(said, Status):
        return Act("hears the status", decide(office, StatusSeen(said, "", live=True)))
    heard = decide(office, _beat_event(said))
    if said.live and VERSIONS.get(said.upgrade_id or "") == said.version:
        heard = replace(heard, desk=replace(heard.desk, saw=said.upgrade_id))
    return Act(f"hears the {said.role}", heard)


def _beat_event(beat: Beat) -> HeartbeatSeen:
    said = Heartbeat(DEVICE, beat.version, beat.role, "instance", "boot", 1, 1000, beat.upgrade_id)
    return HeartbeatSeen(said, beat.live)


def _writes(office: Office, alone: bool) -> Iterator[Act]:
    writing, plane = office.desk.writing, office.plane
    if writing is None or office.desk.channel.sight is Sight.AWAY:
        return
    if alone:
        write = bucket_write(office.desk.case, writing.wanted, plane.marker)
        sent = replace(writing, revision=plane.written)  # nobody else is there to compare it
        if write is not BucketWrite.WRITE:
            yield Act("leaves the marker", _with_writing(office, None))
        else:
            yield Act("writes the marker", _stored(office, sent))
        return
    match writing.hand:
        case Hand.BEGINS:
            read = replace(writing, hand=Hand.HAS_READ, found=plane.marker, revision=plane.written)
            yield Act("reads the bucket", _with_writing(office, read))
        case Hand.HAS_READ:
            looked = _read(office)
            write = bucket_write(looked.desk.case, writing.wanted, writing.found)
            sent = replace(writing, hand=Hand.HAS_SENT)
            after = sent if write is BucketWrite.WRITE else _next(writing.then)
            yield Act(f"decides about the bucket: {write}", _with_writing(looked, after))
        case Hand.HAS_SENT:
            yield Act("writes the marker", _stored(office, writing))
        case _:
            assert_never(writing.hand)


def _stored(office: Office, writing: Writing) -> Office:
    plane = office.plane
    if writing.revision != plane.written:
        return _with_writing(office, Writing(writing.then or writing.wanted))
    stored = replace(
        plane, marker=writing.wanted, older_marker=plane.marker, written=writing.revision + 1
    )
    return _with_writing(replace(office, plane=stored), _next(writing.then))


def _next(then: Marker | None) -> Writing | None:
    return Writing(then) if then is not None else None


def _stops(office: Office) -> Iterator[Act]:
    """It gives up waiting only for what is lost: a stop that still comes is one that comes late."""
    desk = office.desk
    if desk.stop is None:
        return
    if not desk.asked:
        yield _stop_sent(office, desk.stop)
        return
    if (answer := desk.channel.answer) is not None:
        event = StopAnswered(desk.stop, answer, "")
        yield Act("hears the answer", decide(_without_request(office), event))
    elif desk.stop not in desk.channel.stops:
        unanswered = decide(_without_request(office), StopUnanswered(desk.stop))
        yield Act("hears no answer in time", unanswered)


def _stop_sent(office: Office, upgrade_id: str) -> Act:
    looked = _read(office)
    desk, channel = looked.desk, looked.desk.channel
    if not may_stop(desk.case, upgrade_id) or channel.sight is Sight.AWAY:
        not_sent = decide(_without_request(looked), StopUnanswered(upgrade_id))
        return Act("does not send the stop", not_sent)
    under_way = channel.stops | {upgrade_id} if looked.plane.device else channel.stops
    sent = replace(desk, asked=True, channel=replace(channel, stops=under_way))
    breach = "" if desk.saw == upgrade_id else "2: a stop, and the new version was not seen"
    order = looked.record.order
    if order is None or order.upgrade_id != upgrade_id or order.desired is Desired.ABORT:
        breach = breach or "2: a stop, and the store wants that upgrade no more"
    return Act("sends the stop", replace(looked, desk=sent), breach=breach)


def _without_request(office: Office) -> Office:
    """What it has asked for, an answer to it included, is past."""
    office = _with(office, answer=None)
    return replace(office, desk=replace(office.desk, stop=None, asked=False))


def _changed(office: Office, label: str, event: Event) -> Iterator[Act]:
    """As a listing finds it: the store is read just before."""
    after = decide(_read(office), event)
    if after != office:
        yield Act(label, after)


def _with_writing(office: Office, writing: Writing | None) -> Office:
    return replace(office, desk=replace(office.desk, writing=writing))


def _with(office: Office, **changes: object) -> Office:
    channel = replace(office.desk.channel, **changes)  # type: ignore[arg-type]
    return replace(office, desk=replace(office.desk, channel=channel))
