"""The typed client of the command protocol. No answer means unknown, and raises."""

import asyncio
import itertools
import secrets
from typing import TypeVar

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Verb
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.preflight import PreflightAnswer, PreflightCommand
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import (
    Message,
    NoResponders,
    RequestRefused,
    RequestTimedOut,
)
from harmony_fleet.operator.decoding import decode

A = TypeVar("A", Answer, PreflightAnswer)

NO_RESPONDERS = "503"


class FleetCommandsClient:
    """Asks devices, and hears their answers below their own answer subjects."""

    def __init__(self, plane: Plane, limit_s: float = 5.0, nonce: str | None = None) -> None:
        """`nonce`: part of the answers' subjects, another for each client; None: a random one."""
        self._plane, self._limit_s = plane, limit_s
        self._nonce = nonce or secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Message]] = {}

    async def start(self) -> None:
        await self._plane.subscribe(f"fleet.answer.*.{self._nonce}.*", self._hear)

    async def ping(self, device_id: str) -> Answer:
        """Raises MessagingError."""
        return await self._ask(Command(device_id, Verb.PING), Answer)

    async def info(self, device_id: str) -> Answer:
        """Raises MessagingError."""
        return await self._ask(Command(device_id, Verb.INFO), Answer)

    async def upgrade_stop(self, device_id: str, upgrade_id: str) -> Answer:
        """Commit this upgrade. Idempotent on the device.

        Raises:
            MessagingError: whether the device took it is unknown; ask again.
        """
        return await self._ask(Command(device_id, Verb.UPGRADE_STOP, upgrade_id), Answer)

    async def preflight(self, asked: PreflightCommand, limit_s: float) -> PreflightAnswer:
        """An agent that does not know this verb refuses it. Raises MessagingError."""
        return await self._ask(asked, PreflightAnswer, limit_s)

    async def _ask(
        self, command: Command | PreflightCommand, kind: type[A], limit_s: float | None = None
    ) -> A:
        device_id, limit_s = command.device_id, limit_s or self._limit_s
        number = next(self._numbers)
        reply = f"{subjects.answer_prefix(device_id)}{self._nonce}.{number}"
        answered = asyncio.get_running_loop().create_future()
        self._waiting[reply] = answered
        try:
            subject = subjects.command(device_id)
            await self._plane.publish(subject, codec.encode(command), reply=reply)
            async with asyncio.timeout(limit_s):
                message = await answered
        except TimeoutError as error:
            sentence = f"{device_id} did not answer {command.verb} in {limit_s:g} s"
            raise RequestTimedOut(sentence) from error
        finally:
            del self._waiting[reply]
        return _read(message, command, kind)

    async def _hear(self, message: Message) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)


def _read(message: Message, command: Command | PreflightCommand, kind: type[A]) -> A:
    if not message.payload and message.headers.get("Status") == NO_RESPONDERS:
        raise NoResponders(f"{command.device_id} listens to no commands now")
    try:
        answer = decode(kind, message.payload)
    except MalformedMessage as error:
        raise RequestRefused(f"{command.device_id} answered {command.verb} with {error}") from error
    if answer.device_id != command.device_id:
        raise RequestRefused(f"{command.device_id} answered in the name of {answer.device_id}")
    return answer
