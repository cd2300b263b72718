"""The agent's real start on what a power cut left: guard, then primary, as often as it takes.

The guard, the machine with its driver, the layout and the journal are the shipped ones, on real
files. What would be a process of its own is not started: a restart of the unit is the next turn.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.crash.disk import File, Link, Snapshot
from tests.crash.recorder import FOLDERS

from harmony_fleet.agent.upgrade.drive import Driver
from harmony_fleet.agent.upgrade.events import PrimaryStarted
from harmony_fleet.agent.upgrade.guard import GuardPorts
from harmony_fleet.agent.upgrade.guard_command import Files, run_guard
from harmony_fleet.agent.upgrade.inbox import Inbox
from harmony_fleet.agent.upgrade.journal import FileJournal
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.perform import Limits, Performer, Ports
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, UpgradeFault
from harmony_fleet.agent.upgrade.staging import ProgramOnDisk
from harmony_fleet.agent.upgrade.states import EXIT_RESTART, Idle, Probation, State, Trial
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.testing.fake_clock import FakeClock, run
from harmony_fleet.testing.fake_plane import FakePlane, FakeService

MOST_STARTS = 4
"""Of the primary, until it stays: a revert or a commit without its link takes two."""
LIMITS = Limits(
    self_test_s=60.0,
    ready_s=30.0,
    stop_s=120.0,
    overall_s=1800.0,
    probation_s=600.0,
    retry_s=5.0,
    hear_s=1.0,
)
AT_REST = (Idle, Probation, Trial)


class NeverStayed(AssertionError):
    """The unit was restarted again and again."""


@dataclass(frozen=True, slots=True)
class Started:
    running: str
    """The version of the primary that stayed."""
    state: Idle | Probation | Trial
    starts: int


class Alone(ProgramOnDisk):
    """No download server and no other process: what was staged may be used, nothing is fetched."""

    async def stage(
        self, version: str, artifact: Artifact, progress: Callable[[int], None]
    ) -> None:
        raise UpgradeFault(CauseKind.DOWNLOAD_FAILED, f"nobody serves {artifact.url}")

    async def self_test(self, version: str, limit_s: float) -> None:
        return

    async def dry_run_guard(self, version: str, limit_s: float) -> None:
        return

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        raise AssertionError("a start starts no candidate")

    async def candidate_exit(self) -> str:
        raise AssertionError("a start starts no candidate")

    async def stop_candidate(self) -> None:
        return

    async def candidate_log(self) -> str:
        return ""

    async def system_stopping(self) -> bool:
        return False


@dataclass
class Device:
    """The folders below `root`; `versions` names each program by its bytes."""

    root: Path
    versions: dict[bytes, str]
    kept: int

    @property
    def paths(self) -> Paths:
        machine = MachineRoot(self.root)
        return Paths(machine.versions, machine.link, machine.previous, machine.state)

    @property
    def journal(self) -> FileJournal:
        return FileJournal(self.paths.state, lambda: "journal-made-anew")

    def lay(self, snapshot: Snapshot) -> None:
        """Make the folders hold this and nothing else."""
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
            for path in (self.root / folder).iterdir():
                if not path.is_dir():
                    path.unlink()
        for name, entry in snapshot.items():
            path = self.root / name
            match entry:
                case Link(target):
                    path.symlink_to(target)
                case File(content, mode):
                    path.write_bytes(content)
                    path.chmod(mode)

    def running(self) -> str:
        """The version that the permanent unit would start. AssertionError: none that is whole."""
        program = self.paths.link
        assert program.exists(), "the link leads nowhere"
        assert program.stat().st_mode & 0o100, "the link leads to a file that cannot be run"
        version = self.versions.get(program.read_bytes())
        assert version is not None, "the link leads to a file that was never verified"
        return version

    def start(self) -> Started:
        """Raises NeverStayed."""
        for number in range(1, MOST_STARTS + 1):
            self._guard()
            running = self.running()
            state = run(self._primary(running))
            if isinstance(state, AT_REST):
                return Started(running, state, number)
        raise NeverStayed(f"{MOST_STARTS} starts, and none of them stayed")

    def _guard(self) -> None:
        layout = Layout(FLEET_AGENT, self.paths)
        previous = self.paths.previous
        if not previous.exists():
            return  # `-` before the unit's guard: a missing one does not block
        version = self.versions.get(previous.read_bytes())
        assert version is not None, "the guard is a file that was never verified"
        ports = GuardPorts(version, layout, self.journal, FakeClock("boot-2", 9.0), 5)
        assert run_guard(ports, Files(self.paths.state)) == 0

    async def _primary(self, running: str) -> State:
        """Until it exits or is at rest."""
        with self.paths.link.open("rb") as own:
            layout = Layout(FLEET_AGENT, self.paths, own.fileno(), running, self.kept)
            executor, plane, clock = Alone(layout), FakePlane(), FakeClock("boot-2", 10.0)
            resting, inbox = asyncio.Event(), Inbox()
            plane.serve(inbox.post)
            ports = Ports(executor, plane, plane, plane, plane, FakeService(), clock)
            driver = Driver(self.journal, Performer(ports, LIMITS, inbox), LIMITS.retry_s)
            driver.watch = lambda state: resting.set() if isinstance(state, AT_REST) else None
            found = self.journal.read()
            executor.make_durable()
            first = PrimaryStarted(
                running, found, executor.link_version(), executor.previous_version()
            )
            exited = asyncio.create_task(driver.run(first))
            rested = asyncio.create_task(resting.wait())
            await asyncio.wait([exited, rested], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.01)  # what it wants done at once is done
            if exited.done():
                assert exited.result() == EXIT_RESTART
            for task in (exited, rested):
                task.cancel()
            await asyncio.gather(exited, rested, return_exceptions=True)
            driver.perform.close()
            return driver.state
