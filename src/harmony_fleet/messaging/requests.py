"""A message, what can go wrong on the way to an answer, and how an answer is read.

Nothing here touches the network: `connection` sends, `keyvalue` speaks to buckets. What arrives
is untrusted: whoever reads it bounds it first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harmony_fleet.contracts.errors import FleetError

NO_MESSAGE: Final = "404"
_BUSY: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    payload: bytes
    headers: Mapping[str, str]
    """Names keep the case that was sent, as NATS compares them; a status line is `Status`."""
    reply: str

    @property
    def status(self) -> str | None:
        """The three digits of a status line from the server itself, if there is one.

        A stored value may hold a header of that name, made by a device so as to end the
        operator's listing: the server's `Nats-Sequence` tells the two apart. (`Nats-Subject` does
        not: the server's own 503 has one, too.)
        """
        return None if "Nats-Sequence" in self.headers else self.headers.get("Status")


class MessagingError(FleetError):
    """The message plane did not do what was asked of it."""

    kind = "messaging"
    retryable = True


class PlaneUnreachable(MessagingError):
    """Not connected just now. Nothing was sent, and nothing will be."""

    kind = "plane_unreachable"


class NoResponders(MessagingError):
    """Nobody listens on the subject. A late listener will not get the request either."""

    kind = "no_responders"


class RequestTimedOut(MessagingError):
    """No answer in time: whether the request was carried out is unknown."""

    kind = "request_timed_out"


class RequestRefused(MessagingError):
    """The server answered with an error, or with something that is not an answer."""

    kind = "request_refused"
    retryable = False

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code
        """JetStream's `err_code`, or a status line's number, or 0."""


class PlaneBusy(RequestRefused):
    """The server cannot take it just now. It did not carry it out."""

    kind = "plane_busy"
    retryable = True


class WrongRevision(RequestRefused):
    """The key changed since it was read. Nothing was written; read again, then decide."""

    kind = "wrong_revision"


def read_answer(answer: Message, what: str) -> dict[str, Any]:
    """The JSON object of a JetStream API answer or acknowledgement.

    Raises:
        RequestRefused: an error answer, with its `err_code`, or no JSON object at all.
    """
    if answer.status is not None:
        description = answer.headers.get("Description", "")
        raise RequestRefused(f"{what}: {answer.status} {description}".rstrip(), int(answer.status))
    try:
        content = json.loads(answer.payload)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"{what}: the answer is not JSON") from error
    if not isinstance(content, dict):
        raise RequestRefused(f"{what}: the answer is not a JSON object")
    if "error" in content:
        raise _refusal(content["error"], what)
    return content


def _refusal(error: Any, what: str) -> RequestRefused:
    if not isinstance(error, dict):
        return RequestRefused(f"{what}: {str(error)[:200]}")
    code = error.get("err_code")
    kind = PlaneBusy if error.get("code") in _BUSY else RequestRefused
    return kind(
        f"{what}: {str(error.get('description', 'refused'))[:200]}",
        code if isinstance(code, int) else 0,
    )
