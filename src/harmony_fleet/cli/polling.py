"""Asking the operator again and again, and surviving its absence.

Only `upgrade --wait`, `--watch` and `--follow` do this. An operator that was reached once and is
gone is expected back, perhaps at another port: each attempt reads the data folder anew.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.errors import CommandFailed
from harmony_fleet.cli.output import remark
from harmony_fleet.cli.settings import Settings

POLL_S: Final = 0.3
LONGEST_S: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lost:
    """The operator did not answer this time."""

    sentence: str


class Deadline:
    """`limit_s` seconds from now; None: never."""

    def __init__(self, limit_s: float | None) -> None:
        self._began_s, self._limit_s = time.monotonic(), limit_s

    @property
    def passed(self) -> bool:
        return self._limit_s is not None and self.elapsed_s >= self._limit_s

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def sleep(self, seconds: float) -> None:
        left = seconds if self._limit_s is None else self._limit_s - self.elapsed_s
        time.sleep(max(0.0, min(seconds, left)))


def poll(
    settings: Settings, ask: Callable[[FleetClient], T], deadline: Deadline
) -> Iterator[T | Lost]:
    """Answers until the deadline, and Lost where none came; the first absence is an error.

    Raises what `ask` does, where asking again cannot help.
    """
    client, delay_s, reached = settings.connect(), POLL_S, False
    try:
        while True:
            try:
                answer: T | Lost = ask(client)
                reached, delay_s = True, POLL_S
            except CommandFailed as error:
                if not (reached and error.retryable):
                    raise
                answer, delay_s = Lost(str(error)), min(2 * delay_s, LONGEST_S)
                client = _again(settings, client)
            yield answer
            if deadline.passed:
                return
            deadline.sleep(delay_s)
    finally:
        client.close()


def answers(settings: Settings, ask: Callable[[FleetClient], T]) -> Iterator[T]:
    """Answers only, for ever; each absence of the operator is remarked on once."""
    lost = False
    for answer in poll(settings, ask, Deadline(None)):
        if isinstance(answer, Lost):
            if not lost:
                remark(f"fleet: {answer.sentence} (trying again)")
            lost = True
        else:
            lost = False
            yield answer


def _again(settings: Settings, client: FleetClient) -> FleetClient:
    """A client of what the data folder says now; the old one while it says nothing."""
    try:
        fresh = settings.connect()
    except CommandFailed:
        return client
    client.close()
    return fresh
