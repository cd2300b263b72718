"""The simulated JetStream: what it does about a write, and what it answers. No clock."""

import json
from collections.abc import Callable
from typing import Any, Final

from harmony_fleet.messaging.requests import Message
from harmony_fleet.simulation.nats_stream import Headers, Stored, Stream, headers_of, timestamp
from harmony_fleet.simulation.nats_subjects import matches, transformed

API: Final = "$JS.API."
_DIRECT: Final = "$JS.API.DIRECT.GET."
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_UNCHANGEABLE: Final = ("storage", "retention", "name")
_MOST_HOMES: Final = 4096

Watch = Callable[[str, Stored], None]
"""Told of a subject and what was stored under it, before anybody else is."""


class JetStream:
    def __init__(
        self, now: Callable[[], float], watch: Watch, deliver: Callable[[Message], object]
    ) -> None:
        self._now, self._watch, self._deliver = now, watch, deliver
        self.streams: dict[str, Stream] = {}
        self._homes: dict[str, Stream | None] = {}

    def make(self, config: dict[str, Any]) -> None:
        """As STREAM.CREATE does."""
        self._create(str(config["name"]), config)

    def sync(self) -> None:
        """What was stored until now survives."""
        for stream in self.streams.values():
            stream.unsynced.clear()

    def crash(self, losing: int, empty: bool) -> None:
        """As `NatsServer.stop`."""
        for name in list(self.streams):
            stream = self.streams[name]
            if empty or not stream.on_disk:
                del self.streams[name]
            else:
                stream.lose(losing)
        self._homes.clear()

    def _answer(self, message: Message, payload: bytes, headers: Headers | None = None) -> None:
        if message.reply:
            self._deliver(Message(message.reply, payload, headers or {}, ""))

    def home_of(self, subject: str) -> Stream | None:
        if subject not in self._homes:
            found = (
                stream
                for stream in self.streams.values()
                if any(matches(wanted, subject) for wanted in stream.config["subjects"])
            )
            if len(self._homes) >= _MOST_HOMES:
                self._homes.clear()
            self._homes[subject] = next(found, None)
        return self._homes[subject]

    def put(self, stream: Stream, message: Message) -> None:
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
        headers = headers_of(stream, subject, stored)
        headers["Nats-Last-Sequence"] = str(before.sequence if before else 0)
        payload = stored.payload
        if wanted.get("headers_only"):
            headers["Nats-Msg-Size"], payload = str(len(payload)), b""
        self._deliver(Message(target, payload, headers, ""))

    def asked(self, message: Message) -> bool:
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
        kind, _, name = subject.removeprefix(API).rpartition(".")
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
        self._answer(message, stored.payload, headers_of(stream, key, stored))

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
            headers = headers_of(stream, subject, stored)
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
        held = f'"messages":{len(stream.last)},"last_seq":{stream.last_sequence}'
        state = f'{{{held},"first_seq":{first.sequence if first else none_left}}}'
        about = f'"created":"{stream.created}","state":{state}'
        return f'{{"config":{stream.config_text()},{about}}}'.encode()

    def _create(self, name: str, config: dict[str, Any]) -> bytes:
        there = self.streams.get(name)
        if there is not None and there.config != _said(config):
            return _refused(400, 10058, "stream name already in use with a different configuration")
        if there is None:
            self.streams[name] = Stream(name, _said(config), timestamp(self._now()))
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


def _status(code: str, description: str) -> dict[str, str]:
    return {"Status": code, "Description": description}


def _error(code: int, err_code: int, description: str) -> dict[str, Any]:
    return {"code": code, "err_code": err_code, "description": description}


def _refused(code: int, err_code: int, description: str) -> bytes:
    return json.dumps({"error": _error(code, err_code, description)}).encode()
