"""`messaging.connection.Plane` over the simulated network: the same promises, without a socket."""

import asyncio
import functools
import inspect
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from harmony_fleet.messaging.connection import Callback, Handler, Plane
from harmony_fleet.messaging.endpoint import Timing
from harmony_fleet.messaging.requests import (
    Message,
    NoResponders,
    PlaneUnreachable,
    RequestTimedOut,
)
from harmony_fleet.simulation.lives import Killed, SimulatedProcess
from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.nats_server import Receive, Session
from harmony_fleet.simulation.network import Network
from harmony_fleet.simulation.patience import Patience

CONNECTING_S = 0.01
_NO_RESPONDERS = "503"


class SimulatedPlane(Plane):
    """Belongs to one process, and ends with it."""

    def __init__(
        self, network: Network, who: str, process: SimulatedProcess, timing: Timing | None = None
    ) -> None:
        self._network, self._who, self._process = network, who, process
        self._timing = timing or Timing()
        self._loop, self._chance = network.loop, process.chance
        self._context = copy_context()
        self._patience = Patience(self._loop, self._context)
        self._prefix = f"_INBOX_{who}.{network.number()}"
        self._session: Session | None = None
        self._is_up = False
        self._up = asyncio.Event()
        self._epoch = self._attempt = self._number = 0
        self.connected_at_s = 0.0
        self._sent_until_s = self._heard_until_s = 0.0
        self._heard_by: list[_Handled] = []
        self._pending: dict[asyncio.Future[Any], None] = {}
        self._connect_callbacks: list[Callback] = []
        self._disconnect_callbacks: list[Callback] = []
        self._announced: deque[Callback] = deque()
        self._announcing = False
        self._started = self._closed = False

    @property
    def connected(self) -> bool:
        return self._is_up

    @property
    def epoch(self) -> int:
        return self._epoch

    async def start(self) -> None:
        if not self._started:
            self._started = True
            self._process.at_end(self._vanish)
            self._soon(CONNECTING_S, self._connect)

    async def close(self) -> None:
        self._vanish()

    async def wait_connected(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        return self._is_up

    def on_connect(self, callback: Callback) -> None:
        self._connect_callbacks.append(callback)

    def on_disconnect(self, callback: Callback) -> None:
        self._disconnect_callbacks.append(callback)

    async def subscribe(self, subject: str, handler: Handler) -> None:
        handled = _Handled(self._loop, subject, handler)
        self._heard_by.append(handled)
        if self._session is not None:
            receive = self._receiver(self._session, handled.take)
            send = self._send if self._network.is_fair(self._who) else self._in_order
            send(self._session.subscribe, subject, receive)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
    ) -> None:
        session = self._connection()
        self._process.step(subject)
        self._network.sent(self._who, subject, payload)
        self._send(session.publish, subject, payload, headers, reply)

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        session = self._connection()
        self._process.step(subject)
        self._network.sent(self._who, subject, payload)
        answered: asyncio.Future[Message] = self._loop.create_future()
        inbox = self._inbox()
        session.expect(inbox, self._receiver(session, functools.partial(_settle, answered)))
        self._send(session.publish, subject, payload, headers, inbox)
        try:
            answer: Message = await self._in_time(answered, timeout_s, subject)
        finally:
            session.forget(inbox)
        if not answer.payload and answer.headers.get("Status") == _NO_RESPONDERS:
            raise NoResponders(f"nobody answers on {subject}")
        return answer

    async def request_all(self, subject: str, payload: bytes, timeout_s: float) -> list[Message]:
        session = self._connection()
        self._process.step(subject)
        answers: list[Message] = []
        ended: asyncio.Future[None] = self._loop.create_future()

        def receive(answer: Message) -> None:
            if not ended.done():
                answers.append(answer)
                if answer.status is not None:
                    ended.set_result(None)

        inbox = self._inbox()
        session.expect(inbox, self._receiver(session, receive))
        self._send(session.publish, subject, payload, None, inbox)
        try:
            await self._in_time(ended, timeout_s, subject)
        finally:
            session.forget(inbox)
        return answers

    async def flush(self, timeout_s: float) -> None:
        session = self._connection()
        answered: asyncio.Future[None] = self._loop.create_future()
        pong = self._receiver(session, lambda _: _settle(answered, None))
        self._send(pong, Message("", b"", {}, ""))
        try:
            await self._in_time(answered, timeout_s, "a ping")
        except RequestTimedOut:
            if self._session is not session:
                raise PlaneUnreachable("the connection was lost") from None
            raise

    # The connection

    def _connect(self) -> None:
        if self._closed or self._session is not None:
            return
        session = self._network.connect(self._who, lambda: self._gone(session))
        if session is None:
            self._attempt += 1
            self._soon(self._timing.retry_delay_s(self._attempt), self._connect)
            return
        self._session = session
        for handled in self._heard_by:
            session.subscribe(handled.subject, self._receiver(session, handled.take))
        self._soon(self._network.latency_s(self._chance), self._is_there, session)

    def _is_there(self, session: Session) -> None:
        if session is self._session:
            self._is_up, self._attempt = True, 0
            self._epoch += 1
            self.connected_at_s = self._loop.now_s
            self._up.set()
            self._tell(self._connect_callbacks)

    def _gone(self, session: Session | None) -> None:
        """The server, or the network, ended it: the client is told a moment later."""
        self._soon(self._network.latency_s(self._chance), self._give_up, session)

    def _give_up(self, session: Session | None) -> None:
        if session is None or session is not self._session or self._closed:
            return
        self._drop()
        self._soon(self._timing.retry_delay_s(self._attempt), self._connect)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._network.disconnect(self._who, session)
        was_up, self._is_up = self._is_up, False
        self._up.clear()
        pending, self._pending = self._pending, {}
        for future in pending:
            if not future.done():
                future.set_exception(RequestTimedOut("the connection was lost before an answer"))
        if was_up:
            self._tell(self._disconnect_callbacks)

    def _vanish(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        self._is_up = False
        if session is not None:
            self._network.disconnect(self._who, session)

    def _tell(self, callbacks: list[Callback]) -> None:
        self._announced.extend(callbacks)
        if self._announced and not self._announcing:
            self._announcing = True
            self._loop.create_task(self._call_back())

    async def _call_back(self) -> None:
        while self._announced:
            result = self._announced.popleft()()
            if result is not None and inspect.isawaitable(result):
                await result
        self._announcing = False

    def _connection(self) -> Session:
        if self._session is None or not self._is_up:
            raise PlaneUnreachable("not connected to the message plane")
        return self._session

    # Messages

    def _inbox(self) -> str:
        self._number += 1
        return f"{self._prefix}.{self._number}"

    def _send(self, reach: Callable[..., None], *what: object) -> None:
        """To the server: in order, but for what the weather does."""
        network = self._network
        if network.quick and network.is_fair(self._who):
            reach(*what)
            return
        for delay_s in network.delays_s(self._who, self._chance):
            if not delay_s:
                self._in_order(reach, *what)
            else:
                at_s = self._loop.now_s + network.latency_s(self._chance) + delay_s
                self._loop.post(at_s, self._loop.outside, reach, *what)

    def _in_order(self, reach: Callable[..., None], *what: object) -> None:
        """As a stream of bytes does. A subscription is lost with its connection, and only so."""
        at_s = self._loop.now_s + self._network.latency_s(self._chance)
        self._sent_until_s = max(at_s, self._sent_until_s)
        self._loop.post(self._sent_until_s, self._loop.outside, reach, *what)

    def _receiver(self, session: Session, receive: Receive) -> Receive:
        """From the server: the same."""
        network, loop, chance = self._network, self._loop, self._chance

        def sent(message: Message) -> None:
            for delay_s in network.delays_s(self._who, chance):
                at_s = loop.now_s + network.latency_s(chance) + delay_s
                if not delay_s:
                    at_s = self._heard_until_s = max(at_s, self._heard_until_s)
                loop.post(at_s, self._context, self._arrives, session, receive, message)

        return sent

    def _arrives(self, session: Session, receive: Receive, message: Message) -> None:
        if session is self._session and self._process.alive:
            receive(message)

    async def _in_time(self, future: "asyncio.Future[Any]", timeout_s: float, subject: str) -> Any:
        self._patience.limit(future, timeout_s, subject)
        self._pending[future] = None
        try:
            return await future
        finally:
            self._pending.pop(future, None)

    def _soon(self, seconds: float, callback: Callable[..., None], *args: object) -> None:
        self._loop.call_later(seconds, callback, *args, context=self._context)


class _Handled:
    """One message at a time. An error of the handler ends nothing."""

    def __init__(self, loop: SimulatedLoop, subject: str, handler: Handler) -> None:
        self._loop, self.subject, self._handler = loop, subject, handler
        self._waiting: deque[Message] = deque()
        self._busy = False

    def take(self, message: Message) -> None:
        self._waiting.append(message)
        if self._busy:
            return
        self._busy = True
        handling = self._handle()
        try:
            waits_for = handling.send(None)
        except (StopIteration, Killed):  # most handlers wait for nothing: no task is made for them
            return
        self._loop.create_task(_go_on(handling, waits_for))

    async def _handle(self) -> None:
        while self._waiting:
            try:
                await self._handler(self._waiting.popleft())
            except Exception as error:  # noqa: BLE001 - as the real one logs it
                self._loop.complaints.append(f"the handler of {self.subject} failed: {error!r}")
        self._busy = False


@types.coroutine
def _go_on(begun: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that has been started without a task."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is for the coroutine, whatever it is
            step = functools.partial(begun.throw, error)
        else:
            step = functools.partial(begun.send, sent)
        try:
            waits_for = step()
        except StopIteration:
            return


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)
