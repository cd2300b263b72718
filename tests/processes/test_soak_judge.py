"""The judge of the soak sees what is planted, or else it is worth nothing. One real device."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from demo.stage import end_all
from soak.calm import Judge, Look
from soak.device import Device, make, send
from soak.faults import Fault, Kind
from soak.hits import CONTROL_PLANE
from soak.ledger import Ledger
from soak.plan import Blow, How, Part, Strike
from soak.plane import ControlPlane
from soak.releases import FIRST, GOOD
from soak.settling import STEADY_S, settle
from soak.strikes import Striker
from soak.watching import Watcher, operators_plane, watch

from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor
from harmony_fleet.release.build import artifact_name

SOON_S = 40.0
NEW = GOOD[1]


@dataclass
class Scene:
    plane: ControlPlane
    device: Device
    judge: Judge
    watcher: Watcher

    async def look(self) -> list[Fault]:
        found = await asyncio.to_thread(self.judge.look)
        return [*found.faults, *self.watcher.faults]

    async def at_rest(self) -> None:
        await self.until(lambda faults: not faults)

    async def sees(self, kind: Kind, words: str) -> None:
        await self.until(lambda faults: any(f.kind is kind and words in f.text for f in faults))

    async def until(self, condition: Callable[[list[Fault]], bool]) -> None:
        ends_s = time.monotonic() + SOON_S
        while not condition(faults := await self.look()):
            assert time.monotonic() < ends_s, faults
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ControlPlane, Device]]:
    data = tmp_path_factory.mktemp("soak") / "data"
    data.mkdir()
    plane = ControlPlane(data)
    try:
        plane.start()
        files = plane.publish(data.parent / "built", (FIRST, NEW))
        root = data / "devices/soak-1"
        swept = root / "usr/bin/.fleet-agent-v9.9.9.new"
        swept.parent.mkdir(parents=True)
        swept.touch()
        device = make(plane, root, files[FIRST.version])
        ends_s = time.monotonic() + SOON_S
        while swept.exists() and time.monotonic() < ends_s:  # what is planted now would go as well
            time.sleep(0.05)
        yield plane, device
    finally:
        end_all(data)
        plane.reap()


def play(built: tuple[ControlPlane, Device], scene: Callable[[Scene], Awaitable[None]]) -> None:
    """At rest before it, and at rest again after it: what was planted must be gone."""
    plane, device = built

    async def played() -> None:
        devices, digests = {device.name: device}, plane.digests()
        watcher = Watcher(devices, digests)
        nats_url = json.loads((plane.data / "up.json").read_bytes())["nats_url"]
        seeing = operators_plane(plane.data, nats_url)
        await seeing.start()
        await seeing.wait_connected(SOON_S)
        tasks = await watch(watcher, seeing)
        one = Scene(plane, device, Judge(plane, devices, digests, Ledger()), watcher)
        try:
            await one.at_rest()
            await scene(one)
            watcher.faults.clear()
            await one.at_rest()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await seeing.close()
            for agent in list(device.seen.agents.values()):  # the next loop follows them anew
                device.seen.ended(agent)

    asyncio.run(played())


@contextmanager
def planted(file: Path, content: bytes = b"") -> Iterator[None]:
    assert not file.exists()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.unlink()


def test_files_that_were_left_over_are_seen(built: tuple[ControlPlane, Device]) -> None:
    async def scene(one: Scene) -> None:
        machine = one.device.machine
        left = (
            machine.state / "controls.json",
            machine.state / "of-an-attempt",
            machine.versions / ".fleet-agent-v1.1.0.0123456789abcdef.part",
            one.plane.data / "artifacts/.incoming-0",
        )
        for file in left:
            with planted(file):
                await one.sees(Kind.LEFT_OVER, file.name)

    play(built, scene)


def test_a_file_that_was_never_released_is_seen(built: tuple[ControlPlane, Device]) -> None:
    async def scene(one: Scene) -> None:
        with planted(one.device.machine.versions / "fleet-agent-v1.1.0", b"#!/bin/false\n"):
            await one.sees(Kind.LINK, "no released file")

    play(built, scene)


def test_a_process_that_was_left_over_is_seen(built: tuple[ControlPlane, Device]) -> None:
    async def scene(one: Scene) -> None:
        words = str(one.device.machine.root / "usr/bin/fleet-agent-v1.0.0")
        waits = [sys.executable, "-c", "input()", words]
        with subprocess.Popen(waits, stdin=subprocess.PIPE) as stray:
            await one.sees(Kind.LEFT_OVER, f"process {stray.pid}")
            stray.kill()

    play(built, scene)


@pytest.mark.e2e
def test_a_device_that_is_off_is_lost_and_what_it_does_not_end_is_stuck(
    built: tuple[ControlPlane, Device],
) -> None:
    async def scene(one: Scene) -> None:
        cut_power(one.device.machine.root)
        await one.sees(Kind.LOST, "0 primaries")
        assert one.plane.order("soak-1", NEW.version, retry=False, replace=False).upgrade_id
        await one.sees(Kind.STUCK, NEW.version)
        await one.sees(Kind.RECORD, "offline")
        one.device.seen.supervisor = spawn_supervisor(one.device.machine.root)
        await one.until(lambda faults: not any(fault.kind is Kind.STUCK for fault in faults))
        assert one.judge.ledger.should_run("soak-1") == NEW.version

    play(built, scene)


def test_a_link_to_another_version_than_the_one_that_succeeded_is_seen(
    built: tuple[ControlPlane, Device],
) -> None:
    async def scene(one: Scene) -> None:
        machine = one.device.machine
        right = machine.link.readlink()
        other = next(v for v in (FIRST.version, NEW.version) if not right.name.endswith(v))
        file = machine.versions / f"fleet-agent-v{other}"
        file.write_bytes((one.plane.data.parent / "built" / artifact_name(other)).read_bytes())
        file.chmod(0o755)
        swap(machine.link, right.with_name(file.name))
        await one.sees(Kind.LINK, f"the link leads to {other}")
        swap(machine.link, right)

    play(built, scene)


def test_a_blow_is_stamped_with_when_it_fell_and_when_what_was_hit_was_back() -> None:
    frozen = Blow(Part.OPERATOR, How.FROZEN, None, 0.2)
    waits = [sys.executable, "-c", "input()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as process:
        striker = Striker(cast(ControlPlane, process), {})  # of the plane its pid is all it asks

        async def struck() -> tuple[datetime, datetime]:
            before = datetime.now(UTC)
            await striker.strike(Strike((frozen,)))
            await striker.all_back()
            return before, datetime.now(UTC)

        before, after = asyncio.run(struck())
        process.kill()
    (hit,) = striker.hits
    assert hit.what == CONTROL_PLANE
    assert hit.ended is not None
    assert before <= hit.began < hit.ended <= after
    assert (hit.ended - hit.began).total_seconds() >= frozen.for_s


@dataclass
class Crashing:
    """The judge of a device whose primary ends after each look that found nothing at fault."""

    judge: Judge
    device: Device

    def look(self) -> Look:
        found, primary = self.judge.look(), self.device.seen.primary()
        if not found.faults and primary is not None:
            send(primary.pid, signal.SIGKILL)
        return found


@pytest.mark.e2e
def test_a_device_that_crash_loops_slowly_does_not_settle(
    built: tuple[ControlPlane, Device],
) -> None:
    async def scene(one: Scene) -> None:
        faults, _ = await settle(Crashing(one.judge, one.device), limit_s=STEADY_S)
        assert [fault for fault in faults if fault.kind is Kind.LOST]
        assert await settle(one.judge, SOON_S) == ([], [])

    play(built, scene)


def test_a_link_that_leads_round_in_a_circle_is_seen(built: tuple[ControlPlane, Device]) -> None:
    async def scene(one: Scene) -> None:
        link = one.device.machine.link
        right = link.readlink()
        swap(link, link)
        await one.sees(Kind.LINK, "its link leads nowhere")
        await one.sees(Kind.LINK, "the link leads to nowhere")
        swap(link, right)

    play(built, scene)


def swap(link: Path, target: Path) -> None:
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)
