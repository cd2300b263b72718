"""All moves of the world, put together from those of its parts, each worked out once.

A part is known by its number in a pool; a move of a part that meets another is worked out once for
the pair. What was worked out is checked at once, so that the search only compares numbers.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.events import StopReceived
from harmony_fleet.agent.upgrade.states import Starting
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore import checks
from harmony_fleet.simulation.explore.device import Devices, Steps
from harmony_fleet.simulation.explore.meeting import Meeting, Meetings
from harmony_fleet.simulation.explore.office import (
    Act,
    Office,
    answered,
    disconnected,
    told,
    without_stop,
)
from harmony_fleet.simulation.explore.operators import View, acts, faults, wished
from harmony_fleet.simulation.explore.running import Answers
from harmony_fleet.simulation.explore.world import BOOT, Beat, Desk, Device, Plane, Scenario

T = TypeVar("T", bound=Hashable)
BITS = 22
"""Of a part's number."""


class Pool(Generic[T]):
    """Values by number, each once."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            if found >> BITS:
                raise OverflowError("more parts than a state has room for")
            self.values.append(value)
        return found


class DeviceMove(NamedTuple):
    """Of the device, and of the plane that it meets; what it says goes to each operator."""

    label: int
    cost: int
    device: int
    plane: int
    said: int
    answers: Answers
    breach: str


class OfficeMove(NamedTuple):
    label: int
    cost: int
    desk: int
    plane: int
    record: int
    wishes: int
    breach: str


NOTHING_SAID = 0
VIEWS = tuple(View)


class Moves:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.devices: Pool[Device] = Pool()
        self.planes: Pool[Plane] = Pool()
        self.desks: Pool[Desk] = Pool()
        self.records: Pool[DeviceRecord] = Pool()
        self.labels: Pool[str] = Pool()
        self._said: Pool[Beat | None] = Pool()
        self._said.number(None)
        self._parties = {faulty: Devices(scenario.kind, faulty) for faulty in (False, True)}
        self._meetings = {faulty: Meetings(self._parties[faulty]) for faulty in (False, True)}
        for name in (
            "own",
            "met",
            "done",
            "stopped",
            "seen",
            "wished",
            "viewed",
            "merged",
            "told",
            "answered",
            "stopless",
            "knows_who",
            "stale",
            "outage",
            "returns",
            "cut",
            "cut_desk",
            "plain",
        ):
            setattr(self, name, cache(getattr(self, name)))

    # The device

    def own(self, device: int, faulty: bool) -> tuple[DeviceMove, ...]:
        """Without the plane, whose number in them means nothing. Faults alone, or what is free."""
        before = self.devices.values[device]
        steps = self._parties[faulty].own(before)
        return self._device_moves(before, _without_plane(steps), faulty)

    def met(self, device: int, plane: int, faulty: bool) -> tuple[DeviceMove, ...]:
        before = self.devices.values[device]
        meetings = self._meetings[faulty].of(before, self.planes.values[plane])
        return self._device_moves(before, meetings, faulty)

    def stopped(
        self, device: int, upgrade_id: str, operator: int, faulty: bool
    ) -> tuple[DeviceMove, ...]:
        """A stop arrives; a fault that costs nothing more is that it arrives once more."""
        before = self.devices.values[device]
        process = before.process
        if process is None or isinstance(process.state, Starting):
            return ()
        if not self._meetings[faulty].has_contact(process):
            return ()
        now = BootTime(BOOT, 0.0)
        event = StopReceived(upgrade_id, f"{operator}.{upgrade_id}", now)
        steps = self._parties[faulty].taking(before, "the stop arrives", event)
        return self._device_moves(before, _without_plane(steps), faulty, upgrade_id)

    def knows_who(self, device: int) -> bool:
        """It is still to take a stop, and to answer the operator that has sent it."""
        process = self.devices.values[device].process
        return process is not None and isinstance(process.again, StopReceived)

    def _device_moves(
        self, before: Device, meetings: Iterable[Meeting], faulty: bool, stopped: str | None = None
    ) -> tuple[DeviceMove, ...]:
        return tuple(
            DeviceMove(
                self.labels.number(meeting.label),
                meeting.cost,
                self.devices.number(meeting.device),
                self.planes.number(meeting.plane),
                self._said.number(meeting.said),
                meeting.answers,
                meeting.breach or self._breach(before, meeting.device, stopped),
            )
            for meeting in meetings
            if bool(meeting.cost) is faulty
        )

    def _breach(self, before: Device, after: Device, stopped: str | None) -> str:
        kind = self.scenario.kind
        return checks.of_device(after, kind) or checks.of_devices_change(before, after, stopped)

    # Operators

    def done(self, desk: int, plane: int, record: int, faulty: bool) -> tuple[OfficeMove, ...]:
        """What an operator may do, or what may go wrong about it."""
        found: list[OfficeMove] = []
        for view in VIEWS:
            part = self.viewed(plane, view)
            for move in self.seen(desk, part, record, view, faulty):
                there = plane if move.plane == part else self.merged(plane, move.plane)
                found.append(move if there == part else move._replace(plane=there))
        return tuple(found)

    def viewed(self, plane: int, view: View) -> int:
        return self.planes.number(view.of(self.planes.values[plane]))

    def merged(self, plane: int, marked: int) -> int:
        """The plane with another marker, which is all that an operator ever changes of it."""
        new, there = self.planes.values[marked], self.planes.values[plane]
        marker, older, written = new.marker, new.older_marker, new.written
        after = replace(there, marker=marker, older_marker=older, written=written)
        return self.planes.number(after)

    def seen(
        self, desk: int, part: int, record: int, view: View, faulty: bool
    ) -> tuple[OfficeMove, ...]:
        office = self._office(desk, part, record)
        found = faults(office, view) if faulty else acts(office, view, self.scenario.looks)
        return self._office_moves(office, found)

    def wished(self, desk: int, record: int, wish: int) -> tuple[OfficeMove, ...]:
        """The plane's number in them means nothing."""
        office = Office(self.desks.values[desk], _NO_PLANE, self.records.values[record])
        return self._office_moves(office, wished(office, self.scenario.wishes[wish]))

    def told(self, desk: int, record: int, said: int) -> tuple[int, int]:
        """The operator, and the record, once the server has passed that on."""
        heard = self._said.values[said]
        office = Office(self.desks.values[desk], _NO_PLANE, self.records.values[record])
        after = office if heard is None else told(office, heard)
        return self.desks.number(after.desk), self.records.number(after.record)

    def answered(self, desk: int, operator: int, answers: Answers) -> int:
        after = self.desks.values[desk]
        for number, upgrade_id, answer in answers:
            after = answered(after, upgrade_id, answer) if number == operator else after
        return self.desks.number(after)

    def stopless(self, desk: int, upgrade_id: str) -> int:
        return self.desks.number(without_stop(self.desks.values[desk], upgrade_id))

    def stale(self, desk: int) -> int:
        """The operator, once another has written the record."""
        return self.desks.number(replace(self.desks.values[desk], in_sync=False))

    def _office(self, desk: int, plane: int, record: int) -> Office:
        return Office(
            self.desks.values[desk], self.planes.values[plane], self.records.values[record]
        )

    def _office_moves(self, before: Office, found: Iterable[Act]) -> tuple[OfficeMove, ...]:
        return tuple(
            OfficeMove(
                self.labels.number(act.label),
                act.cost,
                self.desks.number(act.office.desk),
                self.planes.number(act.office.plane),
                self.records.number(act.office.record),
                act.wishes,
                act.breach or _changed(before.record, act.office.record),
            )
            for act in found
        )

    # The plane

    def outage(self, plane: int) -> int:
        gone = replace(self.planes.values[plane], up=False, device=False, beats=())
        return self.planes.number(gone)

    def cut(self, plane: int) -> int:
        """The device's connection breaks."""
        return self.planes.number(replace(self.planes.values[plane], device=False))

    def cut_desk(self, desk: int, record: int, outage: bool) -> int:
        """No stop is under way to the device any more; in an outage the operator is away, too."""
        before = self.desks.values[desk]
        if outage and before.channel.sight:
            office = Office(before, _NO_PLANE, self.records.values[record])
            before = disconnected(office).desk
        after = replace(before, channel=replace(before.channel, stops=frozenset()))
        return self.desks.number(after)

    def returns(self, plane: int) -> tuple[tuple[int, int], ...]:
        """It is back: with less than it had, or with nothing. Label and plane.

        Each bucket loses its own last writes. A status that was lost is put again; whether the one
        before it comes back tells nobody more.
        """
        gone = self.planes.values[plane]
        back = replace(gone, up=True)
        written = max(0, gone.written - 1)
        unmarked = replace(back, marker=gone.older_marker, written=written)
        found = {
            "is back": back,
            "is back without its last marker": unmarked,
            "is back without its last writes": replace(unmarked, status=None),
            "is back, and empty": Plane(device=False),
        }
        return tuple(
            (self.labels.number(f"the message plane {story}"), self.planes.number(after))
            for story, after in found.items()
        )

    def plain(self, plane: int) -> int:
        """Where no fault may follow, what could come back after one makes no difference."""
        there = self.planes.values[plane]
        if not there.up:
            return plane
        return self.planes.number(replace(there, older_marker=None, of_another_journal=None))


_NO_PLANE = Plane()


def _without_plane(steps: Steps) -> Iterator[Meeting]:
    for step in steps:
        reaction = step.reaction
        yield Meeting(step.label, reaction.device, _NO_PLANE, None, reaction.answers, step.cost)


def _changed(before: DeviceRecord, after: DeviceRecord) -> str:
    return "" if before == after else checks.of_records_change(before, after)
