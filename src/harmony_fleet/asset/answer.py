"""What a server's answer means: which part of the file follows, or why none does.

Pure: it reads header values, never the body. The file's content is judged by its digest alone,
so no entity tag is kept: a resumed file that changed meanwhile fails there and starts over.
"""

import re
import string
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from harmony_fleet.asset.errors import RedirectRefused, SizeMismatch
from harmony_fleet.asset.policy import Answered, Distrusted, Expected, Interrupted, RangeRefused
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_url

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_CONTENT_RANGE: Final = re.compile(
    r"bytes +([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)", re.IGNORECASE
)
"""RFC 9110, section 14.4, without the unsatisfied form, which only a 416 carries."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and the headers that matter, as they came."""

    status: int
    content_length: str | None = None
    content_range: str | None = None
    content_encoding: str | None = None
    transfer_encoding: str | None = None
    retry_after: str | None = None
    date: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Begins:
    """The body is the file, from this byte on."""

    at_byte: int
    total_bytes: int | None
    """The size of the whole file, where the server says it."""


@dataclass(frozen=True, slots=True)
class ContentRange:
    first: int
    last: int
    total: int | None


Meaning = Begins | Interrupted | Answered | RangeRefused | Distrusted


def judge(answer: Answer, asked_from: int, expected: Expected) -> Meaning:
    """What `answer` means to one who asked for the file from byte `asked_from` on."""
    if answer.status == 206 and not _encoded(answer):
        return _judge_range(answer.content_range, asked_from, expected)
    if answer.status == 416 and asked_from > 0:
        return RangeRefused(f"the server refuses to go on from byte {asked_from}")
    return _judge_whole(answer, expected)


def judge_first_byte(answer: Answer, expected: Expected) -> Meaning:
    """What `answer` means to one who asked for the file's first byte alone, to know its size.

    A server without ranges begins to send the whole file instead; it can be downloaded as well.
    """
    if answer.status != 206 or _encoded(answer):
        return _judge_whole(answer, expected)
    found = parse_content_range(answer.content_range)
    if found is None or found.first != 0:
        return RangeRefused(f"asked for byte 0, the server sent {answer.content_range!r}")
    return _begins(0, found.total, expected)


def _encoded(answer: Answer) -> str | None:
    """By what the body is encoded, which was not asked for."""
    encoding = (answer.content_encoding or "identity").strip().lower()
    return None if encoding == "identity" else encoding


def _judge_whole(answer: Answer, expected: Expected) -> Meaning:
    if answer.status in {200, 206} and (encoding := _encoded(answer)):
        return Interrupted(f"the server sent it encoded ({encoding!r}), which was not asked for")
    if answer.status == 200:
        total = None if answer.transfer_encoding else _number(answer.content_length)
        return _begins(0, total, expected)
    return Answered(answer.status, parse_retry_after(answer.retry_after, answer.date))


def _judge_range(text: str | None, asked_from: int, expected: Expected) -> Meaning:
    found = parse_content_range(text)
    if asked_from == 0 or found is None or found.first != asked_from:
        return RangeRefused(f"asked for all from byte {asked_from}, the server sent {text!r}")
    return _begins(asked_from, found.total, expected)


def _begins(at_byte: int, total: int | None, expected: Expected) -> Begins | Distrusted:
    if total is None or expected.allows_total(total):
        return Begins(at_byte, total)
    return Distrusted(
        SizeMismatch(f"the server has {total} bytes, {expected.size_bytes} were announced"),
        spoiled=False,
    )


def check_redirect(from_url: str, location: str) -> str:
    """The absolute URL that `location` leads to.

    Raises:
        RedirectRefused: not http or https, from https to http, with credentials, or malformed.
    """
    try:
        quoted = quote(location, safe=string.punctuation, encoding="iso-8859-1", errors="replace")
        target = check_url(urljoin(from_url, quoted))
    except (InvalidValue, ValueError) as error:
        raise RedirectRefused(f"redirected to what we do not follow: {error}") from error
    if urlsplit(from_url).scheme == "https" and urlsplit(target).scheme != "https":
        raise RedirectRefused(f"redirected from https to {target}, which is not protected")
    return target


def parse_content_range(text: str | None) -> ContentRange | None:
    """None unless `text` is a range that lies within its own total."""
    match = _CONTENT_RANGE.fullmatch((text or "").strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first > last or (total is not None and last >= total):
        return None
    return ContentRange(first, last, total)


def parse_retry_after(text: str | None, date: str | None) -> float | None:
    """Seconds to wait, never negative; None where the header is absent or cannot be understood.

    A date is taken relative to the answer's own `Date`: this device's clock need not be right.
    """
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return float(seconds)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(date or "")
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if _DIGITS.fullmatch(stripped) else None
