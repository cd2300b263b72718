"""The fake executor keeps the executor's contract, and does what its scripts say."""

import asyncio

import pytest

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.testing import executor_suite
from harmony_fleet.testing.executor_suite import Behaviour, Case
from harmony_fleet.testing.fake_executor import FakeExecutor

OLD, NEW = "1.0.0", "1.1.0"
UPGRADE_ID = "ab" * 16


class FakeWorld:
    short_s = 0.02

    def __init__(self) -> None:
        self.executor = FakeExecutor(OLD)
        self.running_sha256 = self.executor.files[OLD].sha256

    async def publish(self, version: str, behaviour: Behaviour) -> Artifact:
        return self.executor.publish(version, behaviour)

    def at_final_path(self, version: str) -> bytes | None:
        file = self.executor.files.get(version)
        return file.content if file else None

    def processes(self, version: str) -> int:
        candidate = self.executor.candidate_running == version
        return candidate + self.executor.tests_running.count(version)

    async def kill_candidate(self) -> None:
        self.executor.end_candidate()


@pytest.mark.parametrize("case", executor_suite.CASES, ids=executor_suite.name)
def test_the_fake_executor(case: Case) -> None:
    async def run() -> None:
        await case(FakeWorld())

    asyncio.run(run())


async def _ready(executor: FakeExecutor) -> None:
    await executor.stage(NEW, executor.publish(NEW), lambda _: None)
    await executor.start_candidate(NEW, UPGRADE_ID, 1)


def test_a_scripted_fault_changes_nothing_until_it_is_taken_away() -> None:
    executor = FakeExecutor(OLD)
    executor.faults["swap_link"] = UpgradeFault(CauseKind.DEVICE_FAULT, "the disk is read-only")
    with pytest.raises(UpgradeFault, match="read-only"):
        executor.swap_link(OLD)
    assert executor.link_version() is None
    del executor.faults["swap_link"]
    executor.swap_link(OLD)
    assert executor.link_version() == OLD


def test_the_calls_are_remembered_in_their_order() -> None:
    executor = FakeExecutor(OLD)
    asyncio.run(_ready(executor))
    executor.point_previous(OLD)
    executor.swap_link(NEW)
    assert executor.calls == [
        ("stage", NEW),
        ("start_candidate", NEW),
        ("point_previous", OLD),
        ("swap_link", NEW),
    ]


def test_a_candidate_outlives_its_primary() -> None:
    executor = FakeExecutor(OLD)
    asyncio.run(_ready(executor))
    executor.restart(NEW)
    assert (executor.running, executor.candidate_running) == (NEW, NEW)
    assert asyncio.run(executor.running_sha256()) == executor.files[NEW].sha256


def test_whoever_waits_while_a_candidate_is_replaced_waits_for_the_second() -> None:
    async def run() -> None:
        executor = FakeExecutor(OLD)
        await _ready(executor)
        gone = asyncio.create_task(executor.candidate_exit())
        await asyncio.sleep(0)
        await executor.start_candidate(NEW, "cd" * 16, 1)
        done, _ = await asyncio.wait({gone}, timeout=0.01)
        assert not done
        await executor.stop_candidate()
        assert "cd" * 16 in await asyncio.wait_for(gone, 5)

    asyncio.run(run())


def test_time_passes_in_the_clock_that_was_given() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run() -> None:
        executor = FakeExecutor(OLD, sleep=sleep)
        artifact = executor.publish(NEW, Behaviour.HANGS_IN_SELF_TEST)
        await executor.stage(NEW, artifact, lambda _: None)
        with pytest.raises(UpgradeFault) as raised:
            await executor.self_test(NEW, 60)
        assert raised.value.cause is CauseKind.SELF_TEST_TIMEOUT

    asyncio.run(run())
    assert slept == [60]
