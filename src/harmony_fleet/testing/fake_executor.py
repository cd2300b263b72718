"""An executor without a process, a disk or a network, which keeps the promises of its port.

    executor = FakeExecutor("1.0.0")
    artifact = executor.publish("1.1.0", Behaviour.NEVER_READY)

Time passes in `sleep` alone: give it a simulated clock's. Nothing else ever waits, but for
`candidate_exit`. Faults of a disk or of a service manager are scripted in `faults`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.testing.executor_suite import LAST_WORDS, Behaviour
from harmony_fleet.testing.fake_versions import FakeFile, FakeVersions

STALL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Served:
    """What a URL leads to."""

    content: bytes
    stalls: bool = False


@dataclass(eq=False)
class Candidate:
    """A process. It ends once, and stays ended."""

    version: str
    upgrade_id: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def log(self) -> str:
        return f"{LAST_WORDS}\ncandidate of {self.version} in {self.upgrade_id}"


@dataclass
class FakeExecutor(FakeVersions):
    """The candidate survives its primary's process, as its unit does: `restart` leaves it be."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """By version; GOOD where nothing is said."""
    served: dict[str, Served] = field(default_factory=dict)
    """By URL."""
    candidate: Candidate | None = None
    """The last one that was started, alive or not."""
    stopping: bool = False
    """The whole machine is going down."""
    tests_running: list[str] = field(default_factory=list)
    """The versions whose self-test or guard runs now."""

    def publish(self, version: str, behaviour: Behaviour = Behaviour.GOOD) -> Artifact:
        """Serve a new program of that version, at a URL of its own."""
        self.behaviours[version] = behaviour
        url = f"http://fake.invalid/{version}/{len(self.served)}"
        content = f"program {version} of {url}".encode()
        artifact = Artifact(url, len(content), sha256(content).hexdigest())
        sent = content[::-1] if behaviour is Behaviour.WRONG_BYTES else content
        self.served[url] = Served(sent, stalls=behaviour is Behaviour.STALLS)
        return artifact

    def end_candidate(self) -> None:
        """As a crash would."""
        if self.candidate:
            self.candidate.ended.set()

    @property
    def candidate_running(self) -> str | None:
        """The version of the candidate that is alive."""
        alive = self.candidate is not None and not self.candidate.ended.is_set()
        return self.candidate.version if self.candidate and alive else None

    async def stage(
        self, version: str, artifact: Artifact, progress: Callable[[int], None]
    ) -> None:
        self._called("stage", version)
        there = self.files.get(version)
        if there and there.sha256 == artifact.sha256:
            return
        file = FakeFile(await self._fetched(artifact, progress))
        if file.sha256 != artifact.sha256:
            raise UpgradeFault(CauseKind.DIGEST_MISMATCH, f"{artifact.url} has {file.sha256}")
        self.files[version] = file

    async def running_sha256(self) -> str:
        self._called("running_sha256")
        return self.held_open.sha256

    async def self_test(self, version: str, limit_s: float) -> None:
        self._called("self_test", version)
        failures = {
            Behaviour.FAILS_SELF_TEST: CauseKind.SELF_TEST_FAILED,
            Behaviour.HANGS_IN_SELF_TEST: CauseKind.SELF_TEST_TIMEOUT,
        }
        await self._run(version, limit_s, failures)

    async def dry_run_guard(self, version: str, limit_s: float) -> None:
        self._called("dry_run_guard", version)
        broken = (Behaviour.GUARD_BROKEN, Behaviour.HANGS_IN_SELF_TEST)
        failures = dict.fromkeys(broken, CauseKind.ROLLBACK_TARGET_FAILED)
        await self._run(version, limit_s, failures)

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        self._called("start_candidate", version)
        self.end_candidate()
        self.candidate = candidate = Candidate(version, upgrade_id)
        behaviour = self._behaviour(version)
        if behaviour is Behaviour.NEVER_READY:
            await self.sleep(ready_limit_s)
        if behaviour in {Behaviour.NEVER_READY, Behaviour.EXITS_AT_ONCE}:
            candidate.ended.set()
            sentence = f"the candidate {version} was not ready in {ready_limit_s} s"
            raise UpgradeFault(CauseKind.CANDIDATE_START_FAILED, sentence, candidate.log)

    async def candidate_exit(self) -> str:
        """Not among the `calls`: it asks for nothing."""
        while self.candidate and self.candidate_running:
            await self.candidate.ended.wait()
        return await self.candidate_log()

    async def stop_candidate(self) -> None:
        self._called("stop_candidate")
        self.end_candidate()

    async def candidate_log(self) -> str:
        return self.candidate.log if self.candidate else ""

    async def system_stopping(self) -> bool:
        return self.stopping

    async def _fetched(self, artifact: Artifact, progress: Callable[[int], None]) -> bytes:
        served = self.served.get(artifact.url)
        if served is None:
            raise UpgradeFault(CauseKind.DOWNLOAD_FAILED, f"{artifact.url}: 404")
        progress(len(served.content) // 2)
        if served.stalls:
            await self.sleep(STALL_S)
            raise UpgradeFault(CauseKind.DOWNLOAD_FAILED, f"{artifact.url} fell silent")
        progress(len(served.content))
        return served.content

    async def _run(
        self, version: str, limit_s: float, failures: dict[Behaviour, CauseKind]
    ) -> None:
        behaviour = self._behaviour(version)
        self.tests_running.append(version)
        try:
            if behaviour is Behaviour.HANGS_IN_SELF_TEST:
                await self.sleep(limit_s)
        finally:
            self.tests_running.remove(version)
        if cause := failures.get(behaviour):
            raise UpgradeFault(cause, f"version {version} {behaviour}", LAST_WORDS)

    def _behaviour(self, version: str) -> Behaviour:
        self._there(version)
        return self.behaviours.get(version, Behaviour.GOOD)
