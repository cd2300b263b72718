"""The effects of the machine, one line each: what they ask of the ports, and what is fed back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, assert_never

from harmony_fleet.agent.upgrade.deadlines import Deadlines
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
    LinkSwapped,
    PlaneAsked,
    Staged,
    StagingFailed,
    StepFailed,
    TargetDamaged,
    TargetSound,
    TimeRanOut,
    Verified,
    VerifyingFailed,
)
from harmony_fleet.agent.upgrade.inbox import Inbox, Post
from harmony_fleet.agent.upgrade.ports import (
    Clock,
    Orders,
    Plane,
    Reports,
    ServiceManager,
    StopAnswers,
    UpgradeExecutor,
    UpgradeFault,
)
from harmony_fleet.agent.upgrade.states import (
    Deadline,
    OpenState,
)
from harmony_fleet.contracts.upgrade import Cause, CauseKind, cause

logger = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of this process's own clock."""

    self_test_s: float
    ready_s: float
    stop_s: float
    overall_s: float
    probation_s: float
    retry_s: float
    hear_s: float
    """How often an armed primary asks whether the plane has heard its candidate."""


@dataclass(frozen=True, slots=True)
class Ports:
    executor: UpgradeExecutor
    orders: Orders
    reports: Reports
    answers: StopAnswers
    plane: Plane
    service: ServiceManager
    clock: Clock


@dataclass
class Performer:
    ports: Ports
    limits: Limits
    inbox: Inbox = field(default_factory=Inbox)
    progress: Callable[[int, int], None] = lambda _done, _total: None
    """Told while staging: bytes staged, bytes in all."""

    def __post_init__(self) -> None:
        limits_s = {
            Deadline.STOP: self.limits.stop_s,
            Deadline.OVERALL: self.limits.overall_s,
            Deadline.PROBATION: self.limits.probation_s,
            Deadline.RETRY: self.limits.retry_s,
        }
        self._deadlines = Deadlines(
            self.ports.clock, limits_s, lambda: self.ports.plane.connected, self._ran_out
        )

    def close(self) -> None:
        """No clock of this one fires any more."""
        self._deadlines.stop_all()

    async def __call__(self, effect: Effect, state: OpenState) -> Event | None:
        """The event to take before any other, if the effect has one."""
        match effect:
            case PrepareCutover() | SwapLink() | CheckTarget():
                return await self._step(effect)
            case StopCandidate() | CloseAttempt():
                await self._sweep(effect)
            case Stage():
                self.inbox.begin_work(lambda post: self._stage(effect, post))
            case Verify():
                self.inbox.begin_work(lambda post: self._verify(effect, post))
            case StartCandidate():
                self.inbox.begin_work(lambda post: self._candidate(effect, post))
            case CancelWork():
                await self.inbox.cancel_work()
            case StartClock(deadline):
                self._deadlines.start(deadline)
            case StopClocks():
                self._deadlines.stop_all()
            case SayReady():
                self.ports.service.ready()
            case Report():
                self.ports.reports.put(state.journal)
            case ReadOrder():
                self.ports.orders.read()
            case AnswerStop():
                await self.ports.answers.answer(effect)
            case Exit():
                raise ValueError("the driver itself leaves")
            case _:
                assert_never(effect)
        return None

    async def _step(self, effect: PrepareCutover | SwapLink | CheckTarget) -> Event:
        executor = self.ports.executor
        try:
            match effect:
                case PrepareCutover(target):
                    await executor.stop_candidate()
                    await asyncio.to_thread(self._prepare, target)
                    return CutoverPrepared()
                case SwapLink(version):
                    await asyncio.to_thread(executor.swap_link, version)
                    return LinkSwapped()
                case CheckTarget(version, sha256):
                    await asyncio.to_thread(executor.check_target, version, sha256)
                    return TargetSound()
                case _:
                    assert_never(effect)
        except UpgradeFault as fault:
            logger.warning("%s", fault)
            if isinstance(effect, CheckTarget):
                return TargetDamaged(fault.sentence)
            return StepFailed(_cause(fault))

    def _prepare(self, target: str) -> None:
        self.ports.executor.capture_revert_target(target)
        self.ports.executor.point_previous(target)
        self.ports.executor.open_attempt()

    async def _sweep(self, effect: StopCandidate | CloseAttempt) -> None:
        """What is left over here is swept at the next start, or before the next cutover."""
        executor = self.ports.executor
        try:
            if isinstance(effect, StopCandidate):
                await executor.stop_candidate()
            else:
                await asyncio.to_thread(executor.close_attempt)
                await asyncio.to_thread(executor.prune, frozenset(effect.keep))
        except UpgradeFault as fault:
            logger.warning("left over for now: %s", fault)

    async def _stage(self, effect: Stage, post: Post) -> None:
        """The artifact, and beside it the rollback target's file."""
        total = effect.artifact.size_bytes
        fetch = self.ports.executor.stage(
            effect.version, effect.artifact, lambda done: self.progress(done, total)
        )
        try:
            _, sha256 = await _side_by_side(fetch, self._target_digest(effect))
        except UpgradeFault as fault:
            post(StagingFailed(_cause(fault)))
        else:
            post(Staged(sha256))

    async def _target_digest(self, effect: Stage) -> str:
        executor = self.ports.executor
        await asyncio.to_thread(executor.capture_revert_target, effect.target)
        sha256 = effect.target_sha256 or await executor.running_sha256()
        await asyncio.to_thread(executor.check_target, effect.target, sha256)
        return sha256

    async def _verify(self, effect: Verify, post: Post) -> None:
        """The version that runs is the control: what fails in both is not the new one's fault."""
        plane, executor = self.ports.plane, self.ports.executor
        connection = plane.epoch
        new = _fault_of(executor.self_test(effect.version, self.limits.self_test_s))
        fault, blame = await _side_by_side(_fault_of(self._way_back(effect.target)), new)
        if fault := fault or blame:
            contact = plane.connected and plane.epoch == connection
            post(VerifyingFailed(_cause(fault), contact))
        else:
            post(Verified())

    async def _way_back(self, target: str) -> None:
        """Everything that a rollback will need of the version that runs now."""
        executor, limit_s = self.ports.executor, self.limits.self_test_s
        runs = executor.self_test(target, limit_s), executor.dry_run_guard(target, limit_s)
        try:
            await _side_by_side(*runs)
        except UpgradeFault as fault:
            sentence = f"the version to go back to, {target}, would not run: {fault}"
            raise UpgradeFault(
                CauseKind.ROLLBACK_TARGET_FAILED, sentence, fault.evidence
            ) from fault

    async def _candidate(self, effect: StartCandidate, post: Post) -> None:
        executor = self.ports.executor
        try:
            await executor.start_candidate(effect.version, effect.upgrade_id, self.limits.ready_s)
        except UpgradeFault as fault:
            post(CandidateStartFailed(_cause(fault)))
            return
        post(CandidateReady())
        hearing = asyncio.create_task(self._listen(effect, post))
        watching = asyncio.create_task(executor.candidate_exit())
        try:
            await asyncio.wait({hearing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                hearing.result()  # a defect of ours must not pass for a candidate that is silent
            why = _died(effect.version, await watching)
            post(CandidateExited(why, await executor.system_stopping()))
        finally:
            await _end(hearing, watching)

    async def _listen(self, effect: StartCandidate, post: Post) -> None:
        known = None
        while not known:
            await self.ports.clock.sleep(self.limits.hear_s)
            heard = await self.ports.plane.heard(effect.version, effect.upgrade_id)
            if heard is not known:
                post(PlaneAsked(heard))
            known = heard

    async def _ran_out(self, event: TimeRanOut) -> None:
        evidence = ""
        if event.deadline is Deadline.STOP:
            evidence = await self.ports.executor.candidate_log()
        self.inbox.post(replace(event, evidence=evidence))


def _died(version: str, evidence: str) -> Cause:
    sentence = f"version {version} ended by itself while it was a candidate: read its log lines"
    return cause(CauseKind.CANDIDATE_DIED, sentence, evidence)


def _cause(fault: UpgradeFault) -> Cause:
    return cause(fault.cause, fault.sentence, fault.evidence)


async def _fault_of(run: Awaitable[None]) -> UpgradeFault | None:
    try:
        await run
    except UpgradeFault as fault:
        return fault
    return None


async def _side_by_side(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Both outcomes; or the first error of either, once the other has been cancelled."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _end(*tasks)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
