"""What one operator may do: the shipped coordinator, with the loop around it as small steps.

As in `operator/loop.py`: the record is saved before effects; a conflict means read and decide
again; marker and stop go their own ways, each with another look at the store before it acts.
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import assert_never

from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import Desired, Marker, Status
from harmony_fleet.operator.bucket import BucketWrite, bucket_write
from harmony_fleet.operator.coordinator import (
    OrderRefused,
    may_stop,
)
from harmony_fleet.operator.events import (
    AbortOrdered,
    Event,
    MarkerSeen,
    Ordered,
    StatusSeen,
    StopAnswered,
    StopUnanswered,
)
from harmony_fleet.simulation.explore.office import (
    Act,
    Office,
    beat_event,
    changed_channel,
    decide,
    disconnected,
    heard,
    new_desk,
    read,
)
from harmony_fleet.simulation.explore.world import (
    IDS,
    VERSIONS,
    Beat,
    Hand,
    Plane,
    Sight,
    Wish,
    Writing,
    artifact,
)


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


def acts(office: Office, view: View, looks: bool) -> Iterator[Act]:
    """What it may do by itself that needs no more than this view.

    `looks`: it reads, looks at the store and writes a marker, each in a move of its own.
    """
    desk, plane = office.desk, office.plane
    sees = desk.channel.sight is Sight.LOOKED
    match view:
        case View.CONNECTION:
            yield from _connects(office)
            yield from _stops(office)
        case View.STATUSES if plane.status is not None:
            yield from _hears(office, plane.status)
            if sees:
                yield from _changed(office, "lists the statuses", StatusSeen(plane.status, ""))
        case View.MARKER:
            yield from _writes(office, looks)
            if sees:
                yield from _changed(office, "lists the markers", MarkerSeen(plane.marker))
        case View.HEARTBEATS if sees:
            for beat in plane.beats:
                yield from _changed(office, "lists the heartbeats", beat_event(beat))
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
            act = heard(office, beat)
            if act.office != office:
                yield replace(act, label="hears the heartbeat once more, late", cost=1)
    if view is View.STATUSES and channel.sight is not Sight.AWAY:
        for act in _late_statuses(office):
            yield replace(act, label="hears an older status, late", cost=1)


def _late_statuses(office: Office) -> Iterator[Act]:
    """All that matters of one that is older than what was heard is that it is.

    What was heard last is not kept: any other status is the newest. So an older one is told here
    also to an operator that has heard none of that journal yet, which can only add to what is seen.
    """
    status, other = office.plane.status, office.plane.of_another_journal
    if status is not None and status.seq > 0:
        case = replace(office.desk.case, heard=(status.journal_id, status.seq))
        there = replace(office, desk=replace(office.desk, case=case))
        yield heard(there, replace(status, seq=status.seq - 1))
    if other is not None:
        yield heard(office, other)


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
        yield Act(f"is asked: {wish}", decide(read(office), event), wishes=1)
    except OrderRefused:
        return


def _connects(office: Office) -> Iterator[Act]:
    channel = office.desk.channel
    if office.plane.up and channel.sight is Sight.AWAY:
        yield Act("connects", changed_channel(office, sight=Sight.CONNECTED))
    if channel.sight is Sight.CONNECTED:
        yield Act("looks at the stream", changed_channel(office, sight=Sight.LOOKED))
    if channel.beat is not None:
        yield heard(changed_channel(office, beat=None), channel.beat)


def _hears(office: Office, status: Status) -> Iterator[Act]:
    if office.desk.channel.sight is not Sight.AWAY:
        act = heard(office, status)
        if act.office != office:
            yield act


def _writes(office: Office, looks: bool) -> Iterator[Act]:
    writing, plane = office.desk.writing, office.plane
    if writing is None:
        return
    if office.desk.channel.sight is Sight.AWAY:
        if writing.hand is Hand.HAS_READ:
            yield Act("cannot write, and will read again", _with_writing(office, writing.again()))
        return
    if not looks:
        looked = read(office)
        write = bucket_write(looked.desk.case, writing.wanted, plane.marker)
        sent = replace(writing, revision=plane.written)
        if write is not BucketWrite.WRITE:
            yield Act("leaves the marker", _with_writing(looked, None))
        else:
            yield Act("writes the marker", _stored(looked, sent))
        return
    match writing.hand:
        case Hand.BEGINS:
            has_read = replace(
                writing, hand=Hand.HAS_READ, found=plane.marker, revision=plane.written
            )
            yield Act("reads the bucket", _with_writing(office, has_read))
        case Hand.HAS_READ:
            looked = read(office)
            write = bucket_write(looked.desk.case, writing.wanted, writing.found)
            sent = replace(writing, hand=Hand.HAS_SENT, found=None)
            after = sent if write is BucketWrite.WRITE else _next(writing.then)
            yield Act(f"decides about the bucket: {write}", _with_writing(looked, after))
        case Hand.HAS_SENT:
            yield Act("writes the marker", _stored(office, writing))
        case _:
            assert_never(writing.hand)


def _stored(office: Office, writing: Writing) -> Office:
    plane = office.plane
    if writing.revision != plane.written:
        return _with_writing(office, writing.again())
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
    looked = read(office)
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
    office = changed_channel(office, answer=None)
    return replace(office, desk=replace(office.desk, stop=None, asked=False))


def _changed(office: Office, label: str, event: Event) -> Iterator[Act]:
    """As a listing finds it: the store is read just before."""
    after = decide(read(office), event)
    if after != office:
        yield Act(label, after)


def _with_writing(office: Office, writing: Writing | None) -> Office:
    return replace(office, desk=replace(office.desk, writing=writing))
