"""The agent's own check of where an answer goes, with the server's check of the same taken out."""

import asyncio
from pathlib import Path

from tests.processes.nats_fixture import running_nats, until

from harmony_fleet.agent.command_server import CommandServer
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Command, Outcome, Verb
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.preflight import PreflightAnswer, PreflightCommand
from harmony_fleet.embedded.account_claims import Claims
from harmony_fleet.messaging.connection import Message, Plane

ID = "0123456789abcdef" * 2
MINE = "fleet.answer.pi-1.test.1"
NOT_MINE = (
    "elsewhere",
    "fleet.answer.pi-2.test.1",
    "fleet.answer.pi-10.test.1",
    "fleet.answer.pi-1",
    f"x.{MINE}",
    "",
)
VERBS = (Verb.PING, Verb.INFO, Verb.UPGRADE_STOP, Verb.UNKNOWN)


def devices_may_publish_anything(name: str, claims: Claims) -> Claims:
    if name != "devices":
        return claims
    (scope,) = claims["signing_keys"]
    anything = {"pub": {"allow": [">"]}, "sub": {"allow": [">"]}}
    scope = scope | {"template": scope["template"] | anything}
    return claims | {"signing_keys": [scope]}


def test_a_command_that_wants_its_answer_elsewhere_is_neither_answered_nor_obeyed(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with (
            running_nats(tmp_path, amend=devices_may_publish_anything) as nats,
            nats.operator() as operator,
            nats.device("pi-1") as plane,
            nats.device("neighbour") as neighbour,
        ):
            stops = await serve(plane)
            answered = await listen(operator, "fleet.answer.>", "elsewhere")
            overheard = await listen(neighbour, "elsewhere", "fleet.answer.>", "x.>")
            for reply in NOT_MINE:
                for verb in VERBS:
                    await tell(operator, verb, reply)
                await operator.publish(subjects.command("pi-1"), b"\xff garbage", reply=reply)
            await tell(operator, Verb.UPGRADE_STOP, MINE)
            await tell(operator, Verb.PING, MINE)
            await until(lambda: bool(answered))  # commands are served in their order
            await plane.flush(5)
            await neighbour.flush(5)
            assert stops == [MINE]
            assert answered == [MINE]
            assert set(overheard) <= {MINE}

    asyncio.run(run())


def test_without_the_servers_check_a_device_can_answer_anywhere(tmp_path: Path) -> None:
    """So that what the test above does not see was not kept from it by the server."""

    async def run() -> None:
        async with (
            running_nats(tmp_path, amend=devices_may_publish_anything) as nats,
            nats.operator() as operator,
            nats.device("pi-1") as plane,
            nats.device("neighbour") as neighbour,
        ):
            answered = await listen(operator, "fleet.answer.>")
            overheard = await listen(neighbour, "elsewhere")
            await plane.publish("elsewhere", b"")
            await plane.publish("fleet.answer.pi-2.test.1", b"")
            await until(lambda: bool(answered and overheard))

    asyncio.run(run())


async def serve(plane: Plane) -> list[str]:
    """The subjects at which the stops that were obeyed want their answers."""
    stops: list[str] = []

    async def stop(upgrade_id: str, reply_to: str) -> None:
        assert upgrade_id == ID
        stops.append(reply_to)

    async def examine(asked: PreflightCommand) -> PreflightAnswer:
        return PreflightAnswer(asked.device_id, Outcome.OK)

    me = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "instance-1", "boot-1", 1, 1000)
    await CommandServer(plane, me, stop, examine).start()
    await plane.flush(5)
    return stops


async def listen(plane: Plane, *patterns: str) -> list[str]:
    """The subjects of what arrives there."""
    heard: list[str] = []

    async def hear(message: Message) -> None:
        heard.append(message.subject)

    for pattern in patterns:
        await plane.subscribe(pattern, hear)
    await plane.flush(5)
    return heard


async def tell(operator: Plane, verb: Verb, reply: str) -> None:
    command = codec.encode(Command("pi-1", verb, ID))
    await operator.publish(subjects.command("pi-1"), command, reply=reply)
