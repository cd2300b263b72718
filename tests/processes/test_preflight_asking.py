"""An operator that asks devices for a preflight, whatever they answer or do not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.fake_device import FakeDevice, Reply, fake_devices
from tests.processes.nats_fixture import running_nats, until
from tests.processes.operator_world import BASE_URL, PATIENT, QuickClock, World, operating

from harmony_fleet.agent.command_server import CommandServer
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Outcome, Verb
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.preflight import (
    Check,
    CheckName,
    CheckState,
    PreflightAnswer,
    PreflightCommand,
)
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.labels import Changes, Label, selector
from harmony_fleet.messaging.requests import Message
from harmony_fleet.operator.preflight import AT_ONCE
from harmony_fleet.operator.results import NothingSelected, UnknownDevice, UnknownRelease
from harmony_fleet.testing.fake_store import FakeStore

SOUND = Check(CheckName.DISK_SPACE, CheckState.OK, "there is room")
UNKNOWN = CheckState.UNKNOWN


def answering(device_id: str, *checks: Check) -> Callable[[Command], Reply]:
    answer = PreflightAnswer(device_id, Outcome.OK, version="2.0.0", checks=checks)
    return lambda _: codec.encode(answer)


def in_world(
    folder: Path,
    use: Callable[[World, list[FakeDevice]], Awaitable[None]],
    *names: str,
    limit_s: float = 0.5,
) -> None:
    """`limit_s`: for one device's answer."""
    settings = replace(PATIENT, preflight_limit_s=limit_s)

    async def run() -> None:
        async with (
            running_nats(folder) as nats,
            operating(nats, FakeStore(QuickClock()), settings) as world,
            fake_devices(nats, names or ["pi-1"]) as devices,
        ):
            for device in devices:
                device.answer = answering(device.device_id, SOUND)
                await device.beat()
                await world.known(device.device_id)
            await use(world, devices)

    asyncio.run(run())


def test_a_device_is_told_what_the_order_would_say_and_nothing_is_ordered(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        (device,) = devices
        asked: list[PreflightCommand] = []

        async def note(message: Message) -> None:
            asked.append(codec.decode(PreflightCommand, message.payload))

        async with world.nats.operator() as plane:
            await plane.subscribe("device-cmd.*", note)
            await plane.flush(1)
            (result,) = await world.operator.preflight(["pi-1"], "2.0.0")
            await until(lambda: bool(asked))
        assert result.verdict is CheckState.OK
        assert [c.name for c in result.checks] == [CheckName.ORDER, CheckName.DISK_SPACE]
        (command,) = asked
        assert (command.verb, command.version, command.python) == (
            Verb.PREFLIGHT,
            "2.0.0",
            ">=3.11",
        )
        assert command.artifact.url == f"{BASE_URL}/agent-2.0.0"
        assert command.asked_at == world.clock.now()
        assert world.case().record.order is None
        assert await device.marker() is None

    in_world(tmp_path, use)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(None, "did not answer Preflight in 0.5 s", id="silence"),
        pytest.param(b"", "no answer", id="nothing"),
        pytest.param(b"\xff", "not a PreflightAnswer", id="no text"),
        pytest.param(b'{"device_id":"pi-1"}', "required field `outcome`", id="half of it"),
        pytest.param(b" " * 20_000, "is the most", id="too long"),
        pytest.param(
            b'{"device_id":"pi-1","outcome":"ok","version":"2.0.0","checks":['
            + b",".join([b'{"name":"clock","state":"ok","detail":""}'] * 17)
            + b"]}",
            "17 checks",
            id="too many checks",
        ),
        pytest.param(
            codec.encode(PreflightAnswer("pi-2", Outcome.OK, version="2.0.0", checks=(SOUND,))),
            "in the name of pi-2",
            id="in another's name",
        ),
        pytest.param(
            Answer("pi-1", Outcome.REFUSED, "this version of the agent does not know that verb"),
            "does not know that verb",
            id="an older agent",
        ),
        pytest.param(Answer("pi-1", Outcome.OK), "something else", id="an empty yes"),
        pytest.param(
            codec.encode(PreflightAnswer("pi-1", Outcome.OK, version="3.0.0", checks=(SOUND,))),
            "something else",
            id="of another version",
        ),
    ],
)
def test_what_is_no_answer_to_it_is_unknown_and_says_why(
    tmp_path: Path, reply: Reply, words: str
) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        devices[0].answer = lambda _: reply
        (result,) = await world.operator.preflight(["pi-1"], "2.0.0")
        assert result.verdict is UNKNOWN
        (order, answer) = result.checks
        assert (order.name, order.state) == (CheckName.ORDER, CheckState.OK)
        assert answer.name is CheckName.ANSWER
        assert words in answer.detail

    in_world(tmp_path, use)


def test_words_of_a_newer_agent_are_survived_and_are_no_yes(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        devices[0].answer = lambda _: (
            b'{"device_id":"pi-1","outcome":"ok","version":"2.0.0","schema":2,"checks":'
            b'[{"name":"moon","state":"full","detail":"the moon is full","since":1}]}'
        )
        (result,) = await world.operator.preflight(["pi-1"], "2.0.0")
        assert result.verdict is UNKNOWN
        assert result.checks[-1] == Check(CheckName.UNKNOWN, UNKNOWN, "the moon is full")

    in_world(tmp_path, use)


def test_an_order_that_the_operator_would_refuse_is_told_beside_what_the_device_says(
    tmp_path: Path,
) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        await world.upgrade("pi-1", "3.0.0")
        (result,) = await world.operator.preflight(["pi-1"], "2.0.0")
        assert result.verdict is CheckState.FAILED
        assert "is already being upgraded to 3.0.0" in result.checks[0].detail
        assert result.checks[1:] == (SOUND,)

    in_world(tmp_path, use)


def test_devices_are_chosen_as_for_an_upgrade(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        operator = world.operator
        await operator.label("pi-2", Changes((Label("ring", "canary"),)))

        async def asked(wanted: object) -> list[str]:
            found = await operator.preflight(wanted, "2.0.0")  # type: ignore[arg-type]
            return [one.device_id for one in found]

        assert await asked(None) == ["pi-1", "pi-2", "pi-3"]
        assert await asked(["pi-3", "pi-1", "pi-3"]) == ["pi-3", "pi-1"]
        assert await asked(selector("ring=canary")) == ["pi-2"]
        with pytest.raises(NothingSelected):
            await asked(selector("ring=none"))
        before = [len(device.commands) for device in devices]
        with pytest.raises(UnknownDevice):
            await asked(["pi-1", "pi-9"])
        with pytest.raises(UnknownRelease):
            await operator.preflight(None, "9.9.9")
        assert [len(device.commands) for device in devices] == before

    in_world(tmp_path, use, "pi-1", "pi-2", "pi-3")


def test_one_that_is_silent_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        for device in devices[:3]:
            device.answer = lambda _: None
        began = time.monotonic()
        results = await world.operator.preflight(None, "2.0.0")
        assert time.monotonic() - began < 3 * 0.5
        verdicts = [one.verdict for one in results]
        assert verdicts == [UNKNOWN, UNKNOWN, UNKNOWN, CheckState.OK]

    in_world(tmp_path, use, "pi-1", "pi-2", "pi-3", "pi-4")


def test_no_more_than_so_many_are_asked_at_once(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        heard: list[Message] = []

        async def hear(message: Message) -> None:
            heard.append(message)

        for number in range(2 * AT_ONCE):
            await world.operator.register(f"silent-{number}")
        async with world.nats.operator() as plane:
            await plane.subscribe("device-cmd.*", hear)
            await plane.flush(5)
            asking = asyncio.create_task(world.operator.preflight(None, "2.0.0"))
            await until(lambda: len(heard) >= AT_ONCE)
            await plane.flush(5)
            assert AT_ONCE <= len(heard) <= AT_ONCE + 1  # pi-1 answers, and makes room for one
            asking.cancel()
            await asyncio.wait([asking])

    in_world(tmp_path, use, limit_s=30.0)


def test_devices_that_are_off_are_unknown_at_once_however_many(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        for number in range(2 * AT_ONCE):
            await world.operator.register(f"off-{number}")
        results = await world.operator.preflight(None, "2.0.0")
        assert len(results) == 2 * AT_ONCE + 1
        assert [one.device_id for one in results if one.verdict is CheckState.OK] == ["pi-1"]

    in_world(tmp_path, use)


def test_without_the_message_plane_every_device_is_unknown(tmp_path: Path) -> None:
    async def use(world: World, devices: list[FakeDevice]) -> None:
        await world.nats.server.stop()
        await until(lambda: not world.operator.plane_connected)
        (result,) = await world.operator.preflight(None, "2.0.0")
        assert result.verdict is UNKNOWN
        assert result.checks[-1].name is CheckName.ANSWER

    in_world(tmp_path, use)


# The agent's side


def with_server(
    folder: Path,
    examine: Callable[[PreflightCommand], Awaitable[PreflightAnswer]],
    use: Callable[
        [Callable[[bytes], Awaitable[None]], list[Message], CommandServer], Awaitable[None]
    ],
) -> None:
    """`use(tell, answers, server)`: a command server of pi-1, told by an operator."""

    async def stop(_upgrade_id: str, _reply_to: str) -> None:
        raise AssertionError("nobody sent a stop")

    async def run() -> None:
        async with (
            running_nats(folder) as nats,
            nats.operator() as operator,
            nats.device("pi-1") as plane,
        ):
            me = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "instance-1", "boot-1", 1, 1000)
            server = CommandServer(plane, me, stop, examine)
            await server.start()
            await plane.flush(5)
            answers: list[Message] = []

            async def hear(message: Message) -> None:
                answers.append(message)

            await operator.subscribe("fleet.answer.>", hear)
            await operator.flush(5)

            async def tell(payload: bytes) -> None:
                reply = f"fleet.answer.pi-1.test.{len(answers)}"
                await operator.publish(subjects.command("pi-1"), payload, reply=reply)

            await use(tell, answers, server)

    asyncio.run(run())


def question(device_id: str = "pi-1") -> bytes:
    artifact = Artifact("http://127.0.0.1:1/a", 10, "ab" * 32)
    return codec.encode(PreflightCommand(device_id, "2.0.0", artifact, "2026-01-01T00:00:00Z"))


def test_no_other_command_waits_for_a_preflight(tmp_path: Path) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def examine(asked: PreflightCommand) -> PreflightAnswer:
        begun.set()
        await end.wait()
        return PreflightAnswer(asked.device_id, Outcome.OK, version=asked.version, checks=(SOUND,))

    async def use(
        tell: Callable[[bytes], Awaitable[None]], answers: list[Message], server: CommandServer
    ) -> None:
        await tell(question())
        await begun.wait()
        await tell(codec.encode(Command("pi-1", Verb.PING)))
        await until(lambda: len(answers) == 1)
        assert codec.decode(Answer, answers[0].payload) == Answer("pi-1", Outcome.OK)
        assert len(server.under_way) == 1
        end.set()
        await until(lambda: len(answers) == 2)
        assert codec.decode(PreflightAnswer, answers[1].payload).checks == (SOUND,)
        await until(lambda: not server.under_way)

    with_server(tmp_path, examine, use)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (codec.encode(Command("pi-1", Verb.PREFLIGHT)), "version is missing"),
        (question().replace(b'"2.0.0"', b'"../2"'), "is not a version"),
        (question(), "the preflight itself failed: ZeroDivisionError"),
    ],
    ids=["no question", "a bad one", "a fault of ours"],
)
def test_a_preflight_that_cannot_be_made_is_refused_with_the_reason(
    tmp_path: Path, payload: bytes, words: str
) -> None:
    async def examine(_asked: PreflightCommand) -> PreflightAnswer:
        raise ZeroDivisionError

    async def use(
        tell: Callable[[bytes], Awaitable[None]], answers: list[Message], _server: CommandServer
    ) -> None:
        await tell(payload)
        await until(lambda: len(answers) == 1)
        answer = codec.decode(PreflightAnswer, answers[0].payload)
        assert answer.outcome is Outcome.REFUSED
        assert words in answer.reason

    with_server(tmp_path, examine, use)


def test_a_preflight_for_another_device_is_dropped_unanswered(tmp_path: Path) -> None:
    async def examine(_asked: PreflightCommand) -> PreflightAnswer:
        raise AssertionError("it was asked")

    async def use(
        tell: Callable[[bytes], Awaitable[None]], answers: list[Message], _server: CommandServer
    ) -> None:
        await tell(question("pi-2"))
        await tell(codec.encode(Command("pi-1", Verb.PING)))
        await until(lambda: bool(answers))
        assert codec.decode(Answer, answers[0].payload) == Answer("pi-1", Outcome.OK)
        assert len(answers) == 1

    with_server(tmp_path, examine, use)
