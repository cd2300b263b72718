"""The local executor keeps the executor's contract, with real programs and a real supervisor."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.machines.executor_inside import Artifacts, artifacts
from tests.processes.local_world import SETTINGS, Device, Stand, device, running_file, until

from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.local import LocalExecutor
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, UpgradeExecutor, UpgradeFault
from harmony_fleet.agent.upgrade.staging import CANCEL_LIMIT_S
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.embedded.local_device import stop_supervisor
from harmony_fleet.testing import executor_suite
from harmony_fleet.testing.executor_suite import Behaviour, Case

RUNNING = "1.0.0"

PROGRAMS = {
    Behaviour.FAILS_SELF_TEST: Stand(self_test="sys.exit(1)"),
    Behaviour.HANGS_IN_SELF_TEST: Stand(
        self_test="ignore_term(); hang()", guard="ignore_term(); hang()"
    ),
    Behaviour.NEVER_READY: Stand(candidate="hang()"),
    Behaviour.EXITS_AT_ONCE: Stand(candidate="sys.exit(1)"),
    Behaviour.GUARD_BROKEN: Stand(guard="sys.exit(1)"),
}


class LocalWorld:
    """The suite's world: one device, whose permanent unit is stopped, as it is not about it."""

    short_s = 1.0

    def __init__(self, one: Device, server: Artifacts, descriptor: int | None) -> None:
        self.device, self._server = one, server
        machine = one.machine
        paths = Paths(machine.versions, machine.link, machine.previous, machine.state)
        self.layout = Layout(FLEET_AGENT, paths, own_descriptor=descriptor, own_version=RUNNING)
        self.executor: UpgradeExecutor = LocalExecutor(self.layout, one.socket)
        self.running_sha256 = hashlib.sha256(one.path_of(RUNNING).read_bytes()).hexdigest()

    async def publish(self, version: str, behaviour: Behaviour) -> Artifact:
        program = PROGRAMS.get(behaviour, Stand())
        content = program.build(salt=f"{version} {len(self._server.files)}")
        sha256 = hashlib.sha256(content).hexdigest()
        if behaviour is Behaviour.WRONG_BYTES:
            content = content[:-1] + bytes([content[-1] ^ 1])
        url = self._server.publish(content, behaviour is Behaviour.STALLS)
        return Artifact(url, len(content), sha256)

    def at_final_path(self, version: str) -> bytes | None:
        path = self.device.path_of(version)
        return path.read_bytes() if path.exists() else None

    def processes(self, version: str) -> int:
        return len(running_file(self.device.path_of(version)))

    async def kill_candidate(self) -> None:
        events = self.device.events("fleet-agent-candidate")
        started = next(event for event in reversed(events) if "started" in event)
        os.kill(int(started.split("pid=")[1].split()[0]), 9)


@asynccontextmanager
async def world(root: Path) -> AsyncIterator[LocalWorld]:
    with device(root) as one, artifacts() as server:
        one.prepare(replace(SETTINGS, stop_limit_s=1.0), primary="sys.exit(1)")
        with one.path_of(RUNNING).open("rb") as file:
            one.boot()
            yield LocalWorld(one, server, file.fileno())


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)


@pytest.mark.parametrize("case", executor_suite.CASES, ids=executor_suite.name)
def test_the_local_executor(case: Case, tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path / "device") as made:
            await case(made)

    asyncio.run(run())


def test_the_running_binary_is_hashed_by_its_descriptor_whatever_lies_at_its_path(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        with device(tmp_path / "device") as one, artifacts() as server:
            one.prepare()
            with one.path_of(RUNNING).open("rb") as file:
                made = LocalWorld(one, server, file.fileno())
                one.path_of(RUNNING).unlink()
                assert await made.executor.running_sha256() == made.running_sha256

    asyncio.run(run())


def test_without_a_descriptor_the_running_binary_is_hashed_at_its_path(tmp_path: Path) -> None:
    async def run() -> None:
        with device(tmp_path / "device") as one, artifacts() as server:
            one.prepare()
            made = LocalWorld(one, server, None)
            assert await made.executor.running_sha256() == made.running_sha256
            one.path_of(RUNNING).unlink()
            with pytest.raises(UpgradeFault) as raised:
                await made.executor.running_sha256()
            assert raised.value.cause is CauseKind.DEVICE_FAULT

    asyncio.run(run())


def test_a_supervisor_that_does_not_answer_is_the_devices_fault_not_the_releases(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        with device(tmp_path / "device") as one, artifacts() as server:
            one.prepare()
            executor = LocalWorld(one, server, None).executor
            for step in (
                executor.self_test("2.0.0", 1.0),
                executor.dry_run_guard("2.0.0", 1.0),
                executor.start_candidate("2.0.0", "ab" * 16, 1.0),
                executor.stop_candidate(),
            ):
                with pytest.raises(UpgradeFault) as raised:
                    await step
                assert raised.value.cause is CauseKind.DEVICE_FAULT

    asyncio.run(run())


def test_a_machine_that_goes_down_is_said_to_be_stopping(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path / "device") as made:
            artifact = await made.publish("2.0.0", Behaviour.GOOD)
            await made.executor.stage("2.0.0", artifact, lambda _: None)
            await made.executor.start_candidate("2.0.0", "ab" * 16, 10.0)
            gone = asyncio.ensure_future(made.executor.candidate_exit())
            assert await made.executor.system_stopping() is False
            await asyncio.to_thread(stop_supervisor, made.device.root)
            assert await made.executor.system_stopping() is True
            gone.cancel()
            await asyncio.wait({gone})

    asyncio.run(run())


def test_a_cancelled_download_ends_soon_and_what_arrived_is_kept(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path / "device") as made:
            artifact = await made.publish("2.0.0", Behaviour.STALLS)
            told: list[int] = []
            staging = asyncio.ensure_future(made.executor.stage("2.0.0", artifact, told.append))
            await asyncio.to_thread(until, lambda: bool(told))
            staging.cancel()
            done, _ = await asyncio.wait({staging}, timeout=CANCEL_LIMIT_S / 2)
            assert done
            (left,) = made.device.machine.versions.glob("*.part")
            assert left.stat().st_size == artifact.size_bytes // 2

    asyncio.run(run())


def test_an_authority_that_cannot_be_read_is_the_devices_fault(tmp_path: Path) -> None:
    async def run() -> None:
        with device(tmp_path / "device") as one, artifacts() as server:
            one.prepare()
            layout = LocalWorld(one, server, None).layout
            executor = LocalExecutor(layout, one.socket, ca=tmp_path / "none")
            file = Artifact("https://127.0.0.1:1/agent", 1, "a" * 64)
            with pytest.raises(UpgradeFault, match=str(tmp_path / "none")) as fault:
                await executor.stage("2.0.0", file, lambda _: None)
            assert fault.value.cause is CauseKind.DEVICE_FAULT

    asyncio.run(run())
