"""Answers the operator's commands. A candidate runs `ignore_commands` instead: it answers nothing.

Each is answered in its turn, but for a preflight, which takes a while: no stop waits for that one.

A command is dropped unanswered unless it names this device and wants its answer below this
device's own answer prefix: an answer can be aimed at nobody else.
"""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer, Command, Info, Outcome, Verb
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message, MessagingError

if TYPE_CHECKING:
    from harmony_fleet.contracts.preflight import PreflightAnswer, PreflightCommand

logger = logging.getLogger(__name__)

Stop = Callable[[str, str], Awaitable[None]]
"""Of an upgrade_id, with the subject that wants the answer."""

Examine = Callable[["PreflightCommand"], Awaitable["PreflightAnswer"]]


class CommandServer:
    def __init__(self, plane: Plane, identity: Heartbeat, stop: Stop, examine: Examine) -> None:
        self._plane, self._identity, self._stop = plane, identity, stop
        self._examine = examine
        self.under_way: set[asyncio.Task[None]] = set()
        """Preflights that have not been answered yet."""

    async def start(self) -> None:
        await self._plane.subscribe(subjects.command(self._identity.device_id), self._serve)

    async def _serve(self, message: Message) -> None:
        device_id = self._identity.device_id
        if not message.reply.startswith(subjects.answer_prefix(device_id)):
            logger.warning("a command that wants its answer at %r: dropped", message.reply)
            return
        try:
            command = codec.decode(Command, message.payload)
        except MalformedMessage as error:
            await self._refuse(message.reply, str(error)[:400])
            return
        if command.device_id != device_id:
            logger.warning("a command for another device, %s: dropped", command.device_id)
            return
        await self._obey(command, message)

    async def _obey(self, command: Command, message: Message) -> None:
        device_id, reply_to = command.device_id, message.reply
        match command.verb:
            case Verb.PING:
                await self._answer(reply_to, Answer(device_id, Outcome.OK))
            case Verb.INFO:
                await self._answer(reply_to, Answer(device_id, Outcome.OK, info=self._info()))
            case Verb.UPGRADE_STOP if command.upgrade_id is not None:
                await self._stop(command.upgrade_id, reply_to)
            case Verb.UPGRADE_STOP:
                await self._refuse(reply_to, "a stop must name the upgrade that it commits")
            case Verb.PREFLIGHT:
                task = asyncio.create_task(self._preflight(message))
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)
            case Verb.UNKNOWN:
                await self._refuse(reply_to, "this version of the agent does not know that verb")

    def _info(self) -> Info:
        me = self._identity
        where = f"{platform.system()}-{platform.machine()}".lower()
        python = platform.python_version()
        return Info(me.agent_version, me.instance_id, me.boot_id, python, where)

    async def _preflight(self, message: Message) -> None:
        # Here, and not above: most agents are never asked.
        from harmony_fleet.contracts.preflight import PreflightCommand

        try:
            answer = await self._examine(codec.decode(PreflightCommand, message.payload))
        except MalformedMessage as error:
            await self._refuse(message.reply, str(error)[:400])
        except Exception as error:  # the runner: who asked is to hear of a fault of ours
            logger.exception("a preflight failed")
            words = f"the preflight itself failed: {type(error).__name__}: {error}"
            await self._refuse(message.reply, words[:400])
        else:
            await self._answer(message.reply, answer)

    async def _refuse(self, reply_to: str, reason: str) -> None:
        await self._answer(reply_to, Answer(self._identity.device_id, Outcome.REFUSED, reason))

    async def _answer(self, reply_to: str, answer: "Answer | PreflightAnswer") -> None:
        try:
            await self._plane.publish(reply_to, codec.encode(answer))
        except MessagingError as error:
            logger.info("an answer was not sent: %s", error)


async def ignore_commands(plane: Plane, device_id: str) -> None:
    """Subscribe as a primary would, so that what is validated is what will run, and say nothing."""

    async def silent(_message: Message) -> None:
        return

    await plane.subscribe(subjects.command(device_id), silent)
