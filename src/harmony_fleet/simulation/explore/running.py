"""One run of the device's own code, from an event to where it waits again: machine, guard, driver.

The machine's `step` and the guard are the shipped ones. The driver's loop is written anew, without
its event loop: a test holds it to the shipped one. Between any two of its points the run may be
ended, as by a kill or a power cut, and any change of the disk may be refused.
"""

import errno
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
    CancelWork,
    CheckTarget,
    CloseAttempt,
    Effect,
    Exit,
    PrepareCutover,
    ReadOrder,
    Report,
    SayReady,
    Stage,
    StartCandidate,
    StartClock,
    StopCandidate,
    StopClocks,
    SwapLink,
    Verify,
)
from harmony_fleet.agent.upgrade.events import (
    CutoverPrepared,
    Event,
    JournalRead,
    LinkSwapped,
    StepFailed,
    TargetDamaged,
    TargetSound,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.ports import JournalUnwritable, UpgradeFault
from harmony_fleet.agent.upgrade.record import Attempt, Journal
from harmony_fleet.agent.upgrade.record import Stage as JournalStage
from harmony_fleet.agent.upgrade.states import Starting
from harmony_fleet.contracts.commands import Answer, Outcome
from harmony_fleet.contracts.upgrade import cause
from harmony_fleet.simulation.disk import JOURNAL, Disk
from harmony_fleet.simulation.explore.world import BOOT, DEVICE, Device, Process, Watch, digest
from harmony_fleet.simulation.files import DiskJournal, DiskVersions

_JOURNAL_ID = "journal-"
KEPT = 1
"""The fewest versions, so that all that is not needed is pruned."""


class RunEnded(BaseException):
    """The process was killed, or the power went, at the point that was chosen."""


@dataclass
class Run:
    """A device while something runs on it."""

    device: Device
    running: str
    end_at: int = -1
    """The point before which it is ended."""
    refuse_at: int = -1
    """The point at which the disk refuses."""
    points: list[str] = field(default_factory=list)
    """Those that were passed, or ended it."""
    changes: list[int] = field(default_factory=list)
    """The numbers of those that are changes of the disk."""
    answers: list[tuple[int, str, Answer]] = field(default_factory=list)
    process: Process | None = None
    exited: int | None = None
    spares_unit: bool = False
    """What is ended is the guard alone."""
    guarded: int = 0
    """How many of the points are the guard's."""

    def __post_init__(self) -> None:
        self.disk = Disk.of(self.device.disk)
        self.disk.before = self._before_change
        self.candidate = self.device.candidate
        self.acknowledged = self.device.acknowledged
        self.journal = DiskJournal(self.disk, self._new_id)
        self.versions = DiskVersions(self.disk, self.running, digest(self.running), KEPT)

    def boot_time(self) -> BootTime:
        return BootTime(BOOT, 0.0)

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError("nothing waits in a run")

    def point(self, name: str) -> None:
        self.points.append(name)
        if len(self.points) - 1 == self.end_at:
            raise RunEnded

    def left(self) -> Device:
        """The device as it is now."""
        seen = self.disk.seen(JOURNAL)
        journal = seen if isinstance(seen, Journal) else None
        attempt = journal.attempt if journal else None
        committed = self.device.committed
        if attempt and attempt.upgrade_id and _was_committed(attempt):
            committed |= {attempt.upgrade_id}
        return replace(
            self.device,
            disk=self.disk.image(),
            process=self.process,
            candidate=self.candidate,
            journals=self._journals(journal),
            acknowledged=self.acknowledged,
            committed=committed,
            ran=self.device.ran | ({self.process.running} if self.process else frozenset()),
        )

    def _before_change(self, name: str) -> None:
        number = len(self.points)
        self.changes.append(number)
        self.point(name)
        if number == self.refuse_at:
            raise OSError(errno.EIO, "the disk refuses")

    def _new_id(self) -> str:
        return f"{_JOURNAL_ID}{self.device.journals + 1}"

    def _journals(self, journal: Journal | None) -> int:
        written = int(journal.journal_id.removeprefix(_JOURNAL_ID)) if journal else 0
        return max(self.device.journals, written)


def _was_committed(attempt: Attempt) -> bool:
    """An order of what ran already succeeds without a commit, and says so in its cause."""
    succeeded = attempt.stage is JournalStage.SUCCEEDED and attempt.cause is None
    return succeeded or attempt.stage is JournalStage.COMMITTED


Code = Callable[[Run], None]


def drive(run: Run, process: Process, first: Event) -> None:
    """As `drive.Driver` does: journal it, do it, feed back what happened."""
    run.process = process
    durable = None if isinstance(process.state, Starting) else process.state.journal
    if isinstance(process.state, Starting):
        found = getattr(first, "found", None)
        durable = found.journal if isinstance(found, JournalRead) else None
    pending = deque([first])
    while pending:
        event = pending.popleft()
        try:
            after, effects = step(run.process.state, event)
            if after.journal != durable:
                run.journal.write(after.journal)
                durable = after.journal
        except IllegalEvent:
            continue
        except JournalUnwritable:
            run.process = replace(run.process, again=event)
            continue
        run.process = replace(run.process, state=after)
        for effect in effects:
            run.point(type(effect).__name__)
            if isinstance(effect, Exit):
                run.process, run.exited = None, effect.code
                return
            outcome = perform(run, run.process, effect)
            if outcome is not None:
                pending.append(outcome)


def perform(run: Run, process: Process, effect: Effect) -> Event | None:
    """What the performer does about it, but for work, which goes on beside the loop."""
    match effect:
        case PrepareCutover() | SwapLink() | CheckTarget():
            return _step(run, effect)
        case StopCandidate():
            run.candidate = None
        case CloseAttempt(keep):
            _close(run, frozenset(keep))
        case Stage() | Verify() | StartCandidate():
            run.process = replace(process, work=effect, watch=Watch.NOT_YET)
        case CancelWork():
            run.process = replace(process, work=None, watch=Watch.NOT_YET)
        case StartClock(deadline):
            run.process = replace(process, clocks=process.clocks | {deadline})
        case StopClocks():
            run.process = replace(process, clocks=frozenset())
        case SayReady():
            pass
        case Report():
            run.process = replace(process, says=process.state.journal, unsaid=True)  # type: ignore[union-attr]
        case ReadOrder():
            pass  # it may at any time
        case AnswerStop():
            _answer(run, effect)
        case Exit():
            raise ValueError("the driver itself leaves")
        case _:
            assert_never(effect)
    return None


def _step(run: Run, effect: PrepareCutover | SwapLink | CheckTarget) -> Event:
    try:
        match effect:
            case PrepareCutover(target):
                run.candidate = None
                run.versions.capture_revert_target(target)
                run.versions.point_previous(target)
                run.versions.open_attempt()
                return CutoverPrepared()
            case SwapLink(version):
                run.versions.swap_link(version)
                return LinkSwapped()
            case CheckTarget(version, sha256):
                run.versions.check_target(version, sha256)
                return TargetSound()
            case _:
                assert_never(effect)
    except UpgradeFault as fault:
        if isinstance(effect, CheckTarget):
            return TargetDamaged(fault.sentence)
        return StepFailed(cause(fault.cause, fault.sentence))


def _close(run: Run, keep: frozenset[str]) -> None:
    try:
        run.versions.close_attempt()
        run.versions.prune(keep)
    except UpgradeFault:
        pass  # left for the next start


def _answer(run: Run, effect: AnswerStop) -> None:
    if effect.outcome is Outcome.OK:
        journal = run.process.state.journal if run.process else None  # type: ignore[union-attr]
        attempt = journal.open_attempt if journal else None
        if attempt is not None and attempt.upgrade_id is not None:
            run.acknowledged |= {attempt.upgrade_id}
    answer = Answer(DEVICE, effect.outcome, effect.reason, effect.ended)
    operator, _, upgrade_id = effect.reply_to.partition(".")
    run.answers.append((int(operator), upgrade_id, answer))


Answers = tuple[tuple[int, str, Answer], ...]
"""Each with the number of the operator that it goes to, and the upgrade that was asked about."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What came of a run: whole, or cut off at a point."""

    device: Device
    answers: Answers = ()
    exited: int | None = None


def whole(device: Device, running: str, program: Code) -> tuple[Reaction, Run]:
    run = Run(device, running)
    program(run)
    return Reaction(run.left(), tuple(run.answers), run.exited), run


def ended(
    device: Device, running: str, program: Code, points: int
) -> Iterator[tuple[str, Reaction]]:
    """At each point, with its name; the candidate lives on."""
    for number in range(points):
        run = Run(device, running, end_at=number)
        try:
            program(run)
        except RunEnded:
            run.process = None
            yield run.points[-1], Reaction(run.left(), tuple(run.answers))


def unguarded(
    device: Device, running: str, program: Code, points: int
) -> Iterator[tuple[str, Reaction]]:
    """The guard is ended at each of its points, and the start goes on."""
    for number in range(points):
        run = Run(device, running, end_at=number, spares_unit=True)
        program(run)
        yield run.points[number], Reaction(run.left(), tuple(run.answers), run.exited)


def refused(
    device: Device, running: str, program: Code, changes: list[int]
) -> Iterator[tuple[str, Reaction]]:
    """At each change of the disk, once, with its name."""
    for number in changes:
        run = Run(device, running, refuse_at=number)
        program(run)
        yield run.points[number], Reaction(run.left(), tuple(run.answers), run.exited)
