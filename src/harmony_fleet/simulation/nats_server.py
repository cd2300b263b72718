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

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import floor
from typing import Any, Final

from harmony_fleet.messaging.requests import Message

Receive = Callable[[Message], None]
Headers = Mapping[str, str]

_API: Final = "$JS.API."
_DIRECT: Final = "$JS.API.DIRECT.GET."
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SECOND_NS: Final = 1_000_000_000
_UNSYNCED_KEPT: Final = 256
_UNCHANGEABLE: Final = ("storage", "retention", "name")
_MOST_MATCHES: Final = 4096


@dataclass(frozen=True, slots=True)
class Stored:
    sequence: int
    payload: bytes
    headers: Headers
    at_s: float


@dataclass(slots=True)
class Stream:
    config: dict[str, Any]
    created: str
    last_sequence: int = 0
    last: dict[str, Stored] = field(default_factory=dict)
    """By subject, oldest first."""
    unsynced: list[tuple[str, Stored | None]] = field(default_factory=list)
    """The last writes' subjects, and what each of them replaced."""
    _config_of: dict[str, Any] | None = None
    _config_text: str = ""

    @property
    def name(self) -> str:
        return str(self.config["name"])

    @property
    def on_disk(self) -> bool:
        return self.config.get("storage") == "file"

    def config_text(self) -> str:
        if self._config_of is not self.config:
            self._config_of, self._config_text = self.config, json.dumps(self.config)
        return self._config_text

    def expire(self, now_s: float) -> None:
        age_s = self.config.get("max_age", 0) / _SECOND_NS
        while age_s and self.last:
            subject, oldest = next(iter(self.last.items()))
            if oldest.at_s + age_s > now_s:
                return
            del self.last[subject]

    def store(self, subject: str, payload: bytes, headers: Headers, now_s: float) -> Stored:
        self.last_sequence += 1
        stored = Stored(self.last_sequence, payload, headers, now_s)
        before = self.last.pop(subject, None)
        self.last[subject] = stored
        if self.on_disk:
            self.unsynced.append((subject, before))
            del self.unsynced[:-_UNSYNCED_KEPT]
        return stored

    def lose(self, writes: int) -> int:
        """How many of the last writes are gone, their sequences with them."""
        lost = min(writes, len(self.unsynced), self.last_sequence)
        for _ in range(lost):
            subject, before = self.unsynced.pop()
            self.last.pop(subject, None)
            if before is not None:
                self.last[subject] = before
            self.last_sequence -= 1
        in_order = sorted(self.last.items(), key=lambda pair: pair[1].sequence)
        self.last = dict(in_order)
        return lost


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

    def cut(self) -> None:
        if self.open:
            self.close()
            self._gone()

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


Watch = Callable[[str, Stored], None]
"""Told of a subject and what was stored under it, before anybody else is."""


class NatsServer:
    def __init__(self, now: Callable[[], float], watch: Watch = lambda _subject, _stored: None):
        self._now, self._watch = now, watch
        self.streams: dict[str, Stream] = {}
        self.running = True
        self._sessions: dict[Session, None] = {}
        self._literal: dict[str, list[Subscription]] = {}
        self._wild: list[Subscription] = []
        self._inboxes: dict[str, Receive] = {}
        self._matched: dict[str, tuple[Subscription, ...]] = {}
        self._homes: dict[str, Stream | None] = {}
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
        for name in list(self.streams):
            stream = self.streams[name]
            if empty or not stream.on_disk:
                del self.streams[name]
            else:
                stream.lose(losing)
        self._homes.clear()
        for session in sessions:
            session.cut()

    def start(self) -> None:
        self.running = True

    def make(self, config: dict[str, Any]) -> None:
        """As STREAM.CREATE does."""
        self._create(str(config["name"]), config)

    def sync(self) -> None:
        """What was stored until now survives."""
        for stream in self.streams.values():
            stream.unsynced.clear()

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
        literal = self._literal.get(subject, ())
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
        if subject.startswith(_API):
            heard = self._asked(message)
        else:
            heard = self._deliver(message)
            stream = self._home_of(subject)
            if stream is not None:
                self._put(stream, message)
                heard = True
        if not heard and message.reply:
            session.no_responders(message)

    def _answer(self, message: Message, payload: bytes, headers: Headers | None = None) -> None:
        if message.reply:
            self._deliver(Message(message.reply, payload, headers or {}, ""))

    # JetStream

    def _home_of(self, subject: str) -> Stream | None:
        if subject not in self._homes:
            found = (
                stream
                for stream in self.streams.values()
                if any(matches(wanted, subject) for wanted in stream.config["subjects"])
            )
            if len(self._homes) >= _MOST_MATCHES:
                self._homes.clear()
            self._homes[subject] = next(found, None)
        return self._homes[subject]

    def _put(self, stream: Stream, message: Message) -> None:
        refusal = self._refusal(stream, message)
        if refusal is not None:
            answer = {"error": refusal, "stream": stream.name, "seq": 0}
            self._answer(message, json.dumps(answer).encode())
            return
        now_s = self._now()
        before = stream.last.get(message.subject)
        stored = stream.store(message.subject, message.payload, message.headers, now_s)
        self._watch(message.subject, stored)
        self._answer(
            message, b'{"stream":"%b", "seq":%d}' % (stream.name.encode(), stored.sequence)
        )
        self._republish(stream, message.subject, stored, before)

    def _refusal(self, stream: Stream, message: Message) -> dict[str, Any] | None:
        limit = stream.config.get("max_msg_size", -1)
        if 0 <= limit < len(message.payload):
            return _error(400, 10054, "message size exceeds maximum allowed")
        expected = message.headers.get(_EXPECTED)
        if expected is None:
            return None
        stream.expire(self._now())
        there = stream.last.get(message.subject)
        sequence = there.sequence if there else 0
        if str(sequence) == expected:
            return None
        return _error(400, 10071, f"wrong last sequence: {sequence}")

    def _republish(
        self, stream: Stream, subject: str, stored: Stored, before: Stored | None
    ) -> None:
        wanted = stream.config.get("republish")
        if not wanted:
            return
        target = transformed(wanted["src"], wanted["dest"], subject)
        if target is None:
            return
        headers = dict(stored.headers) | _headers_of(stream, subject, stored)
        headers["Nats-Last-Sequence"] = str(before.sequence if before else 0)
        payload = stored.payload
        if wanted.get("headers_only"):
            headers["Nats-Msg-Size"], payload = str(len(payload)), b""
        self._deliver(Message(target, payload, headers, ""))

    def _asked(self, message: Message) -> bool:
        """Whether there is somebody to answer."""
        subject = message.subject
        if subject.startswith(_DIRECT):
            name, _, key = subject.removeprefix(_DIRECT).partition(".")
            stream = self.streams.get(name)
            if stream is None or not stream.config.get("allow_direct"):
                return False
            stream.expire(self._now())
            if key:
                self._direct(stream, key, message)
            else:
                self._batch(stream, message)
            return True
        kind, _, name = subject.removeprefix(_API).rpartition(".")
        match kind:
            case "STREAM.INFO":
                self._answer(message, self._info(name))
            case "STREAM.CREATE":
                self._answer(message, self._create(name, json.loads(message.payload)))
            case "STREAM.UPDATE":
                self._answer(message, self._update(name, json.loads(message.payload)))
            case "STREAM.DELETE":
                self._answer(message, self._delete(name))
            case _:
                return False
        return True

    def _direct(self, stream: Stream, key: str, message: Message) -> None:
        if message.payload:
            self._answer(message, b"", _status("408", "Malformed Request"))
            return
        stored = stream.last.get(key)
        if stored is None:
            self._answer(message, b"", _status("404", "Message Not Found"))
            return
        self._answer(
            message, stored.payload, dict(stored.headers) | _headers_of(stream, key, stored)
        )

    def _batch(self, stream: Stream, message: Message) -> None:
        asked = json.loads(message.payload)
        after, wanted = asked.get("seq", 1), asked.get("next_by_subj", ">")
        found = [
            (subject, stored)
            for subject, stored in stream.last.items()
            if stored.sequence >= after and matches(wanted, subject)
        ]
        page = found[: asked["batch"]]
        if not page:
            self._answer(message, b"", _status("404", "Message Not Found"))
            return
        before = 0
        for number, (subject, stored) in enumerate(page, 1):
            headers = dict(stored.headers) | _headers_of(stream, subject, stored)
            headers["Nats-Num-Pending"] = str(len(found) - number)
            headers["Nats-Last-Sequence"] = str(before)
            self._answer(message, stored.payload, headers)
            before = stored.sequence
        end = _status("204", "EOB")
        end |= {"Nats-Num-Pending": str(len(found) - len(page)), "Nats-Last-Sequence": str(before)}
        self._answer(message, b"", end)

    def _info(self, name: str) -> bytes:
        stream = self.streams.get(name)
        if stream is None:
            return _refused(404, 10059, "stream not found")
        stream.expire(self._now())
        first = next(iter(stream.last.values()), None)
        none_left = stream.last_sequence and stream.last_sequence + 1
        state = {
            "messages": len(stream.last),
            "first_seq": first.sequence if first else none_left,
            "last_seq": stream.last_sequence,
        }
        about = f'"created":"{stream.created}","state":{json.dumps(state)}'
        return f'{{"config":{stream.config_text()},{about}}}'.encode()

    def _create(self, name: str, config: dict[str, Any]) -> bytes:
        there = self.streams.get(name)
        if there is not None and there.config != _said(config):
            return _refused(400, 10058, "stream name already in use with a different configuration")
        if there is None:
            self.streams[name] = Stream(_said(config), timestamp(self._now()))
            self._homes.clear()
        return self._info(name)

    def _update(self, name: str, config: dict[str, Any]) -> bytes:
        stream = self.streams.get(name)
        if stream is None:
            return _refused(404, 10059, "stream not found")
        if any(stream.config.get(key) != config.get(key) for key in _UNCHANGEABLE):
            return _refused(500, 10052, "stream configuration update can not change storage type")
        stream.config = _said(config)
        self._homes.clear()
        return self._info(name)

    def _delete(self, name: str) -> bytes:
        if self.streams.pop(name, None) is None:
            return _refused(404, 10059, "stream not found")
        self._homes.clear()
        return json.dumps({"success": True}).encode()


def _said(config: dict[str, Any]) -> dict[str, Any]:
    """The server leaves out what is false."""
    return {
        name: _said(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if value is not False
    }


def is_wild(subject: str) -> bool:
    return "*" in subject or ">" in subject


def matches(pattern: str, subject: str) -> bool:
    if pattern == subject:
        return True
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(found) <= len(wanted):
            return False
    elif len(wanted) != len(found):
        return False
    return all(one in {"*", there} for one, there in zip(wanted, found, strict=False))


@lru_cache(_MOST_MATCHES)
def transformed(source: str, target: str, subject: str) -> str | None:
    """What a republish rule makes of a subject; None where it is not about that one."""
    if not matches(source, subject):
        return None
    stars = _stars(source, subject)
    for number, token in enumerate(stars, 1):
        target = target.replace(f"{{{{wildcard({number})}}}}", token)
    return target


def _stars(pattern: str, subject: str) -> Iterator[str]:
    pairs = zip(pattern.split("."), subject.split("."), strict=False)
    return (token for wanted, token in pairs if wanted == "*")


def timestamp(now_s: float) -> str:
    """RFC 3339, as the server writes it."""
    seconds = floor(now_s)
    return f"{_whole_second(seconds)}.{int((now_s - seconds) * 1e6):06}Z"


@lru_cache(1024)
def _whole_second(seconds: int) -> str:
    return (_BEGAN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def _headers_of(stream: Stream, subject: str, stored: Stored) -> dict[str, str]:
    return {
        "Nats-Stream": stream.name,
        "Nats-Subject": subject,
        "Nats-Sequence": str(stored.sequence),
        "Nats-Time-Stamp": timestamp(stored.at_s),
    }


def _status(code: str, description: str) -> dict[str, str]:
    return {"Status": code, "Description": description}


def _error(code: int, err_code: int, description: str) -> dict[str, Any]:
    return {"code": code, "err_code": err_code, "description": description}


def _refused(code: int, err_code: int, description: str) -> bytes:
    return json.dumps({"error": _error(code, err_code, description)}).encode()
