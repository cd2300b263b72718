"""A whole device without a process of its own: the shipped agent on a fake disk.

Heartbeats, orders, reports, commands, machine and guard are the agent's, over a real connection to
a real message plane for the primary and one more for the candidate, so that many devices fit into
one process. Not here: downloads (a program is known by its digest), the watchdog and the dead-man
timer.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from harmony_fleet.agent.candidate import Candidate as CandidateProcess
from harmony_fleet.agent.clock import BootClock
from harmony_fleet.agent.config import Config, HeartbeatConfig, PathsConfig, PlaneConfig
from harmony_fleet.agent.config import UpgradeConfig as Limits
from harmony_fleet.agent.primary import Primary
from harmony_fleet.agent.upgrade.guard import GuardPorts, guard
from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.agent.upgrade.upgrading import Device
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.testing.fake_executor import Candidate, FakeExecutor
from harmony_fleet.testing.fake_journal import FakeJournal
from harmony_fleet.testing.fake_versions import FakeFile

RESTART_S = 0.05
"""Between two starts of the primary."""

Programs = Mapping[str, bytes]
"""What can be downloaded, by its SHA-256."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """Versions that a device gets and cannot live with."""

    silent: frozenset[str] = frozenset()
    """Never heard as a candidate."""
    crashing: frozenset[str] = frozenset()
    """End by themselves as primary, `CRASH_S` after their start."""


CRASH_S = 0.2


def config_in(
    folder: Path, device_id: str, servers: tuple[str, ...], creds: str, limits: Limits
) -> Config:
    """A configuration whose few files are written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "device.creds").write_text(creds)
    (folder / "boot_id").write_text("boot-1")
    plane = PlaneConfig(servers, folder / "device.creds", reconnect_max_s=0.5)
    paths = PathsConfig(folder / "no-supervisor", boot_id=folder / "boot_id", state=folder)
    return Config(device_id, plane, paths, HeartbeatConfig(2.0, 0.5, 2.0), limits)


@dataclass
class LightExecutor(FakeExecutor):
    """Its candidates live: each is the agent's candidate, with a connection of its own."""

    config: Config | None = None
    programs: Programs = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    """By name: `stage`, `self_test` or `start_candidate`. It does not go on before it is set."""

    async def _held(self, name: str) -> None:
        if hold := self.holds.get(name):
            await hold.wait()

    async def self_test(self, version: str, limit_s: float) -> None:
        await self._held("self_test")
        await super().self_test(version, limit_s)

    async def stage(
        self, version: str, artifact: Artifact, progress: Callable[[int], None]
    ) -> None:
        await self._held("stage")
        self._called("stage", version)
        content = self.programs.get(artifact.sha256)
        if content is None:
            raise UpgradeFault(CauseKind.DIGEST_MISMATCH, f"nobody serves {artifact.sha256}")
        progress(len(content))
        self.files[version] = FakeFile(content)

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        await super().start_candidate(version, upgrade_id, ready_limit_s)
        if self.candidate is not None and self.config is not None and version not in self.silent:
            process = CandidateProcess(self.config, upgrade_id, version)
            self._beside = asyncio.create_task(self._live(process, self.candidate))

    async def _live(self, process: CandidateProcess, candidate: Candidate) -> None:
        """READY does not wait for the plane, nor for a hold: it is heard later."""

        async def run() -> None:
            await self._held("start_candidate")
            await process.run()

        running = asyncio.create_task(run())
        try:
            await candidate.ended.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class LightDevice:
    """Disk and journal outlive its processes; `power_on` it in the loop that it is to run in."""

    def __init__(
        self, config: Config, version: str, programs: Programs, faulty: Faulty | None = None
    ) -> None:
        self.config, self._faulty = config, faulty or Faulty()
        self.journal = FakeJournal()
        self.executor = LightExecutor(
            version,
            place=version,
            config=config,
            programs=programs,
            silent=self._faulty.silent,
        )
        self.started: list[str] = []
        """The version of each start of the primary."""
        self._boots = count(2)
        self._unit: asyncio.Task[None] | None = None

    @property
    def running(self) -> str:
        return self.started[-1]

    def power_on(self) -> None:
        self._unit = asyncio.create_task(self._keep())

    async def power_cut(self) -> None:
        """Every process is cancelled, which is softer than a kill; the next boot has another id."""
        unit, self._unit = self._unit, None
        if unit is not None:
            unit.cancel()
            await asyncio.gather(unit, return_exceptions=True)
        self.executor.end_candidate()
        self.config.paths.boot_id.write_text(f"boot-{next(self._boots)}")

    async def _keep(self) -> None:
        """As the permanent unit does: the guard, the primary, and again."""
        while True:
            self._guard()
            version = self.executor.link_version() or self.executor.running
            self.executor.restart(version)
            self.started.append(version)
            life = asyncio.create_task(self._live(version))
            try:
                await asyncio.wait([life])
            finally:
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
            await asyncio.sleep(RESTART_S)

    async def _live(self, version: str) -> int:
        primary = Primary(self.config, lambda: Device(self.executor, self.journal), version)
        limit_s = CRASH_S if version in self._faulty.crashing else None
        try:
            async with asyncio.timeout(limit_s):
                return await primary.run()
        finally:
            await primary.close()

    def _guard(self) -> None:
        previous = self.executor.previous_version()
        if previous is None:
            return
        clock = BootClock(self.config.paths.boot_id)
        allowed = self.config.upgrade.starts_allowed
        guard(GuardPorts(previous, self.executor, self.journal, clock, allowed), None)
