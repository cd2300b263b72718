"""A NATS server with JetStream, as far as this project uses one. No clock, no network, no asyncio.

It does at once what it is told, and hands what it sends to whoever subscribed. Time is what its
`now` says. How it behaves is what was measured of nats-server 2.15, one server without a cluster:

* A stream that republishes does so after it has stored, and a write that is refused is not.
* A subscription on a stream's own subject also sees the writes that are refused.
* Memory streams do not outlive the process; of a file stream the last writes may be missing after
  it was cut off, and their sequences are given out again.
* A request that nobody can answer is answered 503, to whoever asked; a direct get without a value
  404, one with a payload 408.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harmony_fleet.messaging.requests import Message
from harmony_fleet.simulation.jetstream import API, JetStream, Watch
from harmony_fleet.simulation.nats_stream import Headers, Stored
from harmony_fleet.simulation.nats_subjects import is_wild, matches

Receive = Callable[[Message], None]

_MOST_MATCHES: Final = 4096


def _nobody(_subject: str, _stored: Stored) -> None:
    """Nobody watches what is stored."""


def _not_told() -> None:
    """By a connection that is closed, and holds its client no more."""


@dataclass(eq=False, slots=True)
class Subscription:
    subject: str
    receive: Receive


class Session:
    """One connection."""

    def __init__(self, server: "NatsServer", gone: Callable[[], None]) -> None:
        self._server, self._gone = server, gone
        self._subscriptions: list[Subscription] = []
        self._inboxes: set[str] = set()
        self.open = True

    def subscribe(self, subject: str, receive: Receive) -> None:
        if self.open:
            subscription = Subscription(subject, receive)
            self._subscriptions.append(subscription)
            self._server._add(subscription)

    def expect(self, inbox: str, receive: Receive) -> None:
        """Subscribe to one subject without wildcards, of which nobody else knows."""
        if self.open:
            self._inboxes.add(inbox)
            self._server._inboxes[inbox] = receive

    def forget(self, inbox: str) -> None:
        self._inboxes.discard(inbox)
        self._server._inboxes.pop(inbox, None)

    def publish(
        self, subject: str, payload: bytes, headers: Headers | None = None, reply: str = ""
    ) -> None:
        if self.open:
            self._server._published(self, Message(subject, payload, headers or {}, reply))

    def close(self) -> None:
        """By the client, who is not told."""
        if not self.open:
            return
        self.open = False
        for subscription in self._subscriptions:
            self._server._remove(subscription)
        for inbox in self._inboxes:
            self._server._inboxes.pop(inbox, None)
        self._server._sessions.pop(self, None)
        self._subscriptions, self._gone = [], _not_told

    def cut(self) -> None:
        if self.open:
            gone = self._gone
            self.close()
            gone()

    def no_responders(self, message: Message) -> None:
        """To this connection alone, where it waits for the answer itself."""
        headers = {"Status": "503", "Nats-Subject": message.subject}
        answer = Message(message.reply, b"", headers, "")
        inbox = self._server._inboxes.get(message.reply)
        if inbox is not None and message.reply in self._inboxes:
            inbox(answer)
            return
        for one in self._subscriptions:
            if matches(one.subject, message.reply):
                one.receive(answer)


class NatsServer:
    def __init__(self, now: Callable[[], float], watch: Watch = _nobody):
        self.jetstream = JetStream(now, watch, self._deliver)
        self.running = True
        self._sessions: dict[Session, None] = {}
        self._literal: dict[str, list[Subscription]] = {}
        self._wild: list[Subscription] = []
        self._inboxes: dict[str, Receive] = {}
        self._matched: dict[str, tuple[Subscription, ...]] = {}
        self._nosy = False
        """Somebody subscribes to others' inboxes."""

    def connect(self, gone: Callable[[], None]) -> Session | None:
        """`gone` is called where the server ends the connection. None: it does not run."""
        if not self.running:
            return None
        session = Session(self, gone)
        self._sessions[session] = None
        return session

    def stop(self, *, losing: int = 0, empty: bool = False) -> None:
        """Killed: every connection is cut, memory streams are gone.

        `losing`: so many last writes of each file stream were not on the disk; `empty`: nothing is.
        """
        self.running = False
        sessions, self._sessions = list(self._sessions), {}
        self.jetstream.crash(losing, empty)
        for session in sessions:
            session.cut()

    def start(self) -> None:
        self.running = True

    # Subjects

    def _add(self, subscription: Subscription) -> None:
        if is_wild(subscription.subject):
            self._wild.append(subscription)
            self._nosy |= subscription.subject.startswith(("_INBOX", ">", "*"))
            self._matched.clear()
        else:
            self._literal.setdefault(subscription.subject, []).append(subscription)

    def _remove(self, subscription: Subscription) -> None:
        if is_wild(subscription.subject):
            self._wild.remove(subscription)
            self._matched.clear()
        else:
            self._literal[subscription.subject].remove(subscription)

    def _deliver(self, message: Message) -> bool:
        """Whether anybody listens."""
        subject = message.subject
        inbox = self._inboxes.get(subject)
        if inbox is not None:
            inbox(message)
            if not self._nosy:
                return True
        literal = self._literal.get(subject)
        if literal:
            for one in tuple(literal):
                one.receive(message)
        wild = self._matched.get(subject)
        if wild is None:
            wild = tuple(one for one in self._wild if matches(one.subject, subject))
            if len(self._matched) >= _MOST_MATCHES:
                self._matched.clear()
            self._matched[subject] = wild
        for one in wild:
            one.receive(message)
        return inbox is not None or bool(literal) or bool(wild)

    def _published(self, session: Session, message: Message) -> None:
        subject = message.subject
        if subject.startswith(API):
            heard = self.jetstream.asked(message)
        else:
            heard = self._deliver(message)
            stream = self.jetstream.home_of(subject)
            if stream is not None:
                self.jetstream.put(stream, message)
                heard = True
        if not heard and message.reply:
            session.no_responders(message)
