"""The typed client of the command protocol, against a real server: no answer means unknown."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.processes.fake_device import FakeDevice, fake_device, fake_devices
from tests.processes.nats_fixture import running_nats, until

from harmony_fleet.contracts import codec
from harmony_fleet.contracts.commands import Answer, Command, Outcome, Verb
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import (
    MessagingError,
    NoResponders,
    PlaneUnreachable,
    RequestRefused,
    RequestTimedOut,
)
from harmony_fleet.operator.commands import FleetCommandsClient

ID = "0123456789abcdef" * 2
LIMIT_S = 0.3

Use = Callable[[FleetCommandsClient, FakeDevice, Plane], Awaitable[None]]


def with_client(folder: Path, use: Use) -> None:
    """`use(client, device, the operator's plane)`; the device is pi-1, and listens."""

    async def run() -> None:
        async with (
            running_nats(folder) as nats,
            nats.operator() as plane,
            fake_device(nats) as device,
        ):
            client = FleetCommandsClient(plane, LIMIT_S)
            await client.start()
            await use(client, device, plane)

    asyncio.run(run())


def test_each_verb_reaches_the_device_and_its_answer_comes_back(tmp_path: Path) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, _: Plane) -> None:
        device.armed = ID
        assert await client.ping("pi-1") == Answer("pi-1", Outcome.OK)
        info = (await client.info("pi-1")).info
        assert info is not None
        assert info.agent_version == "1.0.0"
        assert (await client.upgrade_stop("pi-1", ID)).outcome is Outcome.OK
        assert (await client.upgrade_stop("pi-1", "f" * 32)).outcome is Outcome.REFUSED
        verbs = [(command.verb, command.upgrade_id) for command in device.commands]
        assert verbs == [
            (Verb.PING, None),
            (Verb.INFO, None),
            (Verb.UPGRADE_STOP, ID),
            (Verb.UPGRADE_STOP, "f" * 32),
        ]

    with_client(tmp_path, use)


def test_a_device_that_listens_to_nothing_is_said_at_once_to_be_no_responder(
    tmp_path: Path,
) -> None:
    async def use(client: FleetCommandsClient, _device: FakeDevice, _: Plane) -> None:
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(NoResponders, match="pi-9 listens to no commands"):
                await client.ping("pi-9")

    with_client(tmp_path, use)


def test_silence_is_an_error_that_says_for_how_long(tmp_path: Path) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, _: Plane) -> None:
        device.answer = lambda _: None
        with pytest.raises(RequestTimedOut, match=r"pi-1 did not answer UpgradeStop in 0\.3 s"):
            await client.upgrade_stop("pi-1", ID)
        assert device.stops == [ID]

    with_client(tmp_path, use)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="another kind"),
        pytest.param(b'{"device_id":"pi-1"}', id="half of it"),
        pytest.param(b'{"device_id":"pi-1","outcome":"ok","info":{}}', id="half an info"),
        pytest.param(b" " * 20_000, id="too long"),
        pytest.param(codec.encode(Answer("pi-2", Outcome.OK)), id="in another's name"),
    ],
)
def test_what_is_no_answer_of_this_device_is_refused_and_never_a_yes(
    tmp_path: Path, answer: bytes
) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, _: Plane) -> None:
        device.answer = lambda _: answer
        with pytest.raises(RequestRefused, match="pi-1"):
            await client.upgrade_stop("pi-1", ID)

    with_client(tmp_path, use)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, plane: Plane) -> None:
        replies: list[str] = []

        async def note(message: object) -> None:
            replies.append(message.reply)  # type: ignore[attr-defined]

        await plane.subscribe("device-cmd.*", note)
        await plane.flush(1)
        device.answer = lambda _: None
        with pytest.raises(RequestTimedOut):
            await client.upgrade_stop("pi-1", ID)
        late = asyncio.create_task(client.upgrade_stop("pi-1", "f" * 32))
        await until(lambda: len(replies) == 2)
        await device.plane.publish(replies[0], codec.encode(Answer("pi-1", Outcome.OK)))
        with pytest.raises(RequestTimedOut):
            await late
        assert len(set(replies)) == 2

    with_client(tmp_path, use)


def test_a_device_cannot_answer_for_another_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            running_nats(tmp_path) as nats,
            nats.operator() as plane,
            fake_devices(nats, ["pi-1", "pi-2"]) as (device, other),
        ):
            client = FleetCommandsClient(plane, LIMIT_S)
            await client.start()
            replies: list[str] = []

            async def note(message: object) -> None:
                replies.append(message.reply)  # type: ignore[attr-defined]

            await plane.subscribe("device-cmd.*", note)
            await plane.flush(1)
            device.answer = lambda _: None
            asked = asyncio.create_task(client.upgrade_stop("pi-1", ID))
            await until(lambda: len(replies) == 1)
            yes = codec.encode(Answer("pi-1", Outcome.OK))
            await other.plane.publish(replies[0], yes)
            with pytest.raises(RequestTimedOut):
                await asked

    asyncio.run(run())


def test_of_two_answers_the_first_one_counts(tmp_path: Path) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, plane: Plane) -> None:
        async def again(message: object) -> None:
            answer = Answer("pi-1", Outcome.REFUSED, "again")
            await plane.publish(message.reply, codec.encode(answer))  # type: ignore[attr-defined]

        device.armed = ID
        assert (await client.upgrade_stop("pi-1", ID)).outcome is Outcome.OK
        await plane.subscribe("device-cmd.*", again)
        outcomes = {(await client.upgrade_stop("pi-1", ID)).outcome for _ in range(5)}
        assert outcomes <= {Outcome.OK, Outcome.REFUSED}

    with_client(tmp_path, use)


def test_many_commands_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    names = [f"pi-{number}" for number in range(8)]

    async def run() -> None:
        async with (
            running_nats(tmp_path) as nats,
            nats.operator() as plane,
            fake_devices(nats, names) as devices,
        ):
            client = FleetCommandsClient(plane, 5.0)
            await client.start()
            asked = [client.upgrade_stop(d.device_id, ID) for d in devices for _ in range(20)]
            answers = await asyncio.gather(*asked)
            assert [a.device_id for a in answers] == [name for name in names for _ in range(20)]
            assert client._waiting == {}

    asyncio.run(run())


def test_without_the_message_plane_nothing_is_sent_now_or_later(tmp_path: Path) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, plane: Plane) -> None:
        await plane.close()
        await until(lambda: not plane.connected)
        with pytest.raises(PlaneUnreachable):
            await client.upgrade_stop("pi-1", ID)
        await device.plane.flush(1)
        assert device.commands == []

    with_client(tmp_path, use)


def test_a_caller_that_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async def use(client: FleetCommandsClient, device: FakeDevice, _: Plane) -> None:
        device.answer = lambda _: None
        asked = asyncio.create_task(client.ping("pi-1"))
        await until(lambda: bool(device.commands))
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert client._waiting == {}

    with_client(tmp_path, use)


def test_every_failure_is_of_the_kind_that_the_operator_takes_as_unknown() -> None:
    for kind in (NoResponders, RequestTimedOut, RequestRefused, PlaneUnreachable):
        assert issubclass(kind, MessagingError)
    assert Command("pi-1", Verb.UPGRADE_STOP, ID).upgrade_id == ID
