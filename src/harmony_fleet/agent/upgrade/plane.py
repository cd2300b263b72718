"""Orders and reports over the message plane. The plane is a cache: each side says again what it
knows when the other may have forgotten it.
"""

import asyncio
import logging
import random
from collections.abc import Callable

from harmony_fleet.agent.alarm import set_within
from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
)
from harmony_fleet.agent.upgrade.events import (
    Event,
    OrderRead,
    OrderUnusable,
    Reported,
)
from harmony_fleet.agent.upgrade.record import Journal, status_of
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.commands import Answer
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import Marker, MarkerHead
from harmony_fleet.contracts.wire import SCHEMA
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message, MessagingError

logger = logging.getLogger(__name__)

REQUEST_LIMIT_S = 5.0
ANSWER_LIMIT_S = 1.0
REPEAT_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between attempts to put a status, or to read an order; the last is repeated. By jitter
from half of it to all."""


class NatsOrders:
    """Reads the marker when woken, at each reconnect, and now and then."""

    def __init__(
        self, plane: Plane, device_id: str, reread_s: float, post: Callable[[Event], None]
    ) -> None:
        self._plane, self._device_id, self._post = plane, device_id, post
        self._reread_s = reread_s
        self._wanted = asyncio.Event()

    async def start(self) -> None:
        await self._plane.subscribe(subjects.order_wake(self._device_id), self._woken)
        self._plane.on_connect(self.read)

    def read(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        failures = 0
        while True:
            wait_s = _repeat_s(failures - 1) if failures else self._reread_s
            await set_within(self._wanted, wait_s * random.uniform(0.5, 1.0))
            self._wanted.clear()
            failures = 0 if await self._read() else failures + 1

    async def _woken(self, _message: Message) -> None:
        """The wake-up carries no value on purpose: what is obeyed is what the stream holds."""
        self.read()

    async def _read(self) -> bool:
        """Whether the plane answered. Away, it is asked again when it is back."""
        if not self._plane.connected:
            return True
        try:
            entry = await keyvalue.get(
                self._plane, subjects.MARKER_BUCKET, self._device_id, REQUEST_LIMIT_S
            )
        except MessagingError as error:
            logger.info("the order cannot be read now: %s", error)
            return False
        event = order_of(entry.value, self._device_id) if entry else None
        if event is not None:
            self._post(event)
        return True


def order_of(value: bytes, device_id: str) -> OrderRead | OrderUnusable | None:
    """What a marker's bytes mean to this device; None where they mean nothing to it."""
    try:
        marker = codec.decode(Marker, value)
    except MalformedMessage as error:
        return _unusable(value, device_id, str(error))
    if marker.device_id != device_id:
        logger.warning("an order for another device, %s: ignored", marker.device_id)
        return None
    if marker.schema > SCHEMA:
        reason = f"it is of schema {marker.schema}, and this version knows only {SCHEMA}"
        return OrderUnusable(marker.upgrade_id, marker.generation, reason)
    return OrderRead(marker)


def _unusable(value: bytes, device_id: str, reason: str) -> OrderUnusable | None:
    try:
        head = codec.decode(MarkerHead, value)
    except MalformedMessage:
        logger.warning("the marker cannot be read at all: %s", reason)
        return None
    if head.device_id != device_id:
        return None
    return OrderUnusable(head.upgrade_id, head.generation, reason[:200])


class NatsReports:
    """Says the newest status until it is acknowledged, and again after each reconnect."""

    def __init__(
        self,
        plane: Plane,
        device_id: str,
        post: Callable[[Event], None],
        now: Callable[[], str],
    ) -> None:
        self._plane, self._device_id, self._post, self._now = plane, device_id, post, now
        self._journal: Journal | None = None
        self._failures = 0
        """In a row, over this connection."""
        self._wanted, self._back = asyncio.Event(), asyncio.Event()

    def start(self) -> None:
        self._plane.on_connect(self._say_again)

    def _say_again(self) -> None:
        """At once: the dead-man's controls leave a little more time than a reconnect takes."""
        self._failures = 0
        self._wanted.set()
        self._back.set()

    def put(self, journal: Journal) -> None:
        self._journal = journal
        self._wanted.set()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._back.clear()
            journal = self._journal
            if journal is None:
                continue
            if await self._put(journal):
                self._failures = 0
                self._post(Reported(journal.seq))
            else:
                wait_s = _repeat_s(self._failures)
                self._failures += 1
                self._wanted.set()
                await set_within(self._back, wait_s * random.uniform(0.5, 1.0))

    async def _put(self, journal: Journal) -> bool:
        status = status_of(journal, self._device_id, self._now())
        try:
            await keyvalue.put(
                self._plane,
                subjects.STATUS_BUCKET,
                self._device_id,
                codec.encode(status),
                REQUEST_LIMIT_S,
            )
        except MessagingError as error:
            logger.info("the status cannot be put now: %s", error)
            return False
        return True


def _repeat_s(failures: int) -> float:
    return REPEAT_S[min(failures, len(REPEAT_S) - 1)]


class NatsHearing:
    """What the plane has heard of this device's own candidate."""

    def __init__(self, plane: Plane, device_id: str) -> None:
        self._plane, self._device_id = plane, device_id

    @property
    def connected(self) -> bool:
        return self._plane.connected

    @property
    def epoch(self) -> int:
        return self._plane.epoch

    async def heard(self, version: str, upgrade_id: str) -> bool | None:
        name = subjects.heartbeat_name(self._device_id, Role.CANDIDATE)
        try:
            entry = await keyvalue.get(
                self._plane, subjects.HEARTBEAT_BUCKET, name, REQUEST_LIMIT_S
            )
        except MessagingError as error:
            logger.info("the plane cannot be asked for the candidate's heartbeat: %s", error)
            return None
        if entry is None:
            return False
        try:
            beat = codec.decode(Heartbeat, entry.value)
        except MalformedMessage as error:
            logger.warning("the candidate's heartbeat cannot be read: %s", error)
            return False
        return (beat.agent_version, beat.upgrade_id) == (version, upgrade_id)


class NatsStopAnswers:
    def __init__(self, plane: Plane, device_id: str) -> None:
        self._plane, self._device_id = plane, device_id

    async def answer(self, answer: AnswerStop) -> None:
        body = Answer(self._device_id, answer.outcome, answer.reason, answer.ended)
        try:
            await self._plane.publish(answer.reply_to, codec.encode(body))
            await self._plane.flush(ANSWER_LIMIT_S)
        except MessagingError as error:
            logger.warning("the stop's answer may be lost, it will be asked again: %s", error)
