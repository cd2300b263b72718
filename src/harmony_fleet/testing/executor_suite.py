"""What every UpgradeExecutor does, as plain coroutines that assert: run each one of `CASES`.

You provide a fresh `World` for each case: an executor, and the means to make real programs for
it. With pytest, which this module does not need:

    @pytest.mark.parametrize("case", executor_suite.CASES, ids=executor_suite.name)
    def test_an_executor(case, tmp_path):
        async def run():
            async with my_world(tmp_path) as world:
                await case(world)
        asyncio.run(run())

A program of the world is one file that is run as the Program's argv says: with the self-test's,
the guard's or the candidate's arguments. Whatever it does then, it first prints LAST_WORDS and
its arguments, on standard error, unbuffered. `Behaviour` says how it goes on. The methods of
`Versions`, which an executor has too, are held to `versions_suite`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from harmony_fleet.agent.upgrade.ports import UpgradeExecutor, UpgradeFault
from harmony_fleet.contracts.upgrade import Artifact, CauseKind

T = TypeVar("T")

LAST_WORDS = "the last words of this program"
VERSION = "2.0.0"
UPGRADE_ID = "0123456789abcdef" * 2
LONG_S = 30.0
"""Nothing that should happen takes so long, however slow the machine."""


class Behaviour(StrEnum):
    GOOD = "good"
    """Exits 0 from its self-test and guard; as candidate says READY, then runs until told."""
    WRONG_BYTES = "wrong_bytes"
    """What the URL serves has the size that the artifact says, and not its digest."""
    STALLS = "stalls"
    """The server sends some of the bytes, and then nothing for longer than LONG_S."""
    FAILS_SELF_TEST = "fails_self_test"
    """Its self-test exits 1."""
    HANGS_IN_SELF_TEST = "hangs_in_self_test"
    """Its self-test never ends, nor does its guard."""
    NEVER_READY = "never_ready"
    """Its candidate runs until told, and never says READY."""
    EXITS_AT_ONCE = "exits_at_once"
    """Its candidate exits 1 before READY."""
    GUARD_BROKEN = "guard_broken"
    """Its guard exits 1."""


class World(Protocol):
    @property
    def executor(self) -> UpgradeExecutor: ...

    @property
    def running_sha256(self) -> str:
        """Digest of the file that this executor takes for the one that it runs from."""

    @property
    def short_s(self) -> float:
        """Long enough for a program to have begun and printed; a case waits for it to run out."""

    async def publish(self, version: str, behaviour: Behaviour) -> Artifact:
        """Make a program and serve it. No two calls give the same URL, nor the same bytes.

        The same URL with something appended leads nowhere (404).
        """

    def at_final_path(self, version: str) -> bytes | None:
        """The content of that version's file, or None where there is none."""

    def processes(self, version: str) -> int:
        """How many processes run that version's file now, whatever as."""

    async def kill_candidate(self) -> None:
        """End its process from outside, as a crash would; the executor is not told."""


Case = Callable[[World], Coroutine[Any, Any, None]]


def name(case: Case) -> str:
    """The case as a sentence, for a test's id."""
    return case.__name__


# Staging


async def staging_gives_the_file_its_final_name_and_tells_progress_up_to_its_size(
    world: World,
) -> None:
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    told: list[int] = []
    await _soon(world.executor.stage(VERSION, artifact, told.append))
    assert len(world.at_final_path(VERSION) or b"") == artifact.size_bytes
    assert told == sorted(told), told
    assert told[-1] == artifact.size_bytes, told


async def bytes_with_another_digest_never_get_the_final_name(world: World) -> None:
    artifact = await world.publish(VERSION, Behaviour.WRONG_BYTES)
    await _faults(world.executor.stage(VERSION, artifact, _unheard), CauseKind.DIGEST_MISMATCH)
    assert world.at_final_path(VERSION) is None


async def an_artifact_that_is_nowhere_is_a_failed_download(world: World) -> None:
    artifact = _nowhere(await world.publish(VERSION, Behaviour.GOOD))
    await _faults(world.executor.stage(VERSION, artifact, _unheard), CauseKind.DOWNLOAD_FAILED)
    assert world.at_final_path(VERSION) is None


async def a_complete_file_that_is_already_there_is_used(world: World) -> None:
    artifact = await _staged(world, Behaviour.GOOD)
    before = world.at_final_path(VERSION)
    await _soon(world.executor.stage(VERSION, _nowhere(artifact), _unheard))
    assert world.at_final_path(VERSION) == before


async def a_file_with_another_digest_is_replaced(world: World) -> None:
    await _staged(world, Behaviour.GOOD)
    before = world.at_final_path(VERSION)
    await _staged(world, Behaviour.FAILS_SELF_TEST)
    assert world.at_final_path(VERSION) != before


async def staging_can_be_cancelled_while_the_server_is_silent(world: World) -> None:
    artifact = await world.publish(VERSION, Behaviour.STALLS)
    told: list[int] = []
    staging = asyncio.create_task(world.executor.stage(VERSION, artifact, told.append))
    await _until(lambda: bool(told) or staging.done())
    await _cancel(staging)
    assert world.at_final_path(VERSION) is None


async def the_digest_of_the_running_binary_is_known(world: World) -> None:
    assert await _soon(world.executor.running_sha256()) == world.running_sha256


# Self-test and guard


async def a_good_self_test_passes_and_leaves_no_process(world: World) -> None:
    await _staged(world, Behaviour.GOOD)
    await _soon(world.executor.self_test(VERSION, LONG_S))
    assert world.processes(VERSION) == 0


async def a_failed_self_test_is_told_with_its_output(world: World) -> None:
    await _staged(world, Behaviour.FAILS_SELF_TEST)
    test = world.executor.self_test(VERSION, LONG_S)
    fault = await _faults(test, CauseKind.SELF_TEST_FAILED)
    assert LAST_WORDS in fault.evidence, fault.evidence


async def a_self_test_outlives_no_limit(world: World) -> None:
    await _staged(world, Behaviour.HANGS_IN_SELF_TEST)
    test = world.executor.self_test(VERSION, world.short_s)
    fault = await _faults(test, CauseKind.SELF_TEST_TIMEOUT)
    assert LAST_WORDS in fault.evidence, fault.evidence
    assert world.processes(VERSION) == 0


async def a_cancelled_self_test_leaves_no_process(world: World) -> None:
    await _staged(world, Behaviour.HANGS_IN_SELF_TEST)
    test = asyncio.create_task(world.executor.self_test(VERSION, LONG_S))
    await _until(lambda: world.processes(VERSION) > 0 or test.done())
    await _cancel(test)
    assert world.processes(VERSION) == 0


async def a_guard_that_can_run_passes_its_dry_run(world: World) -> None:
    await _staged(world, Behaviour.GOOD)
    await _soon(world.executor.dry_run_guard(VERSION, LONG_S))
    assert world.processes(VERSION) == 0


async def a_broken_guard_makes_no_rollback_target(world: World) -> None:
    await _staged(world, Behaviour.GUARD_BROKEN)
    dry_run = world.executor.dry_run_guard(VERSION, LONG_S)
    fault = await _faults(dry_run, CauseKind.ROLLBACK_TARGET_FAILED)
    assert LAST_WORDS in fault.evidence, fault.evidence


async def a_guard_that_hangs_makes_no_rollback_target_and_is_ended(world: World) -> None:
    await _staged(world, Behaviour.HANGS_IN_SELF_TEST)
    dry_run = world.executor.dry_run_guard(VERSION, world.short_s)
    await _faults(dry_run, CauseKind.ROLLBACK_TARGET_FAILED)
    assert world.processes(VERSION) == 0


# The candidate


async def a_ready_candidate_runs_until_it_is_stopped(world: World) -> None:
    await _candidate(world, VERSION)
    assert world.processes(VERSION) == 1
    await _soon(world.executor.stop_candidate())
    assert world.processes(VERSION) == 0


async def stopping_where_no_candidate_runs_is_no_fault(world: World) -> None:
    await _soon(world.executor.stop_candidate())
    await _candidate(world, VERSION)
    await _soon(world.executor.stop_candidate())
    await _soon(world.executor.stop_candidate())


async def a_candidate_that_is_never_ready_is_ended_and_its_log_told(world: World) -> None:
    await _staged(world, Behaviour.NEVER_READY)
    start = world.executor.start_candidate(VERSION, UPGRADE_ID, world.short_s)
    fault = await _faults(start, CauseKind.CANDIDATE_START_FAILED)
    assert LAST_WORDS in fault.evidence, fault.evidence
    assert world.processes(VERSION) == 0


async def a_candidate_that_exits_at_once_is_told_without_waiting_for_the_limit(
    world: World,
) -> None:
    await _staged(world, Behaviour.EXITS_AT_ONCE)
    start = world.executor.start_candidate(VERSION, UPGRADE_ID, 10 * LONG_S)
    fault = await _faults(start, CauseKind.CANDIDATE_START_FAILED)
    assert LAST_WORDS in fault.evidence, fault.evidence
    assert world.processes(VERSION) == 0


async def a_second_candidate_replaces_the_first(world: World) -> None:
    await _candidate(world, VERSION)
    await _candidate(world, "2.0.1")
    assert (world.processes(VERSION), world.processes("2.0.1")) == (0, 1)
    await _soon(world.executor.start_candidate("2.0.1", UPGRADE_ID, LONG_S))
    assert world.processes("2.0.1") == 1
    await _soon(world.executor.stop_candidate())


async def a_cancelled_start_leaves_nothing_that_a_stop_does_not_end(world: World) -> None:
    await _staged(world, Behaviour.NEVER_READY)
    start = asyncio.create_task(world.executor.start_candidate(VERSION, UPGRADE_ID, LONG_S))
    await _until(lambda: world.processes(VERSION) > 0 or start.done())
    await _cancel(start)
    await _soon(world.executor.stop_candidate())
    assert world.processes(VERSION) == 0


async def the_exit_of_a_candidate_is_waited_for_and_told_with_its_log(world: World) -> None:
    await _candidate(world, VERSION)
    gone = asyncio.create_task(world.executor.candidate_exit())
    done, _ = await asyncio.wait({gone}, timeout=world.short_s)
    assert not done, "candidate_exit returned while the candidate ran"
    await world.kill_candidate()
    log = await _soon(gone)
    assert LAST_WORDS in log, log
    assert UPGRADE_ID in log, log


async def waiting_for_the_exit_can_be_cancelled_and_repeated(world: World) -> None:
    await _candidate(world, VERSION)
    await _cancel(asyncio.create_task(world.executor.candidate_exit()))
    assert world.processes(VERSION) == 1
    await world.kill_candidate()
    assert LAST_WORDS in await _soon(world.executor.candidate_exit())
    await _soon(world.executor.candidate_exit())


async def where_no_candidate_runs_its_exit_is_not_waited_for(world: World) -> None:
    await _soon(world.executor.candidate_exit())


async def the_log_of_a_candidate_can_be_read_while_it_runs(world: World) -> None:
    await _soon(world.executor.candidate_log())
    await _candidate(world, VERSION)
    assert LAST_WORDS in await _soon(world.executor.candidate_log())
    await _soon(world.executor.stop_candidate())
    await _soon(world.executor.candidate_log())


async def a_machine_that_runs_is_not_said_to_be_stopping(world: World) -> None:
    assert await _soon(world.executor.system_stopping()) is False


CASES: tuple[Case, ...] = (
    staging_gives_the_file_its_final_name_and_tells_progress_up_to_its_size,
    bytes_with_another_digest_never_get_the_final_name,
    an_artifact_that_is_nowhere_is_a_failed_download,
    a_complete_file_that_is_already_there_is_used,
    a_file_with_another_digest_is_replaced,
    staging_can_be_cancelled_while_the_server_is_silent,
    the_digest_of_the_running_binary_is_known,
    a_good_self_test_passes_and_leaves_no_process,
    a_failed_self_test_is_told_with_its_output,
    a_self_test_outlives_no_limit,
    a_cancelled_self_test_leaves_no_process,
    a_guard_that_can_run_passes_its_dry_run,
    a_broken_guard_makes_no_rollback_target,
    a_guard_that_hangs_makes_no_rollback_target_and_is_ended,
    a_ready_candidate_runs_until_it_is_stopped,
    stopping_where_no_candidate_runs_is_no_fault,
    a_candidate_that_is_never_ready_is_ended_and_its_log_told,
    a_candidate_that_exits_at_once_is_told_without_waiting_for_the_limit,
    a_second_candidate_replaces_the_first,
    a_cancelled_start_leaves_nothing_that_a_stop_does_not_end,
    the_exit_of_a_candidate_is_waited_for_and_told_with_its_log,
    waiting_for_the_exit_can_be_cancelled_and_repeated,
    where_no_candidate_runs_its_exit_is_not_waited_for,
    the_log_of_a_candidate_can_be_read_while_it_runs,
    a_machine_that_runs_is_not_said_to_be_stopping,
)


async def _staged(world: World, behaviour: Behaviour, version: str = VERSION) -> Artifact:
    artifact = await world.publish(version, behaviour)
    await _soon(world.executor.stage(version, artifact, _unheard))
    assert world.at_final_path(version) is not None
    return artifact


async def _candidate(world: World, version: str) -> None:
    await _staged(world, Behaviour.GOOD, version)
    await _soon(world.executor.start_candidate(version, UPGRADE_ID, LONG_S))


async def _faults(step: Awaitable[None], cause: CauseKind) -> UpgradeFault:
    fault = await _fault(step)
    assert fault is not None, f"passed, where it should have raised {cause}"
    assert fault.cause is cause, f"{fault.cause} instead of {cause}: {fault}"
    assert fault.sentence, "a fault says in a sentence what happened"
    return fault


async def _fault(step: Awaitable[None]) -> UpgradeFault | None:
    try:
        await _soon(step)
    except UpgradeFault as fault:
        return fault
    return None


async def _soon(step: Awaitable[T]) -> T:
    async with asyncio.timeout(LONG_S):
        return await step


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():  # noqa: ASYNC110 - a process sets no event when it appears
            await asyncio.sleep(0.01)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=LONG_S)
    assert done, "a cancelled step never ended"
    assert task.cancelled(), f"a cancelled step ended as {task!r}"


def _nowhere(artifact: Artifact) -> Artifact:
    return replace(artifact, url=artifact.url + "-nowhere")


def _unheard(_bytes: int) -> None:
    pass
