"""The driver and its performer, over a device that behaves: every effect, and its failure."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.unit.upgrade_cases import (
    DISK,
    LIMITS,
    Device,
    FlakyJournal,
    Process,
    attempt_in,
    cause_kind,
    kind_and_stage,
    settled,
)

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
)
from harmony_fleet.agent.upgrade.events import (
    CandidateReady,
    ServiceStopping,
)
from harmony_fleet.agent.upgrade.inbox import Inbox, Post
from harmony_fleet.agent.upgrade.record import Stage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    Checking,
    CuttingOver,
    Idle,
    Leaving,
    OpenState,
    Preparing,
    Probation,
    Recommitting,
    Reverting,
    Staging,
    Starting,
    Trial,
    Verifying,
)
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.testing.executor_suite import LAST_WORDS, Behaviour
from harmony_fleet.testing.fake_clock import FakeClock, TimeStandsStill, run
from harmony_fleet.testing.fake_executor import FakeExecutor
from harmony_fleet.testing.fake_versions import FakeFile
from harmony_fleet.testing.upgrade_samples import ID, IDLE, NEW, OLD, OTHER_ID, journal_in

Story = Callable[[Device], Coroutine[Any, Any, None]]


def tell(story: Story, device: Device | None = None) -> Device:
    device = device or Device()

    async def told() -> None:
        await story(device)
        await settled()
        await device.kill()

    run(told())
    return device


async def armed(device: Device, heard: bool = True) -> Process:
    """A good release, as far as it gets without an operator."""
    device.order(NEW)
    if heard:
        device.plane.beats.add((NEW, ID))
    process = device.start()
    await process.until(Armed)
    return process


async def committed(device: Device) -> Process:
    """The new primary of a good release, counted once by the guard."""
    old = await armed(device)
    old.post(device.stop())
    assert await old.ended() == 75
    device.guard()
    return device.start()


# A good upgrade


def test_one_good_upgrade_from_order_to_success() -> None:
    async def story(device: Device) -> None:
        old = await armed(device)
        assert (device.executor.link_version(), device.executor.candidate_running) == (NEW, NEW)
        old.post(device.stop())
        assert await old.ended() == 75
        assert device.plane.answers == [AnswerStop("reply", Outcome.OK)]
        assert old.kinds() == [Idle, Staging, Verifying, Preparing, CuttingOver, Armed, Leaving]
        device.guard()
        new = device.start()
        await new.until(Probation)
        await asyncio.sleep(LIMITS.probation_s + 1)
        assert kind_and_stage(await new.until(Idle)) == (None, Stage.SUCCEEDED)

    device = tell(story)
    phases = ["Staging", "Verifying", "CutoverReady", "Committed", "Succeeded"]
    assert device.said() == ["None", *phases]
    assert device.executor.candidate_running is None
    assert not device.executor.attempt_open
    assert device.executor.previous_version() == OLD


def test_each_state_is_durable_before_its_effects_are_performed() -> None:
    async def story(device: Device) -> None:
        stages: list[Stage] = []
        swap = device.executor.swap_link

        def watched(version: str) -> None:
            attempt = device.now.attempt
            assert attempt is not None
            stages.append(attempt.stage)
            swap(version)

        device.executor.swap_link = watched  # type: ignore[method-assign]
        await armed(device)
        assert stages == [Stage.CUTOVER]

    tell(story)


def test_the_first_upgrade_of_a_plain_file_keeps_it_as_the_version_to_go_back_to() -> None:
    plain = FakeFile(f"program {OLD}".encode())
    device = Device(FakeExecutor(OLD, place=plain))

    async def story(device: Device) -> None:
        await armed(device)
        assert device.executor.link_version() == NEW
        assert (device.executor.previous_version(), device.executor.files[OLD]) == (OLD, plain)

    tell(story, device)


def test_the_progress_of_staging_is_told() -> None:
    device = tell(lambda device: _discard(armed(device)))
    assert device.progress[-1][0] == device.progress[-1][1] > 0


async def _discard(process: Coroutine[Any, Any, Process]) -> None:
    await process


# Whatever fails before the cutover changes nothing


def fault(method: str) -> Callable[[Device], None]:
    def breaks(device: Device) -> None:
        device.executor.faults[method] = DISK

    return breaks


def version_is(version: str, behaviour: Behaviour) -> Callable[[Device], None]:
    def breaks(device: Device) -> None:
        device.executor.behaviours[version] = behaviour

    return breaks


def damaged(device: Device) -> None:
    device.executor.files[OLD] = FakeFile(b"cut short", whole=False)
    device.executor.held_open = device.executor.files[OLD]
    device.journal.write(IDLE)


BEFORE_THE_CUTOVER = [
    (fault("stage"), CauseKind.DEVICE_FAULT),
    (version_is(NEW, Behaviour.FAILS_SELF_TEST), CauseKind.SELF_TEST_FAILED),
    (version_is(NEW, Behaviour.HANGS_IN_SELF_TEST), CauseKind.SELF_TEST_TIMEOUT),
    (fault("capture_revert_target"), CauseKind.DEVICE_FAULT),
    (fault("running_sha256"), CauseKind.DEVICE_FAULT),
    (fault("check_target"), CauseKind.DEVICE_FAULT),
    (damaged, CauseKind.ROLLBACK_TARGET_DAMAGED),
    (version_is(OLD, Behaviour.FAILS_SELF_TEST), CauseKind.ROLLBACK_TARGET_FAILED),
    (version_is(OLD, Behaviour.HANGS_IN_SELF_TEST), CauseKind.ROLLBACK_TARGET_FAILED),
    (version_is(OLD, Behaviour.GUARD_BROKEN), CauseKind.ROLLBACK_TARGET_FAILED),
    (fault("point_previous"), CauseKind.DEVICE_FAULT),
    (fault("open_attempt"), CauseKind.DEVICE_FAULT),
]


@pytest.mark.parametrize(("breaks", "kind"), BEFORE_THE_CUTOVER)
def test_what_fails_before_the_cutover_fails_the_order_and_was_never_started(
    breaks: Callable[[Device], None], kind: CauseKind
) -> None:
    async def story(device: Device) -> None:
        device.order(NEW)
        breaks(device)
        process = device.start()
        await process.until(Staging)
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (kind, Stage.FAILED)
        counted = device.now.quarantined[-1:] == (_digest(device),)
        assert counted == kind.counts_against_release

    device = tell(story)
    assert device.executor.link_version() == OLD
    assert device.asked("swap_link") == device.asked("start_candidate") == 0
    assert device.executor.tests_running == []
    assert not device.executor.attempt_open


def _digest(device: Device) -> str:
    assert device.plane.marker is not None
    return device.plane.marker.artifact.sha256


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [(Behaviour.WRONG_BYTES, CauseKind.DIGEST_MISMATCH), (Behaviour.STALLS, None)],
)
def test_a_bad_download_never_becomes_a_version(
    behaviour: Behaviour, kind: CauseKind | None
) -> None:
    async def story(device: Device) -> None:
        device.order(NEW, behaviour)
        process = device.start()
        await process.until(Staging)
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (kind or CauseKind.DOWNLOAD_FAILED, Stage.FAILED)

    device = tell(story)
    assert NEW not in device.executor.files
    assert device.now.quarantined == ()


def test_the_words_of_a_failed_self_test_travel_in_the_status() -> None:
    async def story(device: Device) -> None:
        device.order(NEW, Behaviour.FAILS_SELF_TEST)
        process = device.start()
        await process.until(Verifying)
        await process.until(Idle)

    status = tell(story).plane.statuses[-1]
    assert status.cause is not None
    assert status.cause.evidence == LAST_WORDS


@pytest.mark.parametrize("behaviour", [Behaviour.FAILS_SELF_TEST, Behaviour.HANGS_IN_SELF_TEST])
def test_a_self_test_that_fails_while_the_plane_is_away_is_not_the_releases_fault(
    behaviour: Behaviour,
) -> None:
    class TakesTime(FakeExecutor):
        async def self_test(self, version: str, limit_s: float) -> None:
            await asyncio.sleep(1)
            await super().self_test(version, limit_s)

    async def story(device: Device) -> None:
        device.order(NEW, behaviour)
        process = device.start()
        await process.until(Verifying)
        device.plane.cut()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.PLANE_UNREACHABLE, Stage.FAILED)

    assert tell(story, Device(TakesTime(OLD, place=OLD))).now.quarantined == ()


def test_what_fails_in_both_versions_alike_is_not_the_releases_fault() -> None:
    """Such as a folder that neither may write: the version that runs is the control."""

    async def story(device: Device) -> None:
        device.executor.behaviours[OLD] = Behaviour.FAILS_SELF_TEST
        device.order(NEW, Behaviour.FAILS_SELF_TEST)
        process = device.start()
        await process.until(Verifying)
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.ROLLBACK_TARGET_FAILED, Stage.FAILED)

    assert tell(story).now.quarantined == ()


def test_a_self_test_during_which_the_plane_was_lost_and_is_back_says_nothing_of_the_release() -> (
    None
):
    class TakesTime(FakeExecutor):
        async def self_test(self, version: str, limit_s: float) -> None:
            await asyncio.sleep(2)
            await super().self_test(version, limit_s)

    async def story(device: Device) -> None:
        device.order(NEW, Behaviour.FAILS_SELF_TEST)
        process = device.start()
        await process.until(Verifying)
        device.plane.cut()
        await asyncio.sleep(1)
        device.plane.restore()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.PLANE_UNREACHABLE, Stage.FAILED)

    assert tell(story, Device(TakesTime(OLD, place=OLD))).now.quarantined == ()


# Whatever fails in the cutover is reverted


@pytest.mark.parametrize("behaviour", [Behaviour.NEVER_READY, Behaviour.EXITS_AT_ONCE])
def test_a_candidate_that_does_not_start_is_reverted_with_its_last_log_lines(
    behaviour: Behaviour,
) -> None:
    async def story(device: Device) -> None:
        device.order(NEW, behaviour)
        process = device.start()
        await process.until(CuttingOver)
        idle = await process.until(Idle)
        expected = (CauseKind.CANDIDATE_START_FAILED, Stage.ROLLED_BACK)
        assert kind_and_stage(idle) == expected
        assert LAST_WORDS in str(attempt_in(idle).cause)

    device = tell(story)
    assert (device.executor.link_version(), device.executor.candidate_running) == (OLD, None)
    assert "CutoverReady" not in device.said()
    assert device.now.quarantined == (_digest(device),)


def test_a_swap_that_the_disk_refuses_is_put_back_as_soon_as_the_disk_lets_it() -> None:
    async def story(device: Device) -> None:
        device.executor.faults["swap_link"] = DISK
        device.order(NEW)
        process = device.start()
        await process.until(Reverting)
        await asyncio.sleep(10 * LIMITS.retry_s)
        assert isinstance(process.state, Reverting)
        device.executor.faults.clear()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.DEVICE_FAULT, Stage.ROLLED_BACK)

    device = tell(story)
    assert device.executor.link_version() == OLD
    assert device.now.quarantined == ()


def test_a_candidate_that_dies_is_reverted_with_its_last_log_lines() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.executor.end_candidate()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.CANDIDATE_DIED, Stage.ROLLED_BACK)
        assert LAST_WORDS in str(attempt_in(idle).cause)

    assert tell(story).executor.link_version() == OLD


def test_a_candidate_that_ends_with_its_machine_did_not_die() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.executor.stopping = True
        device.executor.end_candidate()
        await asyncio.sleep(5)
        assert isinstance(process.state, Armed)
        process.post(ServiceStopping(system=True))
        assert await process.ended() == 0
        assert cause_kind(process.seen[-1]) is CauseKind.SERVICE_STOPPED

    assert tell(story).now.quarantined == ()


def test_a_candidate_that_the_plane_never_heard_is_reverted_as_silent() -> None:
    async def story(device: Device) -> None:
        process = await armed(device, heard=False)
        began_s = asyncio.get_running_loop().time()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.CANDIDATE_SILENT, Stage.ROLLED_BACK)
        assert LAST_WORDS in str(attempt_in(idle).cause)
        waited_s = asyncio.get_running_loop().time() - began_s
        assert waited_s == pytest.approx(LIMITS.stop_s, abs=0.5)

    tell(story)


def test_a_plane_that_cannot_be_asked_says_nothing_of_the_candidate() -> None:
    async def story(device: Device) -> None:
        process = await armed(device, heard=False)
        await asyncio.sleep(100)
        device.plane.answers_reads = False
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.NO_DECISION, Stage.ROLLED_BACK)

    assert tell(story).now.quarantined == ()


def test_a_candidate_that_was_heard_and_not_stopped_for_is_reverted_undecided() -> None:
    async def story(device: Device) -> None:
        process = await armed(device, heard=False)
        await asyncio.sleep(100)
        device.plane.beats.add((NEW, ID))
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.NO_DECISION, Stage.ROLLED_BACK)

    tell(story)


def test_a_heartbeat_of_another_upgrade_or_version_is_not_this_candidates() -> None:
    async def story(device: Device) -> None:
        device.plane.beats |= {(NEW, OTHER_ID), (OLD, ID)}
        process = await armed(device, heard=False)
        assert cause_kind(await process.until(Idle)) is CauseKind.CANDIDATE_SILENT

    tell(story)


def test_the_clock_of_the_stop_stands_still_while_the_plane_is_away() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        await asyncio.sleep(LIMITS.stop_s - 20)
        device.plane.cut()
        await asyncio.sleep(600)
        assert isinstance(process.state, Armed)
        device.plane.restore()
        await asyncio.sleep(10)
        assert isinstance(process.state, Armed)
        process.post(device.stop())
        assert await process.ended() == 75

    tell(story)


def test_the_overall_deadline_ends_an_upgrade_whose_plane_stays_away() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.plane.cut()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.NO_DECISION, Stage.ROLLED_BACK)
        assert asyncio.get_running_loop().time() == pytest.approx(LIMITS.overall_s, abs=1)

    assert tell(story).now.quarantined == ()


def test_clocks_of_an_upgrade_that_ended_do_not_end_the_next_one() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        await asyncio.sleep(LIMITS.stop_s - 10)
        device.plane.beats.add((NEW, OTHER_ID))
        device.order_again(NEW)
        await process.until(Idle)
        await process.until(Armed)
        await asyncio.sleep(LIMITS.stop_s - 10)
        assert isinstance(process.state, Armed)

    tell(story)


def test_a_clock_whose_evidence_is_slow_to_come_is_stopped_with_the_others() -> None:
    class SlowLog(FakeExecutor):
        async def candidate_log(self) -> str:
            await asyncio.sleep(60)
            return await super().candidate_log()

    async def story(device: Device) -> None:
        process = await armed(device, heard=False)
        await asyncio.sleep(LIMITS.stop_s + 1)
        device.order_again(NEW)
        await process.until(Idle)
        await process.until(Armed)
        await asyncio.sleep(70)
        assert isinstance(process.state, Armed)

    tell(story, Device(SlowLog(OLD, place=OLD)))


# An abort, a newer order, SIGTERM and a kill, in each phase

PHASES: list[tuple[Behaviour, type[OpenState]]] = [
    (Behaviour.STALLS, Staging),
    (Behaviour.HANGS_IN_SELF_TEST, Verifying),
    (Behaviour.NEVER_READY, CuttingOver),
    (Behaviour.GOOD, Armed),
]


async def reach(device: Device, behaviour: Behaviour, phase: type[OpenState]) -> Process:
    device.order(NEW, behaviour)
    process = device.start()
    await process.until(phase)
    return process


def _end_for(phase: type[OpenState]) -> Stage:
    return Stage.FAILED if phase in {Staging, Verifying} else Stage.ROLLED_BACK


@pytest.mark.parametrize(("behaviour", "phase"), PHASES)
def test_an_abort_ends_an_upgrade_in_every_phase_and_nothing_of_it_runs_on(
    behaviour: Behaviour, phase: type[OpenState]
) -> None:
    async def story(device: Device) -> None:
        process = await reach(device, behaviour, phase)
        device.abort()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.ABORTED, _end_for(phase))
        await asyncio.sleep(2 * LIMITS.overall_s)
        assert process.state == idle

    device = tell(story)
    assert device.executor.link_version() == OLD
    assert device.executor.candidate_running is None
    assert device.executor.tests_running == []
    assert not device.executor.attempt_open


@pytest.mark.parametrize(("behaviour", "phase"), PHASES)
def test_a_newer_order_ends_an_upgrade_in_every_phase_and_is_taken_up(
    behaviour: Behaviour, phase: type[OpenState]
) -> None:
    async def story(device: Device) -> None:
        process = await reach(device, behaviour, phase)
        device.order_again("1.2.0")
        await process.until(Idle)
        await process.until(Armed)
        assert attempt_in(process.seen[-1]).upgrade_id == OTHER_ID
        first, second = (process.seen[-1].journal.ended[-1], device.executor.link_version())
        assert (first.upgrade_id, first.cause, second) == (ID, CauseKind.ABORTED, "1.2.0")

    tell(story)


@pytest.mark.parametrize(("behaviour", "phase"), PHASES)
def test_sigterm_exits_0_in_every_phase_and_leaves_the_link_on_the_old_version(
    behaviour: Behaviour, phase: type[OpenState]
) -> None:
    async def story(device: Device) -> None:
        process = await reach(device, behaviour, phase)
        process.post(ServiceStopping(system=False))
        assert await process.ended() == 0
        open_still = device.now.open_attempt is not None
        assert open_still == (phase in {Staging, Verifying})

    assert tell(story).executor.link_version() == OLD


@pytest.mark.parametrize(("behaviour", "phase"), PHASES)
def test_a_kill_in_every_phase_is_undone_by_the_guard_or_resumed(
    behaviour: Behaviour, phase: type[OpenState]
) -> None:
    async def story(device: Device) -> None:
        await reach(device, behaviour, phase)
        await device.kill()
        device.guard()
        assert device.executor.link_version() == OLD
        device.executor.behaviours[NEW] = Behaviour.GOOD
        again = device.start()
        if phase in {Staging, Verifying}:
            await again.until(Staging)
            assert attempt_in(again.seen[-1]).tries == 2
        else:
            idle = await again.until(Idle)
            assert kind_and_stage(idle) == (CauseKind.INTERRUPTED, Stage.ROLLED_BACK)
            await settled()
            assert device.executor.candidate_running is None

    assert tell(story).now.quarantined == ()


def test_an_agent_that_is_killed_again_and_again_while_staging_gives_up() -> None:
    async def story(device: Device) -> None:
        device.order(NEW, Behaviour.STALLS)
        for _ in range(3):
            await device.start().until(Staging)
            await device.kill()
        idle = await device.start().until(Idle)
        assert kind_and_stage(idle) == (CauseKind.TRIES_EXHAUSTED, Stage.FAILED)

    tell(story)


# Stops


def test_a_stop_for_another_upgrade_is_answered_and_ends_nothing() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        process.post(device.stop(OTHER_ID))
        await asyncio.sleep(1)
        assert isinstance(process.state, Armed)

    (answer,) = tell(story).plane.answers
    assert answer.outcome is Outcome.REFUSED


def test_a_commit_whose_answer_was_lost_is_acknowledged_by_the_new_version() -> None:
    async def story(device: Device) -> None:
        old = await armed(device)
        device.plane.cut()
        old.post(device.stop())
        assert await old.ended() == 75
        assert device.plane.answers == []
        device.plane.restore()
        new = device.start()
        await new.until(Probation)
        new.post(device.stop(reply_to="reply-2"))
        await asyncio.sleep(1)
        assert device.plane.answers == [AnswerStop("reply-2", Outcome.OK)]

    tell(story)


def test_a_commit_that_lost_its_link_in_a_power_cut_is_swapped_again() -> None:
    async def story(device: Device) -> None:
        device.journal.write(journal_in(Stage.COMMITTED))
        device.executor.files[NEW] = FakeFile(b"new")
        device.executor.faults["swap_link"] = DISK
        process = device.start()
        await process.until(Recommitting)
        await asyncio.sleep(1)
        assert process.ready.ready_said > 0
        device.executor.faults.clear()
        assert await process.ended() == 75

    assert tell(story).executor.link_version() == NEW


# The new version as primary


def test_probation_waits_for_its_time_and_for_a_status_that_was_acknowledged() -> None:
    async def story(device: Device) -> None:
        old = await armed(device)
        old.post(device.stop())
        await old.ended()
        device.plane.cut()
        new = device.start()
        await asyncio.sleep(3 * LIMITS.probation_s)
        assert isinstance(new.state, Probation)
        assert new.state.time_reached
        device.plane.restore()
        await new.until(Idle)

    assert tell(story).said()[-1] == "Succeeded"


def test_an_order_in_probation_waits_and_is_taken_up_after_it() -> None:
    async def story(device: Device) -> None:
        new = await committed(device)
        await new.until(Probation)
        device.order_again("1.2.0")
        await asyncio.sleep(1)
        assert device.plane.statuses[-1].deferred == OTHER_ID
        await new.until(Armed)
        assert attempt_in(new.seen[-1]).to_version == "1.2.0"

    tell(story)


def test_sigterm_in_probation_stops_the_candidate_and_uncounts_the_start() -> None:
    async def story(device: Device) -> None:
        new = await committed(device)
        await new.until(Probation)
        new.post(ServiceStopping(system=False))
        assert await new.ended() == 0

    device = tell(story)
    assert device.now.attempt is not None
    assert device.now.attempt.starts == 0


def test_a_version_that_crashes_again_and_again_is_rolled_back_by_the_guard() -> None:
    async def story(device: Device) -> None:
        new = await committed(device)
        await new.until(Probation)
        for _ in range(4):
            await device.kill()
            device.guard()
            await device.start().until(Probation)
        await device.kill()
        device.guard()
        idle = await device.start().until(Idle)
        assert kind_and_stage(idle) == (CauseKind.CRASH_LOOP, Stage.ROLLED_BACK)

    device = tell(story)
    assert device.executor.link_version() == OLD
    assert device.now.quarantined == (_digest(device),)


async def on_trial(device: Device) -> Process:
    """No guard ran after a kill in the cutover."""
    await armed(device)
    await device.kill()
    process = device.start()
    await process.until(Trial)
    return process


def test_a_new_version_on_trial_is_committed_by_the_operators_stop() -> None:
    async def story(device: Device) -> None:
        trial = await on_trial(device)
        assert device.plane.statuses[-1].phase == "CutoverReady"
        trial.post(device.stop())
        await trial.until(Probation)
        await settled()
        assert device.executor.candidate_running is None
        await trial.until(Idle)

    device = tell(story)
    assert device.said()[-1] == "Succeeded"
    assert device.plane.answers == [AnswerStop("reply", Outcome.OK)]


def test_a_new_version_on_trial_without_a_decision_goes_back_and_exits_75() -> None:
    async def story(device: Device) -> None:
        trial = await on_trial(device)
        assert await trial.ended() == 75
        idle = await device.start().until(Idle)
        assert kind_and_stage(idle) == (CauseKind.NO_DECISION, Stage.ROLLED_BACK)

    assert tell(story).executor.link_version() == OLD


def test_a_trial_that_cannot_go_back_says_so_and_obeys_an_abort_once_it_can() -> None:
    async def story(device: Device) -> None:
        trial = await on_trial(device)
        sound = device.executor.files[OLD]
        device.executor.files[OLD] = FakeFile(b"cut short", whole=False)
        device.abort()
        await asyncio.sleep(60)
        assert isinstance(trial.state, Trial)
        status = device.plane.statuses[-1]
        assert status.cause is not None
        assert status.cause.kind is CauseKind.ROLLBACK_TARGET_DAMAGED
        assert device.asked("check_target") < 10
        device.executor.files[OLD] = sound
        assert await trial.ended() == 75

    assert tell(story).executor.link_version() == OLD


# An old version whose own file was damaged


def test_an_old_version_whose_file_is_damaged_writes_it_anew_and_goes_back() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.executor.files[OLD] = FakeFile(b"cut short", whole=False)
        device.abort()
        await process.until(Idle)

    device = tell(story)
    assert device.executor.files[OLD].content == f"program {OLD}".encode()


def test_an_old_version_beyond_repair_waits_in_checking_until_somebody_repairs_it() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.executor.faults["check_target"] = DISK
        device.abort()
        await process.until(Checking)
        await asyncio.sleep(10 * LIMITS.retry_s)
        assert isinstance(process.state, Checking)
        device.executor.faults.clear()
        await process.until(Idle)

    assert tell(story).executor.link_version() == OLD


# What is only swept


@pytest.mark.parametrize("method", ["stop_candidate", "close_attempt"])
def test_what_cannot_be_swept_now_does_not_hold_anything_up(method: str) -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.executor.faults[method] = DISK
        device.abort()
        await process.until(Idle)
        device.executor.faults.clear()
        await device.kill()
        again = device.start()
        await again.until(Idle)
        await settled()

    device = tell(story)
    assert device.executor.candidate_running is None
    assert not device.executor.attempt_open


# The journal that cannot be written


def test_with_a_disk_that_refuses_everything_once_an_upgrade_goes_through_all_the_same() -> None:
    async def story(device: Device) -> None:
        old = await armed(device)
        old.post(device.stop())
        assert await old.ended() == 75
        new = device.start()
        await new.until(Probation)
        await new.until(Idle)

    device = tell(story, Device(journal=FlakyJournal()))
    assert device.said()[-1] == "Succeeded"
    assert device.asked("start_candidate") == 1


def test_with_a_disk_that_refuses_everything_once_a_revert_goes_through_all_the_same() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.abort()
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.ABORTED, Stage.ROLLED_BACK)

    assert tell(story, Device(journal=FlakyJournal())).executor.link_version() == OLD


UNWRITABLE_IN = [
    (Behaviour.STALLS, Staging),
    (Behaviour.HANGS_IN_SELF_TEST, Verifying),
    (Behaviour.NEVER_READY, CuttingOver),
    (Behaviour.GOOD, Armed),
]


@pytest.mark.parametrize(("behaviour", "phase"), UNWRITABLE_IN)
def test_while_the_journal_cannot_be_written_nothing_changes_and_then_the_event_is_taken(
    behaviour: Behaviour, phase: type[OpenState]
) -> None:
    async def story(device: Device) -> None:
        process = await reach(device, behaviour, phase)
        durable, link = device.now, device.executor.link_version()
        device.journal.unwritable = True
        device.abort()
        await asyncio.sleep(4 * LIMITS.retry_s)
        assert (device.now, device.executor.link_version()) == (durable, link)
        assert device.executor.candidate is None or device.executor.candidate_running == NEW
        assert "Failed" not in device.said()
        device.journal.unwritable = False
        idle = await process.until(Idle)
        assert kind_and_stage(idle) == (CauseKind.ABORTED, _end_for(phase))

    tell(story)


def test_a_stop_that_cannot_be_journaled_is_not_acknowledged_before_it_is() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.journal.unwritable = True
        process.post(device.stop())
        await asyncio.sleep(2 * LIMITS.retry_s)
        assert device.plane.answers == []
        assert isinstance(process.state, Armed)
        device.journal.unwritable = False
        assert await process.ended() == 75

    assert tell(story).plane.answers == [AnswerStop("reply", Outcome.OK)]


def test_an_agent_that_waits_for_its_disk_is_ready_and_begins_once_it_can() -> None:
    async def story(device: Device) -> None:
        device.journal.unwritable = True
        process = device.start()
        await asyncio.sleep(60)
        assert process.state == Starting()
        assert process.ready.ready_said > 0
        device.journal.unwritable = False
        await process.until(Idle)

    tell(story)


def test_what_cancelled_work_said_is_not_taken_for_the_next_orders_even_when_it_came_late() -> None:
    """The end of the first download waits for the disk, and meanwhile another is ordered."""

    class TakesTime(FakeExecutor):
        async def stage(
            self, version: str, artifact: Artifact, progress: Callable[[int], None]
        ) -> None:
            await asyncio.sleep(1 if version == NEW else 3600)
            await super().stage(version, artifact, progress)

    async def story(device: Device) -> None:
        device.order(NEW)
        process = device.start()
        await process.until(Staging)
        device.journal.unwritable = True
        await asyncio.sleep(2)
        assert isinstance(process.state, Staging)
        device.journal.unwritable = False
        device.order_again("1.2.0")
        await asyncio.sleep(2 * LIMITS.retry_s)
        assert isinstance(process.state, Staging)
        assert attempt_in(process.state).upgrade_id == OTHER_ID

    tell(story, Device(TakesTime(OLD, place=OLD)))


def test_of_cancelled_work_nothing_is_read_that_was_not_read_before() -> None:
    async def told() -> None:
        inbox = Inbox()

        async def work(post: Post) -> None:
            post(CandidateReady())
            await asyncio.sleep(3600)

        inbox.begin_work(work)
        await settled()
        inbox.post(last := ServiceStopping(system=False))
        await inbox.cancel_work()
        assert await inbox.get() == last
        inbox.begin_work(work)
        assert await inbox.get() == CandidateReady()
        await inbox.cancel_work()
        await inbox.cancel_work()

    run(told())


def test_a_stray_candidate_is_swept_before_the_cutover_begins() -> None:
    async def story(device: Device) -> None:
        await armed(device)
        names = [call[0] for call in device.executor.calls]
        prepared = names.index("point_previous")
        assert "stop_candidate" in names[names.index("self_test") : prepared]
        assert names[prepared:] == [
            "point_previous",
            "open_attempt",
            "swap_link",
            "start_candidate",
        ]

    tell(story)


# What should never happen


def test_an_event_that_cannot_happen_is_ignored() -> None:
    async def story(device: Device) -> None:
        process = device.start()
        await process.until(Idle)
        process.post(CandidateReady())
        await asyncio.sleep(1)
        assert isinstance(process.state, Idle)

    tell(story)


def test_a_fault_of_ours_in_the_work_ends_the_driver_and_not_only_the_work() -> None:
    class Broken(FakeExecutor):
        async def self_test(self, version: str, limit_s: float) -> None:
            if version == NEW:
                raise LookupError("a fault of ours")

    async def story(device: Device) -> None:
        device.order(NEW)
        process = device.start()
        with pytest.raises(LookupError, match="of ours"):
            await process.ended()

    tell(story, Device(Broken(OLD, place=OLD)))


def test_the_candidate_is_watched_until_its_work_is_cancelled() -> None:
    async def story(device: Device) -> None:
        process = await armed(device)
        device.abort()
        await process.until(Idle)
        device.executor.end_candidate()
        await asyncio.sleep(10)
        assert isinstance(process.state, Idle)

    tell(story)


# The fake clock itself


def test_time_passes_only_where_somebody_waits_for_it_and_never_for_nothing() -> None:
    async def hour() -> float:
        clock = FakeClock(seconds=10.0)
        await clock.sleep(3600)
        return clock.boot_time().seconds

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    async def always() -> None:
        while True:
            await asyncio.sleep(0)

    assert run(hour()) == pytest.approx(3610, abs=0.01)
    assert FakeClock(seconds=10.0).boot_time().seconds == 10.0
    with pytest.raises(TimeStandsStill):
        run(never())
    with pytest.raises(TimeStandsStill):
        run(always())
