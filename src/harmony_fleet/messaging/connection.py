"""The message plane as the rest of the project sees it: a connection that is always being kept.

Rules: a publish while not connected raises, and is never sent later. No error of a handler or a
callback ends the connection. What was subscribed stays subscribed across every loss.
"""

import asyncio
import contextlib
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from harmony_fleet.messaging.endpoint import Endpoint, Timing
from harmony_fleet.messaging.requests import (
    Message,
    MessagingError,
    NoResponders,
    PlaneUnreachable,
    RequestRefused,
    RequestTimedOut,
)
from harmony_fleet.messaging.supervision import keep_connected

__all__ = [
    "Callback",
    "Endpoint",
    "Handler",
    "Message",
    "MessagingError",
    "NoResponders",
    "Plane",
    "PlaneUnreachable",
    "RequestRefused",
    "RequestTimedOut",
    "Timing",
]

Handler = Callable[[Message], Awaitable[None]]
Callback = Callable[[], Awaitable[None] | None]

logger = logging.getLogger(__name__)

_SUBSCRIPTION: Final = re.compile(r"([^\s.*>]+|\*)(\.([^\s.*>]+|\*))*(\.>)?|>")
_RECHECK_S: Final = 0.02
_MOST_WAITING: Final = 16384
"""Messages of one subscription; more are dropped, as NATS drops what a slow reader misses."""


class Plane:
    """Belongs to the event loop that it was made in. Starts once, closes once."""

    def __init__(self, endpoint: Endpoint, timing: Timing | None = None) -> None:
        self._endpoint = endpoint
        self._timing = timing or Timing()
        self._client: Client | None = None
        self._epoch = 0
        self._up = asyncio.Event()
        self._lost: asyncio.Future[None]
        """Of the present client: done when that is lost. There is none before the first."""
        self._handled: list[_Handled] = []
        self._connect_callbacks: list[Callback] = []
        self._disconnect_callbacks: list[Callback] = []
        self._announcements: asyncio.Queue[list[Callback]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    @property
    def epoch(self) -> int:
        """How often this has connected. The same number before and after: no loss in between."""
        return self._epoch

    async def start(self) -> None:
        """Begin to connect, in the background. A server that is away is no error."""
        if self._tasks:
            return
        kept = keep_connected(self._endpoint, self._timing, self._came_up, self._went_down)
        self._tasks = [asyncio.create_task(kept), asyncio.create_task(self._announce())]

    async def close(self) -> None:
        """Sends what was published, if the server still reads. Idempotent.

        Cancels handlers and callbacks that run, and calls no more.
        """
        tasks = [*self._tasks, *(handled.task for handled in self._handled)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Whether it is connected, at the latest when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
                while not self.connected:  # noqa: ASYNC110 - lost, and nats-py is still closing
                    await asyncio.sleep(_RECHECK_S)
        return self.connected

    def on_connect(self, callback: Callback) -> None:
        """Called after each connect, once all subscriptions were sent; one at a time, in order."""
        self._connect_callbacks.append(callback)

    def on_disconnect(self, callback: Callback) -> None:
        """Called after each loss, in one order with `on_connect`."""
        self._disconnect_callbacks.append(callback)

    async def subscribe(self, subject: str, handler: Handler) -> None:
        """For as long as the plane lives. One message at a time; an error is logged, no more.

        A handler that runs while the connection is lost is left to finish.
        While there is no connection messages are missed, as always with NATS.
        Raises RequestRefused where `subject` is malformed.
        """
        if _SUBSCRIPTION.fullmatch(subject) is None:
            raise RequestRefused(f"{subject[:80]!r} is no subject to subscribe to")
        handled = _Handled(subject, handler)
        self._handled.append(handled)
        if self._client is not None:
            with contextlib.suppress(nats_errors.Error):  # lost: the next connect subscribes
                await self._client.subscribe(subject, cb=handled.receive)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
    ) -> None:
        """Handed to the socket; whether it arrives is not known.

        Raises:
            PlaneUnreachable: not connected. It was not sent, and will not be.
            RequestRefused: a malformed subject or header, or too long for the server.
        """
        client = self._connected_client()
        try:
            await client.publish(subject, payload, reply, dict(headers) if headers else None)
        except nats_errors.Error as error:
            raise _translated(error, subject) from error

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """The first answer; one with a status line of the server's is an answer too.

        Raises:
            PlaneUnreachable, NoResponders: it was not carried out.
            RequestTimedOut: unknown. Also where permissions refuse the subject, and at once where
                the connection is lost before the answer.
            RequestRefused: a malformed subject or header, or too long for the server.
        """
        client, lost = self._connected_client(), self._lost
        asked = client.request(
            subject, payload, timeout_s, headers=dict(headers) if headers else None
        )
        asking = asyncio.create_task(asked)
        try:
            either: set[asyncio.Future[Any]] = {asking, lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise RequestTimedOut(f"the connection was lost before an answer on {subject}")
            return _message(asking.result())
        except nats_errors.Error as error:
            raise _translated(error, subject) from error
        finally:
            asking.cancel()

    async def request_all(self, subject: str, payload: bytes, timeout_s: float) -> list[Message]:
        """The answers, up to and with the first that is a status line: so ends a batch.

        Raises as `request` does, but for NoResponders: status 503 is an answer here.
        """
        client, lost = self._connected_client(), self._lost
        answers: list[Message] = []
        ended: asyncio.Future[None] = asyncio.Future()

        async def receive(answer: Msg) -> None:
            if ended.done():
                return
            answers.append(_message(answer))
            if answers[-1].status is not None:
                ended.set_result(None)

        inbox = client.new_inbox()
        try:
            subscription = await client.subscribe(inbox, cb=receive)
            try:
                await client.publish(subject, payload, reply=inbox)
                async with asyncio.timeout(timeout_s):
                    await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    raise RequestTimedOut(f"the connection was lost before an end on {subject}")
            finally:
                with contextlib.suppress(nats_errors.Error):  # lost: nothing is left to end
                    await subscription.unsubscribe()
        except nats_errors.Error as error:
            raise _translated(error, subject) from error
        except TimeoutError as error:
            raise RequestTimedOut(f"no end of the answers on {subject} in time") from error
        return answers

    async def flush(self, timeout_s: float) -> None:
        """The server has read all that was published before, when this returns.

        Not nats-py's own: that one lets its ping overtake what is not yet written, and an answer
        that comes after its time-out ends the client's reading.
        Raises PlaneUnreachable, RequestTimedOut.
        """
        client, lost = self._connected_client(), self._lost
        answered = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                # nats-py has no event for what is not yet written
                while client.pending_data_size and not lost.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                if client.is_connected:  # lost meanwhile: asyncio's TLS takes nothing any more
                    await client._send_ping(answered)
                    await asyncio.wait({answered, lost}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise RequestTimedOut(f"the server answered no ping in {timeout_s} s") from error
        if not answered.done():
            raise PlaneUnreachable("the connection was lost: what was published may be, too")

    def _connected_client(self) -> Client:
        if self._client is None or not self._client.is_connected:
            servers = ", ".join(self._endpoint.servers)
            raise PlaneUnreachable(f"not connected to the message plane at {servers}")
        return self._client

    async def _came_up(self, client: Client) -> None:
        for handled in self._handled:
            await client.subscribe(handled.subject, cb=handled.receive)
        self._client, self._lost = client, asyncio.Future()
        self._epoch += 1
        self._up.set()
        self._announcements.put_nowait(list(self._connect_callbacks))

    def _went_down(self) -> None:
        if self._client is not None:
            self._announcements.put_nowait(list(self._disconnect_callbacks))
            self._lost.set_result(None)
        self._client = None
        self._up.clear()

    async def _announce(self) -> None:
        while True:
            for callback in await self._announcements.get():
                try:
                    result = callback()
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    logger.exception("%s: a callback failed", self._endpoint.name)


class _Handled:
    """One subscription's messages and the task that handles them, which outlives every client."""

    def __init__(self, subject: str, handler: Handler) -> None:
        self.subject = subject
        self._handler = handler
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(_MOST_WAITING)
        self._full = False
        """Said once; it is said again when it was empty in between."""
        self.task = asyncio.create_task(self._handle())

    async def receive(self, message: Msg) -> None:
        try:
            self._waiting.put_nowait(_message(message))
        except asyncio.QueueFull:
            if not self._full:
                logger.warning("%s: messages come faster than they are handled", self.subject)
            self._full = True

    async def _handle(self) -> None:
        while True:
            message = await self._waiting.get()
            self._full = self._full and not self._waiting.empty()
            try:
                await self._handler(message)
            except Exception:
                logger.exception("the handler of %s failed", self.subject)


def _message(message: Msg) -> Message:
    headers = {str(getattr(k, "value", k)): v for k, v in (message.headers or {}).items()}
    return Message(message.subject, message.data, headers, message.reply)


def _translated(error: nats_errors.Error, subject: str) -> MessagingError:
    match error:
        case nats_errors.NoRespondersError():
            return NoResponders(f"nobody answers on {subject}")
        case nats_errors.TimeoutError():
            return RequestTimedOut(f"no answer on {subject} in time")
        case nats_errors.BadSubjectError() | nats_errors.BadHeaderError():
            return RequestRefused(f"{subject[:80]!r} or a header is malformed")
        case nats_errors.MaxPayloadError():
            return RequestRefused(f"the message on {subject} is longer than the server takes")
        case _:
            return PlaneUnreachable(f"the connection was lost: {str(error) or repr(error)}")
