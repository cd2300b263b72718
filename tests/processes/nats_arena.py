"""An operator, a victim and an attacker on one server, and what each of them got to see.

An attack is judged by what the server holds and by who received what, never by its own errors.
Each can be made with a protection taken out, which shows that the attack is a real one.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.nats_fixture import MessagePlane, running_nats, until

from harmony_fleet.contracts.subjects import (
    HEARTBEAT_BUCKET,
    MARKER_BUCKET,
    STATUS_BUCKET,
    stream,
)
from harmony_fleet.embedded.accounts import Amend
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Handler, Message, MessagingError, Plane

BUCKETS = (MARKER_BUCKET, STATUS_BUCKET, HEARTBEAT_BUCKET)
BY_VICTIM = ("device-cmd.victim", "fleet.order.victim", "_INBOX_victim.>")
BY_OPERATOR = ("fleet.answer.>", "fleet.renew.>", "fleet.seen.>", "fleet.dropped", "fleet.hello")

Contents = dict[str, bytes]


@dataclass
class Arena:
    nats: MessagePlane
    operator: Plane
    victim: Plane
    mallory: Plane
    heard: dict[str, list[Message]] = field(default_factory=dict)
    """By `victim`, `operator` or `mallory`; without what the settling itself says."""

    def ear(self, name: str) -> Handler:
        heard = self.heard.setdefault(name, [])

        async def hear(message: Message) -> None:
            heard.append(message)

        return hear

    def subjects_heard(self, name: str) -> set[str]:
        return {message.subject for message in self.heard.get(name, [])}

    async def settle(self) -> None:
        """All that was published before has had its effect, and has been heard.

        What each queue of the server was given last comes out of it last: a read and a write of
        each stream by the victim, and a message to each of the three.
        """
        await self._read_by_the_server()
        await keyvalue.get(self.victim, MARKER_BUCKET, "victim", 2)
        await keyvalue.get(self.victim, HEARTBEAT_BUCKET, "victim.primary", 2)
        await keyvalue.put(self.victim, HEARTBEAT_BUCKET, "victim.candidate", b"settled", 2)
        await keyvalue.put(self.victim, STATUS_BUCKET, "victim", b"settled", 2)
        revision = await keyvalue.put(self.operator, MARKER_BUCKET, "victim", b"settled", 2)
        await self._read_by_the_server()
        await until(lambda: self._woken_by(revision))
        self.forget_settling()

    async def _read_by_the_server(self) -> None:
        for plane in (self.mallory, self.operator, self.victim):
            async with asyncio.timeout(5):
                while True:
                    with suppress(MessagingError):  # thrown out: there is more to come of it
                        await plane.wait_connected(2)
                        await plane.flush(2)
                        break

    def _woken_by(self, revision: int) -> bool:
        return any(
            message.subject == "fleet.order.victim"
            and message.headers.get("Nats-Sequence") == str(revision)
            for message in self.heard["victim"]
        )

    def forget_settling(self) -> None:
        for heard in self.heard.values():
            heard[:] = [message for message in heard if not _of_settling(message)]

    async def contents(self) -> Contents:
        """Every subject that any stream holds, with its value."""
        found: Contents = {}
        for bucket in BUCKETS:
            for subject in await self._subjects(bucket):
                body = json.dumps({"last_by_subj": subject}).encode()
                name = f"$JS.API.DIRECT.GET.{stream(bucket)}"
                found[subject] = (await self.operator.request(name, body, 2)).payload
        return found

    async def _subjects(self, bucket: str) -> list[str]:
        body = json.dumps({"subjects_filter": ">"}).encode()
        answer = await self.operator.request(f"$JS.API.STREAM.INFO.{stream(bucket)}", body, 2)
        return list(json.loads(answer.payload)["state"].get("subjects") or {})

    async def change_stream(self, bucket: str, **settings: Any) -> None:
        """Take a stream's protection out."""
        name = f"$JS.API.STREAM.INFO.{stream(bucket)}"
        found = json.loads((await self.operator.request(name, b"", 2)).payload)["config"]
        changed = json.dumps(found | settings).encode()
        update = f"$JS.API.STREAM.UPDATE.{stream(bucket)}"
        answer = json.loads((await self.operator.request(update, changed, 2)).payload)
        if "error" in answer:
            raise RuntimeError(f"{answer['error']}")


def _of_settling(message: Message) -> bool:
    by_victim = message.headers.get("Nats-Subject", "").split(".")[2:3] == ["victim"]
    genuine = message.payload == b"settled" or message.headers.get("Nats-Msg-Size") == "7"
    asked = message.subject.startswith("_INBOX_victim.") and len(message.subject) > 60
    return asked or (by_victim and genuine and message.subject.startswith(("fleet.o", "fleet.s")))


@asynccontextmanager
async def arena(folder: Path, amend: Amend | None = None) -> AsyncIterator[Arena]:
    async with (
        running_nats(folder, amend=amend) as nats,
        nats.operator() as operator,
        nats.device("victim") as victim,
        nats.device("mallory") as mallory,
    ):
        stand = Arena(nats, operator, victim, mallory)
        for subject in BY_VICTIM:
            await victim.subscribe(subject, stand.ear("victim"))
        for subject in BY_OPERATOR:
            await operator.subscribe(subject, stand.ear("operator"))
        await keyvalue.put(operator, MARKER_BUCKET, "mallory", b"order of mallory", 2)
        await keyvalue.put(mallory, STATUS_BUCKET, "mallory", b"status of mallory", 2)
        await keyvalue.put(mallory, HEARTBEAT_BUCKET, "mallory.primary", b"beat", 2)
        await stand.settle()
        for heard in stand.heard.values():
            heard.clear()
        yield stand
