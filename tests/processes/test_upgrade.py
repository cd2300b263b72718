"""Whole upgrades of real agents under the local supervisor, ordered by a real operator."""

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from benchmarks.world import VERSIONS, World, add_release, world
from demo.releases import build_release, tamper
from tests.processes.asset_server import serve, serving

from harmony_fleet.contracts import subjects
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor
from harmony_fleet.embedded.start_local import QUICK
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.messaging import keyvalue
from harmony_fleet.operator.records import Order, Release
from harmony_fleet.release.manifest import describe

LIMIT_S = 90.0
TIMING = replace(
    QUICK,
    interval_s=0.5,
    quick_interval_s=0.25,
    probation_s=2.0,
    stop_limit_s=4.0,
    starts_allowed=3,
)
OLD, NEW = VERSIONS


@dataclass
class Scene:
    world: World
    root: Path

    @property
    def machine(self) -> MachineRoot:
        return MachineRoot(self.root)

    def order(self) -> Order:
        order = self.world.operator.sight("one").case.record.order
        assert order is not None
        return order

    async def upgrade(self, version: str, retry: bool = False) -> Order:
        """Order it, and wait for its end."""
        operator = self.world.operator
        (given,) = await operator.upgrade(["one"], version, retry=retry, replace=False)
        await until(lambda: self.order().upgrade_id == given.upgrade_id and not self.order().open)
        return self.order()

    async def release(self, version: str, overlay: str | None = None) -> Path:
        file = build_release(version, self.world.artifacts, overlay)
        await add_release(self.world.store, describe(file))
        return file

    def current(self) -> str | None:
        return self.world.operator.sight("one").case.record.current_version

    def link(self) -> str:
        return self.machine.link.resolve().name


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.02)


def play(scene: Callable[[Scene], Awaitable[None]], plain_file: bool = False) -> None:
    async def whole() -> None:
        async with world() as ready:
            root = ready.start_device("one", TIMING, plain_file)
            await ready.heard("one")
            await scene(Scene(ready, root))

    asyncio.run(whole())


def test_a_good_release_is_committed_proven_and_can_be_gone_back_from() -> None:
    async def scene(one: Scene) -> None:
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED
        assert one.link() == f"fleet-agent-v{NEW}"
        await until(lambda: one.current() == NEW)
        assert not one.machine.attempt_open.exists()
        (back,) = await one.world.operator.rollback(["one"])
        assert back.to_version == OLD
        await until(lambda: one.order().upgrade_id == back.upgrade_id and not one.order().open)
        assert one.order().phase is Phase.SUCCEEDED
        await until(lambda: one.current() == OLD)

    play(scene)


def test_an_agent_installed_as_a_plain_file_rolls_back_the_first_time() -> None:
    async def scene(one: Scene) -> None:
        before = one.machine.link.read_bytes()
        await one.release("2.0.0", "never_heartbeats")
        ended = await one.upgrade("2.0.0")
        assert (ended.phase, ended.cause and ended.cause.kind) == (
            Phase.ROLLED_BACK,
            CauseKind.CANDIDATE_SILENT,
        )
        assert one.machine.link.read_bytes() == before
        assert one.link() == f"fleet-agent-v{OLD}"
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED

    play(scene, plain_file=True)


def test_a_digest_that_failed_here_is_tried_again_only_with_retry() -> None:
    async def scene(one: Scene) -> None:
        await one.release("2.0.0", "needs_missing_module")
        failed = await one.upgrade("2.0.0")
        assert failed.cause is not None
        assert failed.cause.kind is CauseKind.SELF_TEST_FAILED
        assert "acme_sensor_sdk" in failed.cause.evidence
        again = await one.upgrade("2.0.0")
        assert again.cause is not None
        assert again.cause.kind is CauseKind.QUARANTINED
        retried = await one.upgrade("2.0.0", retry=True)
        assert retried.cause is not None
        assert retried.cause.kind is CauseKind.SELF_TEST_FAILED

    play(scene)


def test_bytes_that_do_not_match_never_get_the_final_name_and_never_quarantine() -> None:
    async def scene(one: Scene) -> None:
        file = await one.release("2.0.0")
        right = file.read_bytes()
        tamper(file)
        refused = await one.upgrade("2.0.0")
        assert refused.cause is not None
        assert (refused.phase, refused.cause.kind) == (Phase.FAILED, CauseKind.DIGEST_MISMATCH)
        assert not (one.machine.versions / "fleet-agent-v2.0.0").exists()
        file.write_bytes(right)
        assert (await one.upgrade("2.0.0")).phase is Phase.SUCCEEDED

    play(scene)


def test_a_file_on_another_server_is_verified_and_run_as_any_other() -> None:
    async def scene(one: Scene) -> None:
        with tempfile.TemporaryDirectory() as folder:
            content = build_release("2.0.0", Path(folder)).read_bytes()
        wrong = content[:-1] + bytes([content[-1] ^ 1])
        digest = hashlib.sha256(content).hexdigest()
        with serving(serve(wrong), serve(wrong), serve(content)) as server:
            release = Release("2.0.0", "", len(content), digest, "", "now", server.url())
            await one.world.store.add_release(release)
            refused = await one.upgrade("2.0.0")
            assert refused.cause is not None
            assert refused.cause.kind is CauseKind.DIGEST_MISMATCH
            assert (await one.upgrade("2.0.0")).phase is Phase.SUCCEEDED
            assert {request.path for request in server.requests} == {"/asset"}
        await until(lambda: one.current() == "2.0.0")

    play(scene)


def test_an_abort_in_the_wait_for_a_commit_reverts_and_the_old_one_goes_on() -> None:
    async def scene(one: Scene) -> None:
        await one.release("2.0.0", "never_heartbeats")
        await one.world.operator.upgrade(["one"], "2.0.0", retry=False, replace=False)
        await until(lambda: one.order().phase is Phase.CUTOVER_READY)
        await one.world.operator.abort(["one"])
        await until(lambda: not one.order().open)
        cause = one.order().cause
        assert cause is not None
        assert (one.order().phase, cause.kind) == (Phase.ROLLED_BACK, CauseKind.ABORTED)
        assert one.link() == f"fleet-agent-v{OLD}"

    play(scene)


def test_a_marker_that_cannot_be_obeyed_is_answered_and_garbage_is_survived() -> None:
    async def scene(one: Scene) -> None:
        plane, bucket = one.world.plane, subjects.MARKER_BUCKET
        await keyvalue.put(plane, bucket, "one", b"\xff{ garbage", 5)
        bad = b'{"device_id":"one","upgrade_id":"%s","generation":1,"version":"../x"}' % (b"a" * 32)
        await keyvalue.put(plane, bucket, "one", bad, 5)
        async with asyncio.timeout(LIMIT_S):
            while b"order_invalid" not in await status(one):
                await asyncio.sleep(0.05)
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED

    play(scene)


async def status(one: Scene) -> bytes:
    name = subjects.status_key("one")
    request = f"$JS.API.DIRECT.GET.{subjects.stream(subjects.STATUS_BUCKET)}.{name}"
    return (await one.world.plane.request(request, b"", 5)).payload


@pytest.mark.e2e
def test_a_damaged_journal_is_kept_aside_and_the_next_order_says_so() -> None:
    async def scene(one: Scene) -> None:
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED
        await asyncio.to_thread(restart_with_damage, one)
        lost = await one.upgrade(OLD)
        assert lost.cause is not None
        assert (lost.phase, lost.cause.kind) == (Phase.UNRESOLVED, CauseKind.JOURNAL_LOST)
        assert (one.machine.state / "journal.json.unreadable-1").exists()
        assert (await one.upgrade(OLD)).phase is Phase.SUCCEEDED

    play(scene)


def restart_with_damage(one: Scene) -> None:
    cut_power(one.root)
    (one.machine.state / "journal.json").write_bytes(b'{"journal_id": "x", "seq": ')
    spawn_supervisor(one.root)
