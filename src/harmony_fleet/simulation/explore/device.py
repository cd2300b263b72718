"""What happens on the device by itself, and what an event does to it, with every way to go wrong.

A run, from an event to where the driver waits again, is one move: what it does in between touches
the device alone, and adds to the messages under way, so that it commutes with what others do. That
it is cut off in between is a fault, and tried at each of its points.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.deadman import Controls
from harmony_fleet.agent.upgrade.effects import Stage, StartCandidate
from harmony_fleet.agent.upgrade.events import (
    CandidateExited,
    CandidateReady,
    CandidateStartFailed,
    Event,
    ExpiryMark,
    OrderRead,
    PrimaryStarted,
    ServiceStopping,
    Staged,
    StagingFailed,
    TimeRanOut,
)
from harmony_fleet.agent.upgrade.guard import GuardPorts, guard
from harmony_fleet.agent.upgrade.ports import JournalUnwritable, UpgradeFault
from harmony_fleet.agent.upgrade.record import Attempt, Journal
from harmony_fleet.agent.upgrade.states import Deadline, Probation, Starting, Trial
from harmony_fleet.contracts.upgrade import CauseKind, cause
from harmony_fleet.simulation.disk import (
    EXPIRED,
    JOURNAL,
    LINK,
    PREVIOUS,
    TORN,
    Disk,
    Image,
    Value,
    cuts,
    file_of,
)
from harmony_fleet.simulation.explore.running import (
    Code,
    Reaction,
    Run,
    RunEnded,
    drive,
    ended,
    refused,
    unguarded,
    whole,
)
from harmony_fleet.simulation.explore.world import (
    EARLIER_BOOT,
    NEW,
    OLD,
    STARTS_ALLOWED,
    Candidate,
    Device,
    Kind,
    Process,
    Watch,
    digest,
    says,
)
from harmony_fleet.simulation.files import Program

FAILS_AS_PRIMARY: Final = frozenset(
    {Kind.CRASHES_AT_ONCE, Kind.CRASHES_LATER, Kind.NO_CONTACT, Kind.REBOOTS}
)
"""With one of these, and the old version's file damaged, there is nothing to go back to: the limit
that the protocol states. The two are not tried together."""


@dataclass(frozen=True, slots=True)
class Step:
    """One move of a device."""

    label: str
    reaction: Reaction
    cost: int = 0
    """Faults."""


Steps = tuple[Step, ...]


class Devices:
    """The moves of a device whose NEW version behaves as `kind` says."""

    def __init__(self, kind: Kind, faulty: bool) -> None:
        self._kind, self._faulty = kind, faulty

    def behaviour(self, version: str) -> Kind:
        return self._kind if version == NEW else Kind.GOOD

    def says(self, version: str) -> str:
        return says(version, self._kind)

    def own(self, device: Device) -> Steps:
        """Without the message plane."""
        found = list(self._at_rest(device)) if self._faulty else []
        if device.process is None:
            found += self._attempts(device, "the unit starts", _guarded_by(device), self._start)
            return tuple(found)
        process = device.process
        for label, event, after in self._events(device, process):
            left = replace(device, process=after)
            if isinstance(event, CandidateStartFailed):  # it was ended before that is told
                left = replace(left, candidate=None)
            found += self._handled(left, label, event)
        found += self._work(device, process)
        found += self._deaths(device, process)
        return tuple(found)

    def taking(self, device: Device, label: str, event: Event) -> Steps:
        """The primary takes this event."""
        return tuple(self._handled(device, label, event))

    # Events of the device's own

    def _events(self, device: Device, process: Process) -> Iterator[tuple[str, Event, Process]]:
        if process.again is not None:
            yield "the device tries again", process.again, replace(process, again=None)
        if isinstance(process.state, Starting):
            return
        if Deadline.RETRY in process.clocks:
            after = replace(process, clocks=process.clocks - {Deadline.RETRY})
            yield "the device tries the step again", TimeRanOut(Deadline.RETRY), after
        if process.order is not None:
            after = replace(process, order=None)
            yield "the device takes the order, late", OrderRead(process.order), after
        if isinstance(process.work, StartCandidate):
            yield from self._candidate_events(device, process, process.work.version)

    def _candidate_events(
        self, device: Device, process: Process, version: str
    ) -> Iterator[tuple[str, Event, Process]]:
        alive, done = device.candidate is not None, replace(process, work=None, watch=Watch.NOT_YET)
        match process.watch:
            case Watch.STARTED if alive and self.behaviour(version) is not Kind.NEVER_READY:
                ready = replace(process, watch=Watch.READY)
                yield "the candidate is READY", CandidateReady(), ready
            case Watch.STARTED:
                why = cause(CauseKind.CANDIDATE_START_FAILED, "not ready in time")
                yield "the candidate is not READY in time", CandidateStartFailed(why), done
            case Watch.READY if not alive:
                why = cause(CauseKind.CANDIDATE_DIED, "ended by itself")
                yield "the candidate's end is noticed", CandidateExited(why), done
            case _:
                pass

    def _work(self, device: Device, process: Process) -> Iterator[Step]:
        work = process.work
        if isinstance(work, Stage):
            wrong = self.behaviour(work.version) is Kind.WRONG_BYTES
            why = CauseKind.DIGEST_MISMATCH if wrong else CauseKind.DOWNLOAD_FAILED
            failed = StagingFailed(cause(why, "staging failed"))
            without = replace(device, process=replace(process, work=None))
            if wrong:
                yield from self._handled(without, "the bytes are wrong", failed)
            else:
                yield from self._attempts(device, "staging is done", process.running, _staged)
            if self._faulty and not wrong:
                lost = self._handled(without, "the download fails", failed)
                yield from (replace(step, cost=step.cost + 1) for step in lost)
        if isinstance(work, StartCandidate) and process.watch is Watch.NOT_YET:
            started = replace(process, watch=Watch.STARTED)
            candidate = None
            if work.version in device_files(device):
                candidate = Candidate(work.version, work.upgrade_id)
            yield Step(
                "the candidate starts", _as(replace(device, process=started, candidate=candidate))
            )

    def _deaths(self, device: Device, process: Process) -> Iterator[Step]:
        candidate = device.candidate
        if candidate and self.behaviour(candidate.version) is Kind.DIES_AS_CANDIDATE:
            yield Step("the candidate dies", _as(replace(device, candidate=None)))
        if not isinstance(process.state, Probation | Trial):
            return
        if self.behaviour(process.running) is Kind.CRASHES_LATER:
            yield Step("the new agent crashes", _as(replace(device, process=None)))
        if self.behaviour(process.running) is Kind.REBOOTS:
            yield from self._rebooted(device, "the new agent reboots the machine", 0)

    # Faults

    def _at_rest(self, device: Device) -> Iterator[Step]:
        yield from self._cut(device.disk, device, "the power is cut")
        disk = Disk.of(device.disk)
        if device.process is None and disk.seen(JOURNAL) not in {None, TORN}:
            yield Step("the journal is damaged", _as(_harmed(device, JOURNAL)), 1)
        spared = self._kind in FAILS_AS_PRIMARY or disk.names[LINK] != (NEW,)
        if not spared and disk.seen(file_of(OLD)) not in {None, TORN}:
            harmed = replace(_harmed(device, file_of(OLD)), damaged=True)
            yield Step("the old version's file is damaged", _as(harmed), 1)
        if device.candidate is not None:
            yield Step("the candidate is killed", _as(replace(device, candidate=None)), 1)
        if device.process is not None:
            yield Step("the agent is killed", _as(replace(device, process=None)), 1)
            for step in self._handled(device, "the unit is restarted", ServiceStopping(False)):
                down = replace(step.reaction.device, process=None)
                reaction = replace(step.reaction, device=down)
                yield replace(step, reaction=reaction, cost=step.cost + 1)
            yield from self._rebooted(device, "the machine is rebooted", 1)

    def _rebooted(self, device: Device, label: str, cost: int) -> Iterator[Step]:
        """In order: the agent is told, and the disk is synced."""
        for step in self._handled(device, label, ServiceStopping(True)):
            left = step.reaction.device
            synced = tuple((name, held[-1:]) for name, held in left.disk)
            down = replace(left, disk=_booted(synced), process=None, candidate=None)
            reaction = replace(step.reaction, device=down)
            yield replace(step, reaction=reaction, cost=step.cost + cost)

    def _cut(self, image: Image, device: Device, label: str) -> Iterator[Step]:
        for left in cuts(image):
            down = replace(device, disk=_booted(left), process=None, candidate=None)
            yield Step(label, _as(down), 1)

    # Runs

    def _handled(self, device: Device, label: str, event: Event) -> Iterator[Step]:
        process = device.process
        if process is None:
            return

        def program(run: Run) -> None:
            drive(run, process, event)

        yield from self._attempts(device, label, process.running, program)

    def _attempts(self, device: Device, label: str, running: str, program: Code) -> Iterator[Step]:
        """Whole, and cut off at each point by a kill or the power, or refused by the disk."""
        reaction, run = whole(device, running, program)
        yield Step(label, reaction)
        if not self._faulty:
            return
        for name, cut in _distinct(ended(device, running, program, len(run.points))):
            yield Step(f"{label}; killed before {name}", cut, 1)
            off = self._cut(cut.device.disk, cut.device, f"{label}; the power is cut before {name}")
            yield from (replace(s, reaction=replace(s.reaction, answers=cut.answers)) for s in off)
        spared = unguarded(device, running, program, run.guarded)
        for name, bare in _distinct(spared):
            yield Step(f"{label}; the guard is killed before {name}", bare, 1)
        for name, partly in _distinct(refused(device, running, program, run.changes)):
            yield Step(f"{label}; the disk refuses: {name}", partly, 1)

    def _start(self, run: Run) -> None:
        """The guard, which may be ended alone, and then what the link leads to."""
        _run_guard(run)
        version = _startable(run.disk)
        if version is None:
            return  # nothing can be started: the checks say so
        if self.behaviour(version) is Kind.CRASHES_AT_ONCE:
            return
        run.versions.running, run.versions.held_open = version, digest(version)
        try:
            found = run.journal.read()
            run.versions.make_durable()
        except UpgradeFault:
            return  # the shipped one tries again a little later, as the next start does here
        link, previous = run.versions.link_version(), run.versions.previous_version()
        event = PrimaryStarted(self.says(version), found, link, previous)
        drive(run, Process(version, Starting()), event)


def _run_guard(run: Run) -> None:
    previous = run.versions.previous_version()
    if previous is None or not isinstance(run.disk.seen(file_of(previous)), str):
        return
    run.versions.running, run.versions.held_open = previous, digest(previous)
    mark = run.disk.seen(EXPIRED)
    ports = GuardPorts(previous, run.versions, run.journal, run, STARTS_ALLOWED)
    try:
        guard(ports, mark if isinstance(mark, ExpiryMark) else None)
    except (JournalUnwritable, UpgradeFault):
        pass
    except RunEnded:
        if not run.spares_unit:
            raise
    run.guarded = len(run.points)


def _startable(disk: Disk) -> str | None:
    """The version that the unit would run."""
    place = disk.seen(LINK)
    if isinstance(place, Program):
        return OLD
    whole = isinstance(place, str) and isinstance(disk.seen(file_of(place)), str)
    return place if whole else None  # type: ignore[return-value]


def _guarded_by(device: Device) -> str:
    previous = Disk.of(device.disk).seen(PREVIOUS)
    return previous if isinstance(previous, str) else OLD


def _staged(run: Run) -> None:
    """As the performer does: the rollback target's file, and the new version's."""
    process = run.device.process
    if process is None or not isinstance(process.work, Stage):
        raise ValueError("nothing is being staged")
    work, process = process.work, replace(process, work=None)
    try:
        run.versions.capture_revert_target(work.target)
        sha256 = work.target_sha256 or digest(process.running)
        run.versions.check_target(work.target, sha256)
        run.versions.land(work.version, work.artifact.sha256)
        event: Event = Staged(sha256)
    except UpgradeFault as fault:
        event = StagingFailed(cause(fault.cause, fault.sentence))
    drive(run, process, event)


def device_files(device: Device) -> frozenset[str]:
    """The versions whose files are whole."""
    disk = Disk.of(device.disk)
    return frozenset(v for v in disk.listed("versions") if isinstance(disk.seen(file_of(v)), str))


def fresh_device(plain: bool) -> Device:
    """A device that runs OLD, and was never upgraded."""
    disk = Disk()
    disk.names[LINK] = (Program(digest(OLD)) if plain else OLD,)
    if not plain:
        disk.names[file_of(OLD)] = (digest(OLD),)
    return Device(disk.image())


def _booted(image: Image) -> Image:
    """What was noted in this boot was in an earlier one."""
    return tuple((name, tuple(_earlier(value) for value in held)) for name, held in image)


def _earlier(value: Value) -> Value:
    match value:
        case Journal(attempt=Attempt(since=BootTime()) as attempt):
            return replace(value, attempt=replace(attempt, since=BootTime(EARLIER_BOOT, 0.0)))
        case Controls():
            return replace(value, boot_id=EARLIER_BOOT)
        case _:
            return value


def _harmed(device: Device, name: str) -> Device:
    disk = Disk.of(device.disk)
    disk.names[name] = (TORN,)
    return replace(device, disk=disk.image())


def _as(device: Device) -> Reaction:
    return Reaction(device)


def _distinct(reactions: Iterable[tuple[str, Reaction]]) -> Iterator[tuple[str, Reaction]]:
    seen = set()
    for name, reaction in reactions:
        if reaction not in seen:
            seen.add(reaction)
            yield name, reaction
