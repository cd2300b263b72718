"""A tiny world around the machine: a disk, a service manager, a candidate, an operator's words.

It performs what `step` asks for, one effect at a time, each with success, failure, or half done;
and it can lose the process between any two of them. What it checks as it goes is the protocol's
safety. `calm_down` ends all faults: from there, every attempt must come to its end.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

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
    CandidateExited,
    CandidateReady,
    CandidateStartFailed,
    CutoverPrepared,
    Event,
    ExpiryMark,
    Found,
    GuardStarted,
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
    LinkSwapped,
    OrderRead,
    PlaneAsked,
    PrimaryStarted,
    Reported,
    Staged,
    StagingFailed,
    StepFailed,
    TargetDamaged,
    TargetSound,
    TimeRanOut,
    Verified,
    VerifyingFailed,
    WorkEnded,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.record import Stage as JournalStage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    Deadline,
    GuardDone,
    Idle,
    Probation,
    Starting,
    State,
    Trial,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import CauseKind, Ended, Marker, cause
from harmony_fleet.testing.upgrade_samples import OLD, OLD_SHA256

DISK = cause(CauseKind.DEVICE_FAULT, "the disk refused")
FAILED = cause(CauseKind.SELF_TEST_FAILED, "it failed")
EXPIRED = cause(CauseKind.NO_CONTACT, "the control had contact twice")
STARTS_ALLOWED = 3
LONG = 400
"""Steps: more than any attempt takes once nothing fails."""


class Luck(Enum):
    GOOD = "good"
    BAD = "bad"
    HALF = "half"
    """Done, and then reported as failed."""


@dataclass
class Process:
    """A primary, or a guard."""

    running: str
    state: State = field(default_factory=Starting)
    effects: deque[Effect] = field(default_factory=deque)
    first: deque[Event] = field(default_factory=deque)
    inbox: deque[Event] = field(default_factory=deque)
    work: Stage | Verify | StartCandidate | None = None
    started: bool = False
    """Of a candidate's work: it said READY."""
    clocks: set[Deadline] = field(default_factory=set)


@dataclass
class World:
    whole: dict[str, bool] = field(default_factory=lambda: {OLD: True})
    """By version: the file is complete and its own."""
    link: str = OLD
    previous: str | None = None
    attempt_open: bool = False
    mark: ExpiryMark | None = None
    durable: Journal | None = None
    losses: int = 0
    damaged_journal: bool = False
    marker: Marker | None = None
    process: Process | None = None
    candidate: tuple[str, str] | None = None
    boot: int = 1
    now_s: float = 0.0
    stops: set[str] = field(default_factory=set)
    """Sent by the operator, each after its own observation."""
    acknowledged: set[str] = field(default_factory=set)
    verdicts: dict[tuple[str, str], Ended] = field(default_factory=dict)
    """By journal and upgrade: as they first became durable."""
    committed: set[tuple[str, str]] = field(default_factory=set)

    # The service manager

    def start(self, guarded: bool = True, luck: list[Luck] | None = None) -> None:
        """`luck`: of the guard's effects in turn; where it ends early, the guard was killed."""
        if guarded and self.previous is not None and self.whole.get(self.previous):
            self._run_guard(self.previous, luck)
        assert self.whole.get(self.link), "the link leads to an incomplete version"
        self.process = Process(self.link)
        found = PrimaryStarted(self.link, self._found(), self.link, self.previous)
        self.process.first.append(found)

    def _run_guard(self, running: str, luck: list[Luck] | None) -> None:
        guard = Process(running)
        now = BootTime(f"boot-{self.boot}", self.now_s)
        found = self._found()
        started = GuardStarted(
            running, found, self.link, self.previous, now, STARTS_ALLOWED, self.mark
        )
        guard.first.append(started)
        while guard.first:
            self._take(guard, guard.first.popleft())
            while guard.effects:
                if luck is not None and not luck:
                    return
                self.perform(luck.pop() if luck else Luck.GOOD, guard)
        assert isinstance(guard.state, GuardDone)

    def _found(self) -> Found:
        if self.durable is not None and not self.damaged_journal:
            return JournalRead(self.durable)
        name = f"journal-{self.losses}"
        absent = self.durable is None
        return JournalAbsent(name) if absent else JournalUnreadable(name)

    def kill(self) -> None:
        self.process = None

    def reboot(self) -> None:
        self.process = self.candidate = None
        self.boot += 1

    # The loop of a process

    def take_next(self, writable: bool = True) -> None:
        process = self.process
        assert process is not None
        event = (process.first or process.inbox).popleft()
        if not writable:
            process.inbox.append(event)
            return
        self._take(process, event)

    def _take(self, process: Process, event: Event) -> None:
        try:
            after, effects = step(process.state, event)
        except IllegalEvent:
            return
        if after.journal != self.durable or self.damaged_journal:
            self._write(after.journal)
        process.state = after
        process.effects.extend(effects)

    def _write(self, journal: Journal) -> None:
        known = self.durable
        same = known is not None and known.journal_id == journal.journal_id
        if known is not None and same:
            assert journal.ended[: len(known.ended)] == known.ended
            assert (journal.seq, journal.highest) >= (known.seq, known.highest)
        self.durable, self.damaged_journal = journal, False
        attempt = journal.attempt
        if attempt is None or attempt.upgrade_id is None:
            return
        key = (journal.journal_id, attempt.upgrade_id)
        if attempt.stage is JournalStage.COMMITTED:
            assert attempt.upgrade_id in self.stops, "committed without the operator's stop"
            assert key not in self.verdicts, "an ended upgrade was committed"
            self.committed.add(key)
        for verdict in journal.ended:
            self._note_verdict((journal.journal_id, verdict.upgrade_id), verdict)

    def _note_verdict(self, key: tuple[str, str], verdict: Ended) -> None:
        assert self.verdicts.setdefault(key, verdict) == verdict, "a verdict was changed"
        attempt = self.durable.attempt if self.durable else None
        if attempt is None or attempt.upgrade_id != verdict.upgrade_id:
            return
        if attempt.stage is JournalStage.ROLLED_BACK:
            assert self.link == attempt.from_version, "rolled back, and the link is not"
        if attempt.stage is JournalStage.SUCCEEDED and attempt.cause is None:
            assert self.link == attempt.to_version
            assert key in self.committed
        if attempt.stage is JournalStage.FAILED:
            assert self.link == attempt.from_version, "nothing was changed, it said"

    # The performer

    def perform(self, luck: Luck, process: Process | None = None) -> None:
        process = process or self.process
        assert process is not None
        effect = process.effects.popleft()
        match effect:
            case PrepareCutover() | SwapLink() | CheckTarget():
                process.first.append(self._step(effect, luck, process))
            case Stage() | Verify() | StartCandidate():
                process.work, process.started = effect, False
                if isinstance(effect, StartCandidate):
                    self.candidate = (effect.version, effect.upgrade_id)
            case CancelWork():
                process.work = None
                kept = [event for event in process.inbox if not isinstance(event, WorkEnded)]
                process.inbox = deque(kept)
            case StopCandidate():
                self.candidate = self.candidate if luck is Luck.BAD else None
            case CloseAttempt():
                if luck is not Luck.BAD:
                    self.attempt_open, self.mark = False, None
            case StartClock(deadline):
                process.clocks.add(deadline)
            case StopClocks():
                process.clocks.clear()
            case ReadOrder():
                if self.marker is not None:
                    process.inbox.append(OrderRead(self.marker))
            case Report():
                process.inbox.append(Reported(process.state.journal.seq))  # type: ignore[union-attr]
            case AnswerStop():
                self._note_answer(effect)
            case Exit():
                assert not process.effects
                self.process = None
            case SayReady():
                pass

    def _note_answer(self, answer: AnswerStop) -> None:
        attempt = self.durable.attempt if self.durable else None
        if answer.outcome is Outcome.OK:
            assert attempt is not None
            assert attempt.upgrade_id is not None
            assert attempt.stage is JournalStage.COMMITTED
            self.acknowledged.add(attempt.upgrade_id)

    def _step(
        self, effect: PrepareCutover | SwapLink | CheckTarget, luck: Luck, process: Process
    ) -> Event:
        if isinstance(effect, CheckTarget):
            if process.running == effect.version and process is self.process:
                self.whole[effect.version] = True
            sound = luck is Luck.GOOD and self.whole.get(effect.version)
            return TargetSound() if sound else TargetDamaged("it is cut short")
        if luck is Luck.BAD:
            return StepFailed(DISK)
        if isinstance(effect, SwapLink):
            assert self.whole.get(effect.version), "the link is to lead to an incomplete version"
            self.link = effect.version
            return LinkSwapped() if luck is Luck.GOOD else StepFailed(DISK)
        self.candidate, self.previous = None, effect.target
        self.attempt_open = luck is Luck.GOOD
        return CutoverPrepared() if luck is Luck.GOOD else StepFailed(DISK)

    # The work, the clocks, the operator

    def work_goes_on(self, luck: Luck) -> None:
        process = self.process
        assert process is not None
        good = luck is Luck.GOOD
        match process.work:
            case Stage(version):
                self.whole.setdefault(version, False)
                if good:
                    self.whole[version] = True
                process.inbox.append(Staged(OLD_SHA256) if good else StagingFailed(DISK))
                process.work = None
            case Verify():
                process.inbox.append(Verified() if good else VerifyingFailed(FAILED))
                process.work = None
            case StartCandidate() if not process.started:
                process.started = good
                if not good:
                    self.candidate = process.work = None
                process.inbox.append(CandidateReady() if good else CandidateStartFailed(FAILED))
            case StartCandidate() if good:
                process.inbox.append(PlaneAsked(True))
            case StartCandidate():
                process.inbox.append(CandidateExited(FAILED))
                self.candidate = process.work = None
            case None:
                raise AssertionError("no work is under way")

    def clock_runs_out(self, deadline: Deadline) -> None:
        assert self.process is not None
        self.process.clocks.discard(deadline)
        self.process.inbox.append(TimeRanOut(deadline))

    def observed(self) -> str | None:
        """The upgrade that a live heartbeat of the new version names now."""
        if self.candidate is not None:
            return self.candidate[1]
        state = self.process.state if self.process else None
        attempt = state.journal.open_attempt if isinstance(state, Trial | Armed) else None
        return attempt.upgrade_id if attempt and isinstance(state, Trial) else None

    # Calm

    def calm_down(self) -> None:
        """No more faults and no operator: what is under way must come to its end."""
        for version in self.whole:
            self.whole[version] = True
        for _ in range(LONG):
            if self._at_rest():
                return
            self._one_good_step()
        raise AssertionError(f"still in {self.process and self.process.state}")

    def _at_rest(self) -> bool:
        process = self.process
        if process is None or process.effects or process.first or process.inbox:
            return False
        return isinstance(process.state, Idle)

    def _one_good_step(self) -> None:
        process = self.process
        if process is None:
            self.start()
        elif process.effects:
            self.perform(Luck.GOOD)
        elif process.first or process.inbox:
            self.take_next()
        elif process.work is not None and not process.started:
            self.work_goes_on(Luck.GOOD)
        elif isinstance(process.state, Probation):
            self.clock_runs_out(Deadline.PROBATION)
        else:
            assert process.clocks, f"{type(process.state).__name__} waits for nothing"
            self.clock_runs_out(min(process.clocks))
