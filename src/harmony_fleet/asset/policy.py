"""What a download does next: `decide(past, attempt) -> (past, next)`, and nothing else.

Rules
1. Only a verified file lands.
2. Content that cannot be the asset (another size, another digest) is forgiven once; where it
   came into the partial file, that starts over. The second time is final.
3. 404, 410 and every other refusal are final; 408, 425, 429 and 5xx are not.
4. Whatever else goes wrong is tried again from where the partial ends, a bounded number of times
   in a row without a new byte, after a growing wait. A byte is new where the partial has never
   been so long: a server that breaks off at the same place each time makes no progress.
5. Time is bounded: without a byte, and as a whole.

Pure: no clock, no I/O, no random; the jitter is passed in.
"""

from dataclasses import dataclass, replace
from typing import Final, assert_never

from harmony_fleet.asset.errors import (
    AssetMissing,
    AttemptsExhausted,
    DeadlinePassed,
    DigestMismatch,
    DownloadError,
    DownloadStalled,
    RequestRefused,
    SizeMismatch,
)

GONE: Final = frozenset({404, 410})
PASSING: Final = frozenset({408, 425, 429})
"""Those of 4xx that ask to come again: time-out, too early, too many requests."""

DOUBLINGS: Final = 30
"""More would leave the range of a sensible wait, and at last that of a float."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a download may take, and how often it may try. Tests shorten all of them."""

    attempts: int = 10
    """In a row without a new byte."""
    silence_s: float = 60.0
    """Without a new byte while a server is being asked; our own waits between do not count."""
    attempt_silence_s: float = 20.0
    """After this long one connection is dropped, and a new one is tried."""
    connect_s: float = 10.0
    """For connecting, a proxy's tunnel and the TLS handshake: they cannot be cancelled."""
    overall_s: float = 3600.0
    """The bound on a server that drips. What arrived until then is kept for the next call."""
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    retry_after_max_s: float = 300.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Expected:
    """The file that was ordered."""

    size_bytes: int
    sha256: str
    size_is_limit: bool = False
    """The size is only the most that we take; the digest alone says whether it is the file."""

    def allows_total(self, total_bytes: int) -> bool:
        """Whether the asset can be a file of that many bytes."""
        if self.size_is_limit:
            return total_bytes <= self.size_bytes
        return total_bytes == self.size_bytes

    def is_whole(self, held_bytes: int, total_bytes: int | None) -> bool:
        """Whether a body that ended left nothing out. `total_bytes` is what the server said."""
        if self.size_is_limit:
            return total_bytes is None or held_bytes >= total_bytes
        return held_bytes >= self.size_bytes


# What came of one attempt


@dataclass(frozen=True, slots=True)
class Verified:
    """The partial holds the asset, all of it and nothing else."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """No connection, a lost one, a silent one, a body that ended early."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered, but with no part of the file."""

    status: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class RangeRefused:
    """The server does not go on from where the partial ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Distrusted:
    """What the server has, or sent, cannot be the asset."""

    error: SizeMismatch | DigestMismatch
    spoiled: bool
    """Some of it is in the partial."""


Outcome = Verified | Interrupted | Answered | RangeRefused | Distrusted


@dataclass(frozen=True, slots=True)
class Attempt:
    outcome: Outcome
    held_bytes: int
    """In the partial when the attempt ended."""
    silent_s: float
    """Since the attempt's last new byte, or since it began."""
    elapsed_s: float
    """Since the download began."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered from attempt to attempt."""

    best_bytes: int = 0
    fruitless: int = 0
    silent_s: float = 0.0
    forgiven: bool = False


# What to do next


@dataclass(frozen=True, slots=True)
class Land:
    """Give the file its mode and its name."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Wait, then ask for what is missing."""

    after_s: float


@dataclass(frozen=True, slots=True)
class StartOver:
    """Empty the partial, wait, then ask for all of it."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    error: DownloadError
    spoiled: bool = False
    """The partial is of no use to a later call either."""


Next = Land | Resume | StartOver | GiveUp


def decide(past: Past, attempt: Attempt, limits: Limits, jitter: float) -> tuple[Past, Next]:
    """`jitter`, from 0 to 1, picks a wait between half the backoff and all of it."""
    now = _remember(past, attempt)
    match attempt.outcome:
        case Verified():
            return now, Land()
        case Distrusted(error, spoiled) if past.forgiven:
            return now, GiveUp(error, spoiled)
        case Distrusted(error, spoiled):
            now = Past(0 if spoiled else now.best_bytes, 0, now.silent_s, forgiven=True)
            return now, _again(now, attempt, limits, _Again(str(error), jitter, afresh=spoiled))
        case Answered(status, retry_after_s):
            reason = f"the server answered {status}"
            if (final := _final(status)) is not None:
                return now, GiveUp(final)
            return now, _again(now, attempt, limits, _Again(reason, jitter, retry_after_s))
        case Interrupted(reason):
            return now, _again(now, attempt, limits, _Again(reason, jitter))
        case RangeRefused(reason):
            return now, _again(now, attempt, limits, _Again(reason, jitter, afresh=True))
        case _:
            assert_never(attempt.outcome)


def _remember(past: Past, attempt: Attempt) -> Past:
    if attempt.held_bytes > past.best_bytes:
        return replace(past, best_bytes=attempt.held_bytes, fruitless=0, silent_s=attempt.silent_s)
    silent_s = past.silent_s + attempt.silent_s
    return replace(past, fruitless=past.fruitless + 1, silent_s=silent_s)


def _final(status: int) -> DownloadError | None:
    if status in GONE:
        return AssetMissing(f"the server answered {status}: the file is not there; check its URL")
    if 300 <= status < 500 and status not in PASSING:
        return RequestRefused(f"the server answered {status}; check the URL and who may read it")
    return None


@dataclass(frozen=True, slots=True)
class _Again:
    reason: str
    jitter: float
    retry_after_s: float | None = None
    afresh: bool = False


def _again(past: Past, attempt: Attempt, limits: Limits, again: _Again) -> Next:
    wait_s = _wait_s(past, limits, again)
    if past.fruitless >= limits.attempts:
        return GiveUp(
            AttemptsExhausted(
                f"{past.fruitless} attempts brought no new byte, the last because {again.reason}"
            )
        )
    if past.silent_s >= limits.silence_s:
        return GiveUp(
            DownloadStalled(f"no new byte in {past.silent_s:.0f} s of asking: {again.reason}")
        )
    if attempt.elapsed_s + wait_s >= limits.overall_s:
        return GiveUp(
            DeadlinePassed(
                f"not complete within {limits.overall_s:.0f} s, at byte {attempt.held_bytes}"
                f" ({again.reason}); call again to go on from there"
            )
        )
    return StartOver(wait_s) if again.afresh else Resume(wait_s)


def _wait_s(past: Past, limits: Limits, again: _Again) -> float:
    doublings = min(max(past.fruitless - 1, 0), DOUBLINGS)
    backoff_s = min(limits.backoff_max_s, limits.backoff_s * 2.0**doublings)
    asked_s = min(again.retry_after_s or 0.0, limits.retry_after_max_s)
    return max(asked_s, backoff_s * (0.5 + again.jitter / 2))
