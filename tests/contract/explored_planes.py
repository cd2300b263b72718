"""The explorer's message plane, as `plane_script` plays on it: by the moves of its search."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.contract.plane_script import ANSWERED, ARRIVES, BOTH, LINES, UNKNOWN, Return, Told, play

from harmony_fleet.agent.upgrade.states import Starting
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Marker, Status
from harmony_fleet.operator.events import StatusSeen
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore.device import Devices
from harmony_fleet.simulation.explore.meeting import Meeting, Meetings
from harmony_fleet.simulation.explore.moves import Moves
from harmony_fleet.simulation.explore.office import (
    Act,
    Office,
    answered,
    beat_event,
    decide,
    disconnected,
    new_desk,
    told,
    without_stop,
)
from harmony_fleet.simulation.explore.operators import View, acts, wished
from harmony_fleet.simulation.explore.start import installed
from harmony_fleet.simulation.explore.world import (
    DEVICE,
    IDS,
    NEW,
    OLD,
    Candidate,
    Desk,
    Hand,
    Kind,
    Plane,
    Process,
    Scenario,
    Sight,
    Wish,
    Writing,
    artifact,
)

UPGRADE_ID = IDS[Wish.UPGRADE]


def marker(name: str) -> Marker:
    return Marker(DEVICE, f"{ord(name):032x}", ord(name), NEW, artifact(NEW))


class ExploredPlanes:
    """A `Planes`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._moves = Moves(Scenario("of the script", operators=2))
        self._meetings = Meetings(Devices(Kind.GOOD, faulty=False))
        device, _, record = installed(plain=False)
        self._device = replace(device, candidate=Candidate(NEW, UPGRADE_ID))
        self._plane, self._record = Plane(device=False), _ordered(record)
        self._desks = {who: new_desk(self._record, Sight.AWAY) for who in BOTH}

    def _office(self, who: str) -> Office:
        return Office(self._desks[who], self._plane, self._record)

    def _act(self, who: str, view: View, *labels: str) -> Act:
        """The one that is offered by one of these names."""
        found = [act for act in acts(self._office(who), view, looks=True) if act.label in labels]
        (act,) = found
        office = act.office
        self._desks[who], self._plane, self._record = office.desk, office.plane, office.record
        return act

    def _meet(self, label: str) -> Meeting:
        (found,) = (one for one in self._all_meetings() if one.label == label)
        return found

    def _all_meetings(self) -> Iterable[Meeting]:
        return self._meetings.of(self._device, self._plane)

    def _process(self) -> Process:
        assert self._device.process is not None
        return self._device.process

    # Connections

    async def connects(self, who: str) -> None:
        self._act(who, View.CONNECTION, "connects")

    async def looks(self, who: str) -> None:
        self._act(who, View.CONNECTION, "looks at the stream")

    async def disconnects(self, who: str) -> None:
        self._desks[who] = disconnected(self._office(who)).desk

    async def device_connects(self) -> None:
        self._plane = self._meet("the device connects").plane

    async def device_disconnects(self) -> None:
        planes = self._moves.planes
        self._plane = planes.values[self._moves.cut(planes.number(self._plane))]

    async def synced(self) -> None:
        """There only the last write is ever lost."""

    async def outage(self, back: Return) -> None:
        moves = self._moves
        record = moves.records.number(self._record)
        for who, desk in self._desks.items():
            cut = moves.cut_desk(moves.desks.number(desk), record, True)
            self._desks[who] = moves.desks.values[cut]
        gone = moves.outage(moves.planes.number(self._plane))
        stories = {moves.labels.values[label]: plane for label, plane in moves.returns(gone)}
        self._plane = moves.planes.values[stories[f"the message plane {back}"]]

    # Markers and statuses

    async def reads(self, who: str) -> None:
        self._desks[who] = replace(self._desks[who], writing=Writing(marker("A")))
        self._act(who, View.MARKER, "reads the bucket")

    async def writes(self, who: str, name: str) -> bool:
        """What stands between the two is the coordinator's."""
        read, before = self._desks[who].writing, self._plane.written
        assert read is not None
        sent = replace(read, wanted=marker(name), hand=Hand.HAS_SENT)
        self._desks[who] = replace(self._desks[who], writing=sent)
        self._act(who, View.MARKER, "writes the marker")
        self._desks[who] = replace(self._desks[who], writing=read)
        return self._plane.written > before

    async def device_reads(self) -> str:
        """The order that it takes up by it."""
        found = {one.label: one.device.process for one in self._all_meetings()}
        process = found.get("the device reads the marker")
        if process is None or isinstance(process.state, Starting):
            return ""
        return chr(process.state.journal.highest)

    async def device_puts(self, seq: int, acknowledged: bool = True) -> None:
        process = self._process()
        assert process.says is not None
        says = replace(process.says, seq=seq)
        self._device = replace(self._device, process=replace(process, says=says, unsaid=True))
        lost = "" if acknowledged else ", and its acknowledgement lost"
        meeting = self._meet(f"the status is stored{lost}")
        self._device, self._plane = meeting.device, meeting.plane
        assert self._process().unsaid is not acknowledged

    async def lists_statuses(self, who: str) -> int:
        status = View.STATUSES.of(self._plane).status
        return status.seq if status else 0

    # Heartbeats

    async def beats(self) -> dict[str, bool]:
        meeting = self._meet("the candidate heartbeats")
        assert meeting.said is not None
        self._plane = meeting.plane
        live = {}
        for who in BOTH:
            desk = self._desks[who]
            fresh = replace(desk, case=replace(desk.case, seen_upgrade=None), saw=None)
            self._desks[who] = fresh
            self._desks[who] = told(self._office(who), meeting.said).desk
            if self._desks[who].channel.beat is not None:
                self._act(who, View.CONNECTION, "hears the candidate")
            live[who] = self._desks[who].saw == UPGRADE_ID
        return live

    async def lists_beats(self, who: str) -> bool:
        desk = self._desks[who]
        self._desks[who] = replace(desk, case=replace(desk.case, seen_upgrade=None), saw=None)
        assert self._desks[who].channel.sight is Sight.LOOKED
        beats = View.HEARTBEATS.of(self._plane).beats
        # `acts` offers only what changes something, and so nothing here
        heard = [decide(self._office(who), beat_event(beat)).desk for beat in beats]
        assert [(desk.saw, desk.case.seen_upgrade) for desk in heard] == [(None, None)] * len(beats)
        return bool(beats)

    # Stops

    async def stops(self, who: str, answer_lost: bool = False) -> Sequence[str]:
        self._desks[who] = self._about_to_stop(who)
        self._act(who, View.CONNECTION, "sends the stop")
        arrived = UPGRADE_ID in self._desks[who].channel.stops
        if arrived:
            self._arrives(who)
        if answer_lost:
            await self.disconnects(who)
            await self.connects(who)
            await self.looks(who)
        act = self._act(who, View.CONNECTION, "hears the answer", "hears no answer in time")
        known = ANSWERED if act.label == "hears the answer" else UNKNOWN
        return [*[ARRIVES] * arrived, known]

    def _about_to_stop(self, who: str) -> Desk:
        desk = self._desks[who]
        case = replace(desk.case, seen_upgrade=UPGRADE_ID, stop_in_flight=False)
        office = replace(self._office(who), desk=replace(desk, case=case, saw=UPGRADE_ID))
        ready = Status(
            DEVICE,
            "journal-1",
            9,
            1,
            upgrade_id=UPGRADE_ID,
            from_version=OLD,
            to_version=NEW,
            phase=AgentUpgradePhase.CUTOVER_READY,
            attempt=1,
        )
        office = decide(office, StatusSeen(ready, "", live=True))
        self._record = office.record
        return office.desk

    def _arrives(self, who: str) -> None:
        moves = self._moves
        number = moves.devices.number(self._device)
        (move,) = moves.stopped(number, UPGRADE_ID, BOTH.index(who), False)
        desk = without_stop(self._desks[who], UPGRADE_ID)
        for _, upgrade_id, answer in move.answers:
            desk = answered(desk, upgrade_id, answer)
        self._desks[who] = desk


def _ordered(record: DeviceRecord) -> DeviceRecord:
    """Once the upgrade is."""
    office = Office(new_desk(record, Sight.LOOKED), Plane(), record)
    (act,) = wished(office, Wish.UPGRADE)
    return act.office.record


def over_the_explored_one() -> Told:
    return {line.__name__: asyncio.run(play(ExploredPlanes(), line)) for line in LINES}
