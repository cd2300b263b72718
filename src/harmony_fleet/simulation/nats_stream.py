"""One stream of the simulated JetStream: what it holds, what it forgets, what it loses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import floor
from typing import Any, Final

Headers = Mapping[str, str]

_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SECOND_NS: Final = 1_000_000_000
_UNSYNCED_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Stored:
    sequence: int
    payload: bytes
    headers: Headers
    at_s: float


@dataclass(slots=True)
class Stream:
    name: str
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
            if len(self.unsynced) > _UNSYNCED_KEPT:
                del self.unsynced[0]
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


def headers_of(stream: Stream, subject: str, stored: Stored) -> dict[str, str]:
    """As it was sent, and what the server adds."""
    return {
        **stored.headers,
        "Nats-Stream": stream.name,
        "Nats-Subject": subject,
        "Nats-Sequence": str(stored.sequence),
        "Nats-Time-Stamp": timestamp(stored.at_s),
    }


@lru_cache(1024)
def timestamp(now_s: float) -> str:
    """RFC 3339, as the server writes it. Of one instant it is asked several times."""
    seconds = floor(now_s)
    return f"{_whole_second(seconds)}.{int((now_s - seconds) * 1e6):06}Z"


@lru_cache(1024)
def _whole_second(seconds: int) -> str:
    return (_BEGAN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
