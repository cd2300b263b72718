"""What this operator sees of the devices, with its own eyes, and whether it is live.

The streams republish what they have stored, with its sequence, so no consumer is needed; what was
missed is listed again after each connect, and now and then in any case. Whether a heartbeat is live
is judged by `liveness`, at once and without asking anybody: what waits for its judgement could be
judged by what became known after it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from harmony_fleet.contracts import subjects
from harmony_fleet.contracts.errors import InvalidValue, MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.contracts.identity import check_device_id
from harmony_fleet.contracts.upgrade import Marker, Status
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import Message, MessagingError
from harmony_fleet.operator import streams
from harmony_fleet.operator.complaints import Complaints
from harmony_fleet.operator.decoding import decode
from harmony_fleet.operator.events import (
    HeartbeatSeen,
    MarkerSeen,
    SightForgotten,
    Sighting,
    StatusSeen,
)
from harmony_fleet.operator.liveness import Liveness, Verdict, judge, looked, lost
from harmony_fleet.operator.ports import StoreError

logger = logging.getLogger(__name__)

Report = Callable[[str, Sighting], None]
"""Of a device id and what was seen of it. Must not block."""

SOON_S = 1.0
"""Before a listing that failed, or that something seen asks for."""
MOST_DIGITS = 20
"""Of a sequence: the server counts in 64 bits."""


class Observer:
    def __init__(
        self,
        plane: Plane,
        report: Report,
        now: Callable[[], str],
        relist_s: float,
        limits: streams.StreamLimits,
    ) -> None:
        self._plane, self._report, self._now, self._relist_s = plane, report, now, relist_s
        self._limits = limits
        self._liveness = Liveness()
        self._wanted = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._known: Callable[[], list[str]] = list
        self._take_up: Callable[[], Awaitable[None]] | None = None
        self._complaints = Complaints(time.monotonic)

    async def start(
        self, known: Callable[[], list[str]], take_up: Callable[[], Awaitable[None]]
    ) -> None:
        """`known` names the devices of which the store wants to be told.

        `take_up` is awaited before each listing: what the store has learned from others since is
        compared with the buckets as well. It may raise StoreError.
        """
        self._known, self._take_up = known, take_up
        await self._plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.*.*", self._heartbeat)
        await self._plane.subscribe(f"{subjects.SEEN_STATUS}.*", self._status)
        self._plane.on_connect(self._wanted.set)
        self._plane.on_disconnect(self._forget)
        self._wanted.set()  # the plane may be connected already

    async def run(self) -> None:
        """Lists after each connect, and now and then; until cancelled."""
        wait_s = self._relist_s
        while True:
            # Not wait_for: on Python 3.11 it swallows a cancellation that comes with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            self._wanted.clear()
            wait_s = self._relist_s if await self._list() else SOON_S
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # nats-py's requests do so, too

    @property
    def ready(self) -> bool:
        """Whether a heartbeat that comes now can be live."""
        return self._liveness.baseline is not None

    def list_soon(self, wait_s: float = SOON_S) -> None:
        """Look again, a little later; once, however often it is asked for until then."""
        loop = asyncio.get_running_loop()
        if self._soon is not None:
            if self._soon.when() <= loop.time() + wait_s:
                return
            self._soon.cancel()
        self._soon = loop.call_later(wait_s, self._list_now)

    def _list_now(self) -> None:
        self._soon = None
        self._wanted.set()

    def _forget(self) -> None:
        """What was seen before a loss may not count: what was stored may be lost as well."""
        self._liveness = lost(self._liveness)
        for device_id in self._known():
            self._report(device_id, SightForgotten())

    async def _list(self) -> bool:
        if not self._plane.connected:
            return False
        try:
            if self._take_up is not None:
                await self._take_up()
            await streams.ensure_streams(self._plane, self._limits)
            await self._look()
            await self._list_heartbeats()
            await self._list_statuses()
            await self._list_markers()
        except (MessagingError, StoreError) as error:
            logger.warning("the buckets cannot be compared with the store now: %s", error)
            return False
        return True

    async def _look(self) -> None:
        asked_in = self._liveness.connection
        state = await streams.stream_state(self._plane, subjects.HEARTBEAT_BUCKET)
        self._liveness = looked(self._liveness, asked_in, state)

    async def _list_heartbeats(self) -> None:
        for name, entry in await streams.list_bucket(self._plane, subjects.HEARTBEAT_BUCKET):
            self._heard(name, entry.value, live=False)

    async def _list_statuses(self) -> None:
        for name, entry in await streams.list_bucket(self._plane, subjects.STATUS_BUCKET):
            self._said(name, entry.value, live=False)

    async def _list_markers(self) -> None:
        found: dict[str, Marker | None] = dict.fromkeys(self._known())
        for name, entry in await streams.list_bucket(self._plane, subjects.MARKER_BUCKET):
            try:
                found[name] = read_marker(name, entry.value)
            except (InvalidValue, MalformedMessage) as error:  # the store's is written over it
                self._complaints.of(name, f"the marker of {name} cannot be read: {error}")
        for name, marker in found.items():
            self._report(name, MarkerSeen(marker))

    async def _heartbeat(self, message: Message) -> None:
        name = message.subject.removeprefix(f"{subjects.SEEN_HEARTBEAT}.")
        self._heard(name, message.payload, self._live(message))

    async def _status(self, message: Message) -> None:
        name = message.subject.removeprefix(f"{subjects.SEEN_STATUS}.")
        self._said(name, message.payload, live=True)

    def _live(self, message: Message) -> bool:
        verdict = judge(self._liveness, _sequence(message))
        if verdict is Verdict.LOOK_AGAIN:
            self.list_soon()
        return verdict is Verdict.LIVE

    def _heard(self, name: str, value: bytes, live: bool) -> None:
        device_id, _, role = name.partition(".")
        try:
            beat = decode(Heartbeat, value)
        except MalformedMessage as error:
            self._complaints.of(device_id, f"a heartbeat of {name} cannot be read: {error}")
            return
        if (beat.device_id, beat.role) != (device_id, role):
            words = f"a heartbeat under {name} claims to be another's: ignored"
            self._complaints.of(device_id, words)
            return
        self._report(device_id, HeartbeatSeen(beat, live))

    def _said(self, name: str, value: bytes, live: bool) -> None:
        if name == streams.PROBE:
            return
        try:
            status = decode(Status, value)
        except MalformedMessage as error:
            self._complaints.of(name, f"the status of {name} cannot be read: {error}")
            return
        if status.device_id != name:
            self._complaints.of(name, f"a status under {name} claims to be another's: ignored")
            return
        self._report(name, StatusSeen(status, self._now(), live))


def _sequence(message: Message) -> int | None:
    text = message.headers.get("Nats-Sequence", "")
    readable = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return int(text) if readable else None


def read_marker(name: str, value: bytes) -> Marker:
    """Raises InvalidValue, MalformedMessage: what lies under that key is no marker of a device."""
    check_device_id(name)
    marker = decode(Marker, value)
    if marker.device_id != name:
        raise InvalidValue(f"it is of {marker.device_id}")
    return marker
