"""The agent's own file as a real process, at a real NATS server, without a supervisor."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from benchmarks.world import VERSIONS, World, world

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Outcome, Verb
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.embedded.start_local import QUICK
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.requests import Message, MessagingError, NoResponders
from harmony_fleet.operator.commands import FleetCommandsClient

UPGRADE_ID = "ab" * 16
LIMIT_S = 30.0


@dataclass
class Device:
    world: World
    machine: MachineRoot

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-IS", str(self.machine.link), *words]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "FLEET_AGENT_CONFIG": str(self.machine.config)}

    async def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            self.command(*words),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    @asynccontextmanager
    async def running(
        self, *words: str, **environment: str
    ) -> AsyncIterator["subprocess.Popen[bytes]"]:
        process = subprocess.Popen(
            self.command(*words), env=self.environment | environment, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def heartbeat(self, role: Role) -> Heartbeat:
        """Its next one under this role."""
        name = subjects.heartbeat_name("one", role)
        for _ in range(int(LIMIT_S / 0.05)):
            entry = await keyvalue.get(self.world.plane, subjects.HEARTBEAT_BUCKET, name, 5)
            if entry is not None:
                return codec.decode(Heartbeat, entry.value)
            await asyncio.sleep(0.05)
        raise AssertionError(f"no heartbeat of a {role}")

    async def commanded(self) -> FleetCommandsClient:
        """A client that its primary answers in full: it heartbeats and pings sooner than that."""
        client = FleetCommandsClient(self.world.plane, limit_s=1.0)
        await client.start()
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await client.upgrade_stop("one", "0" * 32)
                except MessagingError:
                    await asyncio.sleep(0.05)
                else:
                    return client

    def files(self) -> dict[str, tuple[int, int]]:
        """Everything below the root, with size and time of change."""
        root = self.machine.root
        return {
            str(path.relative_to(root)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in root.rglob("*")
        }


@asynccontextmanager
async def device() -> AsyncIterator[Device]:
    async with world() as ready:
        machine = MachineRoot(ready.prepare_device("one", QUICK))
        (machine.run / "boot_id").write_text("boot-1")
        yield Device(ready, machine)


def test_a_self_test_passes_changes_nothing_and_sends_no_heartbeat() -> None:
    async def check() -> None:
        async with device() as one:
            before = one.files()
            text, as_json = await one.run("--self-test"), await one.run("--self-test", "--json")
            assert text.returncode == 0, text.stdout + text.stderr
            assert "self-test of version 1.0.0 passed" in text.stdout
            report = json.loads(as_json.stdout)
            assert (report["passed"], report["contact"]) == (True, True)
            assert {check["name"] for check in report["checks"]} >= {"imports", "message plane"}
            assert one.files() == before
            name = subjects.heartbeat_name("one", Role.PRIMARY)
            assert await keyvalue.get(one.world.plane, subjects.HEARTBEAT_BUCKET, name, 5) is None

    asyncio.run(check())


def test_beside_the_agent_that_runs_no_other_one_can_be_started_by_hand() -> None:
    """It would be a second one that decides between commit and revert."""

    async def check() -> None:
        async with device() as one, notified(one) as agent:
            (one.machine.state / "journal.json").write_text("a guard would move this aside")
            before = one.files()
            by_hand, guard = await one.run(), await one.run("guard")
            assert (by_hand.returncode, guard.returncode) == (1, 0)
            assert "runs already" in by_hand.stderr
            assert "Traceback" not in by_hand.stderr
            assert one.files() == before
            assert agent.poll() is None

    asyncio.run(check())


def test_an_agent_that_the_service_manager_starts_is_never_held_up() -> None:
    """Whatever holds its place: a process that no signal ends, as one that waits for its disk."""

    async def check() -> None:
        async with device() as one, notified(one), notified(one) as second:
            assert second.poll() is None

    asyncio.run(check())


@asynccontextmanager
async def notified(one: Device) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """Started as a service manager does, until it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")
        listening.settimeout(LIMIT_S)
        address = "@" + listening.getsockname()[1:].decode()
        async with one.running(NOTIFY_SOCKET=address) as agent:
            while b"READY=1" not in await asyncio.to_thread(listening.recv, 4096):
                pass
            yield agent


def test_a_self_test_says_what_would_not_work() -> None:
    async def check() -> None:
        async with device() as one:
            machine = one.machine
            limit = "upgrade.self_test_limit_s=1.5"
            away = await one.run(
                "--self-test", "--set", "plane.servers=nats://127.0.0.1:1", "--set", limit
            )
            assert away.returncode == 1
            assert "FAILED message plane: no contact with nats://127.0.0.1:1" in away.stdout
            machine.credentials.write_text("nothing")
            assert str(machine.credentials) in (await one.run("--self-test")).stdout
            machine.previous.parent.rmdir()
            gone = await one.run("--self-test")
            assert f"{machine.previous.parent} is not there" in gone.stdout
            assert "Traceback" not in away.stderr + gone.stderr

    asyncio.run(check())


def test_a_self_test_fails_when_the_plane_does_not_take_its_credentials() -> None:
    async def check() -> None:
        async with device() as one, world() as other:
            wrong = f"plane.servers={other.nats.url}"
            limit = "upgrade.self_test_limit_s=2"
            ran = await one.run("--self-test", "--json", "--set", wrong, "--set", limit)
            assert ran.returncode == 1
            assert json.loads(ran.stdout)["contact"] is False

    asyncio.run(check())


def test_the_version_the_configuration_and_mistakes_need_no_message_plane() -> None:
    async def check() -> None:
        async with device() as one:
            assert (await one.run("--version")).stdout == "1.0.0\n"
            assert "device one" in (await one.run("check-config")).stdout
            one.machine.config.write_text(one.machine.config.read_text() + "\n[upgrad]\n")
            mistyped = await one.run("check-config")
            assert mistyped.returncode == 2
            assert "unknown key upgrad" in mistyped.stderr
            assert (await one.run("frobnicate")).returncode == 2

    asyncio.run(check())


def test_a_candidate_heartbeats_with_its_upgrade_and_answers_nothing() -> None:
    async def check() -> None:
        async with device() as one, one.running("candidate", "--upgrade-id", UPGRADE_ID) as agent:
            beat = await one.heartbeat(Role.CANDIDATE)
            assert (beat.agent_version, beat.upgrade_id) == (VERSIONS[0], UPGRADE_ID)
            assert (beat.boot_id, beat.interval_ms) == ("boot-1", 1000)
            answers: list[str] = []

            async def heard(message: Message) -> None:
                answers.append(str(message))

            plane = one.world.plane
            reply = f"{subjects.answer_prefix('one')}test.1"
            await plane.subscribe(reply, heard)
            for verb in (Verb.PING, Verb.UPGRADE_STOP):
                command = Command("one", verb, UPGRADE_ID)
                await plane.publish(subjects.command("one"), codec.encode(command), reply=reply)
            first = beat.beat
            while (await one.heartbeat(Role.CANDIDATE)).beat < first + 2:
                await asyncio.sleep(0.05)
            assert answers == []
            agent.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(agent.wait, LIMIT_S) == 0

    asyncio.run(check())


def test_a_primary_answers_and_a_stop_for_an_upgrade_that_it_does_not_know_is_refused() -> None:
    async def check() -> None:
        async with device() as one, one.running() as agent:
            client = await one.commanded()
            assert (await client.ping("one")).outcome is Outcome.OK
            info = (await client.info("one")).info
            assert info is not None
            assert (info.agent_version, info.boot_id) == (VERSIONS[0], "boot-1")
            refused = await client.upgrade_stop("one", UPGRADE_ID)
            assert refused.outcome is Outcome.REFUSED
            assert UPGRADE_ID in refused.reason
            with pytest.raises(NoResponders):
                await client.ping("nobody")
            agent.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(agent.wait, LIMIT_S) == 0

    asyncio.run(check())


def test_a_command_that_wants_its_answer_elsewhere_is_dropped() -> None:
    async def check() -> None:
        async with device() as one, one.running():
            await one.commanded()
            plane, got = one.world.plane, asyncio.Queue[bytes]()

            async def heard(message: Message) -> None:
                got.put_nowait(message.payload)

            await plane.subscribe("elsewhere", heard)
            await plane.subscribe(f"{subjects.answer_prefix('one')}test.>", heard)
            ping = codec.encode(Command("one", Verb.PING))
            for reply in ("elsewhere", f"{subjects.answer_prefix('two')}test.1"):
                await plane.publish(subjects.command("one"), ping, reply=reply)
            strange = codec.encode(Command("two", Verb.PING))
            mine = f"{subjects.answer_prefix('one')}test"
            await plane.publish(subjects.command("one"), strange, reply=f"{mine}.2")
            await plane.publish(subjects.command("one"), b"\xff garbage", reply=f"{mine}.3")
            await plane.publish(subjects.command("one"), ping, reply=f"{mine}.4")
            first = codec.decode(Answer, await asyncio.wait_for(got.get(), LIMIT_S))
            second = codec.decode(Answer, await asyncio.wait_for(got.get(), LIMIT_S))
            assert (first.outcome, second.outcome) == (Outcome.REFUSED, Outcome.OK)
            assert got.empty()

    asyncio.run(check())


def test_a_primary_whose_disk_refuses_its_journal_is_ready_and_heard() -> None:
    async def check() -> None:
        async with device() as one:
            unsyncable = f"paths.link={one.machine.root}/missing/fleet-agent"
            address = one.machine.run / "notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(str(address))
                manager.settimeout(LIMIT_S)
                async with one.running("--set", unsyncable, NOTIFY_SOCKET=str(address)):
                    assert await asyncio.to_thread(manager.recv, 100) == b"READY=1"
                    assert (await one.heartbeat(Role.PRIMARY)).upgrade_id is None

    asyncio.run(check())
