"""Preflights of real agents under the local supervisor, asked for by a real operator."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.world import VERSIONS, world
from demo.releases import build_release, tamper
from tests.processes.test_upgrade import LIMIT_S, TIMING, Scene, until

from harmony_fleet.agent.upgrade.local import ask
from harmony_fleet.agent.upgrade.local_messages import SOCKET, AskState, Machine, RestartUnit
from harmony_fleet.contracts.preflight import CheckName, CheckState
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.embedded.local_device import stop_supervisor
from harmony_fleet.operator.preflight_rules import PreflightResult

OLD, NEW = VERSIONS
AWAY = "http://127.0.0.1:1/a"
OK, WARNING, FAILED = CheckState.OK, CheckState.WARNING, CheckState.FAILED
Found = dict[CheckName, tuple[CheckState, str]]


def play(scene: Callable[[Scene], Awaitable[None]], plain_file: bool = False) -> None:
    """With one device, whose agent answers commands."""

    async def whole() -> None:
        async with world() as ready:
            root = ready.start_device("one", TIMING, plain_file)
            one = Scene(ready, root)
            await ready.heard("one")
            await answering(one)
            await scene(one)

    asyncio.run(whole())


async def answering(one: Scene) -> None:
    """Its agent has read its journal, and looks when it is asked to."""
    async with asyncio.timeout(LIMIT_S):
        while CheckName.CLOCK not in await found(one):
            await asyncio.sleep(0.05)


async def preflight(one: Scene, version: str = NEW) -> PreflightResult:
    (result,) = await one.world.operator.preflight(["one"], version)
    return result


async def found(one: Scene, version: str = NEW) -> Found:
    return {c.name: (c.state, c.detail) for c in (await preflight(one, version)).checks}


async def not_ok(one: Scene, version: str = NEW) -> Found:
    return {
        name: one_found
        for name, one_found in (await found(one, version)).items()
        if one_found[0] is not OK
    }


async def restarted(one: Scene) -> None:
    """Its unit, by hand; and it answers again."""
    socket = one.machine.run / SOCKET
    starts = (await ask(socket, AskState(), Machine, LIMIT_S)).unit_starts
    await ask(socket, RestartUnit(), Machine, LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        while (await ask(socket, AskState(), Machine, LIMIT_S)).unit_starts == starts:
            await asyncio.sleep(0.05)
    await answering(one)


def on_disk(root: Path) -> Iterator[tuple[object, ...]]:
    """All of the device but what its processes write as they live: sockets and logs."""
    for path in sorted(root.rglob("*")):
        there = path.lstat()
        if path.is_socket() or path.suffix == ".log" or "/run" in str(path.relative_to(root)):
            continue
        yield path, there.st_mode, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns


def damage(one: Scene, version: str) -> None:
    """Another program in its place, as executable and as long."""
    file = one.machine.versions / f"fleet-agent-v{version}"
    tamper(file)
    file.chmod(0o755)


async def release_at(one: Scene, version: str, url: str, size_bytes: int | None = None) -> None:
    """The new version's very bytes, under another version's name and at another address."""
    release = await one.world.store.release(NEW)
    assert release is not None
    size_bytes = size_bytes or release.size_bytes
    other = replace(release, version=version, url=url, size_bytes=size_bytes)
    await one.world.store.add_release(other)


def test_a_sound_device_finds_nothing_in_the_way_is_not_changed_and_upgrades() -> None:
    async def scene(one: Scene) -> None:
        before, known = list(on_disk(one.root)), one.world.operator.sight("one").case.record
        checks = await found(one)
        assert {state for state, _ in checks.values()} == {OK}
        assert set(CheckName) - set(checks) == {CheckName.ANSWER, CheckName.UNKNOWN}
        assert (await preflight(one)).verdict is OK
        assert list(on_disk(one.root)) == before
        assert one.world.operator.sight("one").case.record == known
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED
        await until(lambda: one.current() == NEW)
        checks = await found(one, OLD)
        assert {state for state, _ in checks.values()} == {OK}
        assert checks[CheckName.PREVIOUS][1] == f"leads to version {OLD}"
        again = await found(one, NEW)
        assert "runs there already" in again[CheckName.ORDER][1]

    play(scene)


def test_an_agent_installed_as_a_plain_file_is_found_sound_too() -> None:
    async def scene(one: Scene) -> None:
        checks = await found(one)
        assert {state for state, _ in checks.values()} == {OK}
        assert "is a plain file" in checks[CheckName.LINK][1]

    play(scene, plain_file=True)


def test_an_artifact_that_could_not_be_had_is_told_before_it_is_ordered() -> None:
    async def scene(one: Scene) -> None:
        await its_server_is_away(one)
        await it_has_another_size(one)
        await it_is_too_big_for_the_disk(one)
        await it_is_here_already(one)

    play(scene)


async def its_server_is_away(one: Scene) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        await release_at(one, "2.0.0", url)
        ((name, (state, words)),) = (await not_ok(one, "2.0.0")).items()
    assert (name, state) == (CheckName.ARTIFACT_SERVER, FAILED)
    assert url in words
    assert (await preflight(one, "2.0.0")).verdict is FAILED


async def it_has_another_size(one: Scene) -> None:
    release = await one.world.store.release(NEW)
    assert release is not None
    size_bytes, base = release.size_bytes + 1, one.world.operator._orders._artifact_base_url
    await release_at(one, "2.1.0", f"{base}/{release.artifact_name}", size_bytes)
    ((name, (state, words)),) = (await not_ok(one, "2.1.0")).items()
    assert (name, state) == (CheckName.ARTIFACT_SERVER, FAILED)
    assert f"{size_bytes} were announced" in words


async def it_is_too_big_for_the_disk(one: Scene) -> None:
    await release_at(one, "2.2.0", AWAY, size_bytes=2**50)
    state, words = (await found(one, "2.2.0"))[CheckName.DISK_SPACE]
    assert state is FAILED
    assert str(one.machine.versions) in words


async def it_is_here_already(one: Scene) -> None:
    await release_at(one, "2.3.0", AWAY)
    file = one.machine.versions / "fleet-agent-v2.3.0"
    file.write_bytes((one.world.artifacts / f"fleet-agent-{NEW}").read_bytes())
    ((name, (state, words)),) = (await not_ok(one, "2.3.0")).items()
    assert (name, state) == (CheckName.ARTIFACT_SERVER, WARNING)
    assert "is here already" in words
    assert (await preflight(one, "2.3.0")).verdict is WARNING


@pytest.mark.e2e
def test_a_damaged_file_to_go_back_to_is_mended_by_an_upgrade_as_long_as_it_runs() -> None:
    async def scene(one: Scene) -> None:
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED
        await until(lambda: one.current() == NEW)
        damage(one, NEW)
        damaged = list(on_disk(one.root))
        ((name, (state, words)),) = (await not_ok(one, OLD)).items()
        assert (name, state) == (CheckName.ROLLBACK_TARGET, WARNING)
        assert "writes it anew" in words
        assert list(on_disk(one.root)) == damaged
        assert (await one.upgrade(OLD)).phase is Phase.SUCCEEDED

    play(scene)


@pytest.mark.e2e
def test_a_damaged_file_that_runs_itself_cannot_be_mended() -> None:
    async def scene(one: Scene) -> None:
        assert (await one.upgrade(NEW)).phase is Phase.SUCCEEDED
        await until(lambda: one.current() == NEW)
        damage(one, NEW)
        await restarted(one)
        ((name, (state, words)),) = (await not_ok(one, OLD)).items()
        assert (name, state) == (CheckName.ROLLBACK_TARGET, FAILED)
        assert "put that version's file there again" in words
        assert (await one.upgrade(OLD)).phase is Phase.FAILED

    play(scene)


@pytest.mark.e2e
def test_an_artifact_that_failed_here_before_is_told_to_need_retry() -> None:
    async def scene(one: Scene) -> None:
        await one.release("3.0.0", "needs_missing_module")
        assert (await one.upgrade("3.0.0")).phase is Phase.FAILED
        ((name, (state, words)),) = (await not_ok(one, "3.0.0")).items()
        assert (name, state) == (CheckName.QUARANTINE, FAILED)
        assert "--retry" in words

    play(scene)


def test_a_module_that_the_agent_lacks_is_named() -> None:
    async def scene(one: Scene) -> None:
        build_release("3.0.0", one.world.folder, "needs_missing_module")
        broken = one.world.folder / "fleet-agent-3.0.0"
        file = one.machine.versions / f"fleet-agent-v{OLD}"
        new = file.with_name("new")
        new.write_bytes(broken.read_bytes())
        new.chmod(0o755)
        new.replace(file)
        await restarted(one)
        state, words = (await found(one))[CheckName.MODULES]
        assert state is FAILED
        assert "acme_sensor_sdk" in words

    play(scene)


def test_a_supervisor_that_does_not_answer_is_told_and_a_device_that_is_off_is_unknown() -> None:
    async def scene(one: Scene) -> None:
        (one.machine.run / SOCKET).rename(one.machine.run / "elsewhere")
        checks = await not_ok(one)
        assert checks.keys() == {CheckName.SERVICE_MANAGER, CheckName.UNIT}
        assert checks[CheckName.SERVICE_MANAGER][0] is FAILED
        assert checks[CheckName.UNIT][0] is CheckState.UNKNOWN
        await asyncio.to_thread(stop_supervisor, one.root)
        async with asyncio.timeout(5):
            result = await preflight(one)
        assert result.verdict is CheckState.UNKNOWN
        (silent,) = [c for c in result.checks if c.name is CheckName.ANSWER]
        assert silent.detail.startswith("no answer: ")

    play(scene)
