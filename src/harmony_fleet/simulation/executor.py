"""`ports.UpgradeExecutor` on the simulated device: its disk, its downloads, its candidate."""

import asyncio
from collections.abc import Callable

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.simulation.candidate_unit import CandidateUnit
from harmony_fleet.simulation.disk import file_of
from harmony_fleet.simulation.files import DiskVersions
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.machine import Machine
from harmony_fleet.simulation.programs import Behaviour, Program

TRIES = 2
"""Of a download whose bytes are wrong."""


class SimulatedExecutor(DiskVersions):
    def __init__(
        self,
        machine: Machine,
        candidate: CandidateUnit,
        process: SimulatedProcess,
        running: Program,
    ) -> None:
        super().__init__(machine.disk, running.version, running.sha256)
        self._machine, self._candidate, self._process = machine, candidate, process

    async def stage(
        self, version: str, artifact: Artifact, progress: Callable[[int], None]
    ) -> None:
        self._process.step("stage")
        if self.disk.seen(file_of(version)) == artifact.sha256:
            await asyncio.to_thread(self.land, version, artifact.sha256)  # its name may be unsynced
            return
        for _ in range(TRIES):
            served = await self._machine.downloads.fetch(artifact)
            progress(artifact.size_bytes)
            if served == artifact.sha256:
                await asyncio.to_thread(self.land, version, served)
                return
        sentence = f"{artifact.url} has another SHA-256 than was ordered"
        raise UpgradeFault(CauseKind.DIGEST_MISMATCH, sentence)

    async def running_sha256(self) -> str:
        return self.held_open

    async def self_test(self, version: str, limit_s: float) -> None:
        program = self._machine.execute("self-test", version)
        if program is None:
            raise UpgradeFault(CauseKind.SELF_TEST_FAILED, f"version {version} cannot be run")
        pace = self._machine.around.pace
        if program.behaviour is Behaviour.HANGS_IN_SELF_TEST:
            await asyncio.sleep(limit_s)
            raise UpgradeFault(CauseKind.SELF_TEST_TIMEOUT, f"version {version} did not end")
        await asyncio.sleep(pace.self_test)
        if program.behaviour is Behaviour.FAILS_SELF_TEST:
            raise UpgradeFault(CauseKind.SELF_TEST_FAILED, f"version {version} failed")
        if not self._machine.has_contact:
            await asyncio.sleep(0.8 * limit_s)
            raise UpgradeFault(CauseKind.SELF_TEST_FAILED, f"version {version} had no contact")

    async def dry_run_guard(self, version: str, limit_s: float) -> None:  # noqa: ARG002
        if self._machine.execute("guard", version) is None:
            sentence = f"the guard of {version} cannot be run"
            raise UpgradeFault(CauseKind.ROLLBACK_TARGET_FAILED, sentence)
        await asyncio.sleep(self._machine.around.pace.guard)

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        self._process.step("start candidate")
        await self._candidate.start(version, upgrade_id, ready_limit_s)

    async def candidate_exit(self) -> str:
        await self._candidate.exited()
        return await self.candidate_log()

    async def stop_candidate(self) -> None:
        self._process.step("stop candidate")
        await self._candidate.stop()

    async def candidate_log(self) -> str:
        return "its last words"

    async def system_stopping(self) -> bool:
        return self._machine.going_down
