"""What may happen between the device and the message plane."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harmony_fleet.agent.upgrade import deadman
from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.effects import StartCandidate, Verify
from harmony_fleet.agent.upgrade.events import (
    Event,
    ExpiryMark,
    OrderRead,
    PlaneAsked,
    Reported,
    ServiceStopping,
    TimeRanOut,
    Verified,
    VerifyingFailed,
)
from harmony_fleet.agent.upgrade.record import Attempt, Journal, Stage, status_of
from harmony_fleet.agent.upgrade.states import Armed, Deadline, Probation, Starting
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import CauseKind, Status, cause
from harmony_fleet.simulation.disk import ATTEMPT_OPEN, CONTROLS, EXPIRED, JOURNAL, STATE, Disk
from harmony_fleet.simulation.explore.device import Devices, device_files
from harmony_fleet.simulation.explore.running import Answers
from harmony_fleet.simulation.explore.world import (
    BOOT,
    DEVICE,
    VERSIONS,
    Beat,
    Device,
    Kind,
    Plane,
    Process,
)

BOUNDS = deadman.Bounds(probation_s=50.0, spacing_s=50.0, outage_s=5000.0)
FIRST_S, SECOND_S, AFTER_OUTAGE_S = 100.0, 200.0, 10_000.0
"""Instants on the boot clock at which the dead-man timer wakes: there is no other time here."""


@dataclass(frozen=True, slots=True)
class Meeting:
    label: str
    device: Device
    plane: Plane
    said: Beat | None = None
    """To every operator that is connected."""
    answers: Answers = ()
    cost: int = 0
    breach: str = ""
    """What must never be, and is."""


class Meetings:
    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def of(self, device: Device, plane: Plane) -> Iterator[Meeting]:
        if plane.up and not plane.device:
            yield Meeting("the device connects", _connected(device), replace(plane, device=True))
        yield from self._expired(device, plane)
        yield from self._verified(device, plane)
        if device.process is not None:
            yield from self._runs_out(device, device.process, plane)
        if not plane.device:
            return
        if device.candidate is not None:
            yield from self._candidate_beats(device, plane)
        process = device.process
        if process is not None and self.has_contact(process):
            yield self._beats(device, process, plane)
            if isinstance(process.state, Starting):
                return  # it waits for the disk, and knows nothing yet
            yield from self._puts(device, process, plane)
            yield from self._reads(device, process, plane)
            yield from self._asks(device, process, plane)

    def has_contact(self, process: Process) -> bool:
        return self._devices.behaviour(process.running) is not Kind.NO_CONTACT

    # The primary

    def _beats(self, device: Device, process: Process, plane: Plane) -> Meeting:
        state = process.state
        attempt = None if isinstance(state, Starting) else state.journal.open_attempt
        upgrade_id = attempt.upgrade_id if attempt else None
        version = self._devices.says(process.running)
        return _stored(device, plane, Beat(Role.PRIMARY, version, upgrade_id))

    def _candidate_beats(self, device: Device, plane: Plane) -> Iterator[Meeting]:
        if (candidate := device.candidate) is None:
            return
        if self._devices.behaviour(candidate.version) is not Kind.SILENT:
            version = self._devices.says(candidate.version)
            yield _stored(device, plane, Beat(Role.CANDIDATE, version, candidate.upgrade_id))

    def _puts(self, device: Device, process: Process, plane: Plane) -> Iterator[Meeting]:
        if not process.unsaid or process.says is None:
            return
        status = status_of(process.says, DEVICE)
        after = with_status(plane, status)
        said = replace(device, process=replace(process, unsaid=False))
        yield from self._meet(said, after, "the status is stored", Reported(process.says.seq))
        lost = "the status is stored, and its acknowledgement lost"
        yield Meeting(lost, device, after, cost=1)

    def _reads(self, device: Device, process: Process, plane: Plane) -> Iterator[Meeting]:
        """At any time; where all that follows is the same status again, it is left out.

        One that is taken late may as well have been read when it first told the device anything.
        """
        if plane.marker is None:
            return
        label = "the device reads the marker"
        whole, *cut_off = self._meet(device, plane, label, OrderRead(plane.marker))
        if whole.device.process == replace(process, unsaid=True):
            return
        yield from (whole, *cut_off)
        if process.order is None:
            late = replace(device, process=replace(process, order=plane.marker))
            yield Meeting("the device reads the marker, to take it late", late, plane, cost=1)

    def _runs_out(self, device: Device, process: Process, plane: Plane) -> Iterator[Meeting]:
        """The clock for the stop stands still without the plane, where the overall one ends it.

        Probation is far longer than a status takes to be acknowledged where there is contact.
        """
        contact = plane.device and self.has_contact(process)
        runs = {
            Deadline.STOP: plane.device,
            Deadline.OVERALL: not plane.device,
            Deadline.PROBATION: not (contact and process.unsaid),
        }
        for deadline in sorted(process.clocks):
            if runs.get(deadline):
                after = replace(process, clocks=process.clocks - {deadline})
                label = f"the clock {deadline} runs out"
                out = replace(device, process=after)
                yield from self._meet(out, plane, label, TimeRanOut(deadline))

    def _asks(self, device: Device, process: Process, plane: Plane) -> Iterator[Meeting]:
        work, state = process.work, process.state
        if not isinstance(work, StartCandidate) or not isinstance(state, Armed):
            return
        heard = Beat(Role.CANDIDATE, work.version, work.upgrade_id) in plane.beats
        if not state.heard and heard is not state.heard:
            words = "has heard the candidate" if heard else "has not heard the candidate yet"
            yield from self._meet(device, plane, f"the plane {words}", PlaneAsked(heard))

    def _verified(self, device: Device, plane: Plane) -> Iterator[Meeting]:
        process = device.process
        if process is None or not isinstance(process.work, Verify):
            return
        done = replace(device, process=replace(process, work=None))
        passes = self._devices.behaviour(process.work.version) is not Kind.FAILS_SELF_TEST
        if plane.device and passes:
            yield from self._meet(done, plane, "the self-tests pass", Verified())
            return
        failed = VerifyingFailed(cause(CauseKind.SELF_TEST_FAILED, "it failed"), plane.device)
        yield from self._meet(done, plane, "a self-test fails", failed)

    # The dead-man timer

    def _expired(self, device: Device, plane: Plane) -> Iterator[Meeting]:
        """Once probation's time is over: what the timer does at each waking."""
        disk = Disk.of(device.disk)
        attempt = _overdue(device, disk)
        if attempt is None or attempt.from_version not in device_files(device):
            return
        mark = disk.seen(EXPIRED)
        if not isinstance(mark, ExpiryMark) or mark.upgrade_id != attempt.upgrade_id:
            yield from _controlled(device, plane, disk, attempt)
            return
        for meeting in self._meet(
            device, plane, "the timer restarts the unit", ServiceStopping(False)
        ):
            yield replace(meeting, device=replace(meeting.device, process=None))

    def _meet(self, device: Device, plane: Plane, label: str, event: Event) -> Iterator[Meeting]:
        for step in self._devices.taking(device, label, event):
            reaction = step.reaction
            yield Meeting(step.label, reaction.device, plane, None, reaction.answers, step.cost)


def _overdue(device: Device, disk: Disk) -> Attempt | None:
    """The attempt whose probation is over its time, as far as the timer can know."""
    process, journal = device.process, disk.seen(JOURNAL)
    if process is None or not isinstance(process.state, Probation):
        return None
    if not process.state.time_reached or disk.seen(ATTEMPT_OPEN) is None:
        return None
    attempt = journal.open_attempt if isinstance(journal, Journal) else None
    return attempt if attempt is not None and attempt.stage is Stage.COMMITTED else None


def _controlled(device: Device, plane: Plane, disk: Disk, attempt: Attempt) -> Iterator[Meeting]:
    left, journal = disk.seen(CONTROLS), disk.seen(JOURNAL)
    if not isinstance(journal, Journal):
        return
    controls = left if isinstance(left, deadman.Controls) else None
    second = controls == deadman.Controls(attempt.upgrade_id, BOOT, FIRST_S)
    instants = [SECOND_S if second else FIRST_S, *([] if plane.device else [AFTER_OUTAGE_S])]
    for now_s in instants:
        now = BootTime(BOOT, now_s)
        kept, mark = deadman.judge(journal, now, BOUNDS, plane.device, controls)
        after = Disk(dict(disk.names))
        after.put(CONTROLS if mark is None else EXPIRED, kept if mark is None else mark)
        after.sync(STATE)
        controlled = replace(device, disk=after.image())
        if not plane.device:
            label, breach = "the timer's control ends without contact", _blamed(mark)
            yield Meeting(label, controlled, plane, breach=breach)
            continue
        status = status_of(journal, DEVICE)
        put = with_status(plane, status)
        yield Meeting("the timer's control ends with contact", controlled, put)


def _blamed(mark: ExpiryMark | None) -> str:
    """After a control without contact."""
    blames = mark is not None and mark.cause.kind is CauseKind.NO_CONTACT
    return (
        "7: the new version has no contact, it is said, and the old one has none" if blames else ""
    )


def _connected(device: Device) -> Device:
    process = device.process
    if process is None:
        return device
    again = replace(process, unsaid=process.says is not None)
    return replace(device, process=again)


def with_status(plane: Plane, status: Status) -> Plane:
    last = plane.status
    if last is None or last.journal_id == status.journal_id:
        return replace(plane, status=status)
    return replace(plane, status=status, of_another_journal=last)


def _stored(device: Device, plane: Plane, beat: Beat) -> Meeting:
    """Only those are kept that could ever count: what else is stored tells nobody anything."""
    others = tuple(one for one in plane.beats if one.role is not beat.role)
    counts = VERSIONS.get(beat.upgrade_id or "") == beat.version
    after = replace(plane, beats=(*others, *((beat,) if counts else ())))
    ordered = replace(after, beats=tuple(sorted(after.beats, key=lambda one: one.role)))
    return Meeting(f"the {beat.role} heartbeats", device, ordered, beat)
