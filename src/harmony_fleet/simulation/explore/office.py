"""One operator's memory, and what the shipped coordinator makes of what it hears.

As in `operator/loop.py`: the record is saved before effects, and a conflict means read and decide
again.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from harmony_fleet.contracts.commands import Answer
from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.contracts.upgrade import Status
from harmony_fleet.operator.coordinator import (
    SET_BACK_AFTER,
    Case,
    Effect,
    SendStop,
    Tell,
    WriteMarker,
    step,
)
from harmony_fleet.operator.events import (
    Event,
    HeartbeatSeen,
    SightForgotten,
    StatusSeen,
)
from harmony_fleet.operator.identity_watch import Identity
from harmony_fleet.operator.known import read_again
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore.world import (
    DEVICE,
    VERSIONS,
    Beat,
    Channel,
    Desk,
    Hand,
    Plane,
    Sight,
    Writing,
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
    return Desk(Case(record), Channel(sight))


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
        office = read(office)
    desk = replace(office.desk, case=_plain(after))
    for effect in effects:
        desk = _perform(desk, effect)
    return replace(office, desk=desk)


def _plain(case: Case) -> Case:
    """Without what people are shown or a wait depends on; counts no higher than they matter."""
    return replace(
        case,
        unanswered=0,
        heard=None,
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


def read(office: Office) -> Office:
    """What the store holds, where somebody else has written it."""
    desk = office.desk
    if desk.in_sync:
        return office
    desk = replace(desk, case=read_again(desk.case, office.record), in_sync=True)
    return replace(office, desk=desk)


def heard(office: Office, said: Beat | Status) -> Act:
    if isinstance(said, Status):
        return Act("hears the status", decide(office, StatusSeen(said, "", live=True)))
    after = decide(office, beat_event(said))
    if said.live and VERSIONS.get(said.upgrade_id or "") == said.version:
        after = replace(after, desk=replace(after.desk, saw=said.upgrade_id))
    return Act(f"hears the {said.role}", after)


def beat_event(beat: Beat) -> HeartbeatSeen:
    said = Heartbeat(DEVICE, beat.version, beat.role, "instance", "boot", 1, 1000, beat.upgrade_id)
    return HeartbeatSeen(said, beat.live)


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
        return decide(office, beat_event(beat))
    if not beat.live or heard(office, beat).office == office:
        return office
    return replace(office, desk=replace(desk, channel=replace(channel, beat=beat)))


def disconnected(office: Office) -> Office:
    """What was seen counts no more; what was under way is lost, but for what it has read."""
    stops = office.desk.channel.stops
    desk = replace(office.desk, channel=Channel(Sight.AWAY, stops=stops), saw=None)
    if desk.writing is not None and desk.writing.hand is Hand.HAS_SENT:
        desk = replace(desk, writing=desk.writing.again())
    return decide(replace(office, desk=desk), SightForgotten())


def answered(desk: Desk, upgrade_id: str, answer: Answer) -> Desk:
    """The device's answer is under way to it. What was asked before is asked no more."""
    if desk.channel.sight is Sight.AWAY or desk.stop != upgrade_id or not desk.asked:
        return desk
    return replace(desk, channel=replace(desk.channel, answer=answer))


def without_stop(desk: Desk, upgrade_id: str) -> Desk:
    """The device has got it."""
    return replace(desk, channel=replace(desk.channel, stops=desk.channel.stops - {upgrade_id}))


def changed_channel(office: Office, **changes: object) -> Office:
    channel = replace(office.desk.channel, **changes)  # type: ignore[arg-type]
    return replace(office, desk=replace(office.desk, channel=channel))
