"""The transient unit of a candidate: it outlives the primary that started it."""

import asyncio
from typing import Final

from harmony_fleet.agent.candidate import Candidate
from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.machine import Machine, Notify
from harmony_fleet.simulation.programs import Behaviour, Program

CANDIDATE: Final = "candidate"
NOWHERE: Final = "nowhere"
STOPPING_S: Final = 0.05
RUNTIME_SHARE: Final = 1.25
"""Of the overall deadline: systemd itself ends it then."""


class CandidateUnit:
    def __init__(self, machine: Machine) -> None:
        self._machine, self._loop = machine, machine.around.loop
        self._process: SimulatedProcess | None = None
        self._ended = asyncio.Event()

    @property
    def running(self) -> bool:
        return self._process is not None

    async def start(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        """Returns after READY. Raises UpgradeFault: none runs then."""
        await self.stop()
        program = self._machine.execute(CANDIDATE, version)
        if program is None:
            raise UpgradeFault(CauseKind.DEVICE_FAULT, f"version {version} cannot be run")
        self._ended = ended = asyncio.Event()
        ready = asyncio.Event()
        process = self._machine.process(CANDIDATE, version, lambda _: self._over(process))
        self._process = process
        process.start(lambda: self._live(process, program, upgrade_id, ready))
        limit_s = RUNTIME_SHARE * self._machine.config.upgrade.overall_limit_s
        self._loop.call_later(limit_s, process.kill, context=self._loop.outside)
        waits = [asyncio.create_task(ready.wait()), asyncio.create_task(ended.wait())]
        try:
            await asyncio.wait(waits, timeout=ready_limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not ready.is_set():
            process.kill()
            sentence = f"version {version} did not get ready as candidate"
            raise UpgradeFault(CauseKind.CANDIDATE_START_FAILED, sentence)

    async def _live(
        self, process: SimulatedProcess, program: Program, upgrade_id: str, ready: asyncio.Event
    ) -> int:
        machine, pace = self._machine, self._machine.around.pace
        await asyncio.sleep(pace.program_start)
        match program.behaviour:
            case Behaviour.CANDIDATE_NEVER_READY:
                await asyncio.sleep(1e6)
            case Behaviour.CANDIDATE_DIES_AT_ONCE:
                return 1
            case Behaviour.CANDIDATE_DIES_LATER:
                at_end = lambda: process.leaves(1)  # noqa: E731
                self._loop.call_later(pace.crash, at_end, context=self._loop.outside)
            case _:
                pass
        notify = Notify(process, None, ready.set)
        who = NOWHERE if program.behaviour is Behaviour.CANDIDATE_SILENT else ""
        outside = machine.outside(process, notify, who)
        await Candidate(machine.config, upgrade_id, program.says, lambda *_: outside).run()
        return 1

    def _over(self, process: SimulatedProcess) -> None:
        if process is self._process:
            self._process = None
            self._ended.set()

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.sleep(STOPPING_S)

    def stop_soon(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def exited(self) -> None:
        while self._process is not None:
            await self._ended.wait()
