"""`DownloadableAsset.fetch`: asks, gathers, and does what the policy says, until the file landed.

The decisions are in `policy` and `answer`, the disk is in `landing`, the network in `http`.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from harmony_fleet.asset import http
from harmony_fleet.asset.answer import Begins, judge
from harmony_fleet.asset.errors import (
    ConnectionLost,
    DigestMismatch,
    SizeMismatch,
)
from harmony_fleet.asset.landing import Partial, already_there, open_partial
from harmony_fleet.asset.policy import (
    Attempt,
    Distrusted,
    Expected,
    GiveUp,
    Interrupted,
    Land,
    Limits,
    Outcome,
    Past,
    Resume,
    StartOver,
    Verified,
    decide,
)
from harmony_fleet.asset.watch import Watch
from harmony_fleet.contracts.identity import check_count, check_sha256, check_url

if TYPE_CHECKING:
    import ssl

DEFAULT_LIMITS: Final = Limits()

Progress = Callable[[int], None]
"""Told how many bytes of the file are here, at most once for each buffer; falls when starting over.
"""


@dataclass(frozen=True, slots=True)
class DownloadableAsset:
    """A file that is known before it is fetched: where it is, how long it is, and its SHA-256.

    Raises:
        InvalidValue: on construction, where one of them has not its form.
    """

    url: str
    size_bytes: int
    sha256: str
    size_is_limit: bool = False
    """For publishers that name no size: `size_bytes` is then only the most that we take."""
    trust: "ssl.SSLContext | None" = field(default=None, repr=False, compare=False)
    """Which https servers are believed; None: those that the system's authorities vouch for."""

    def __post_init__(self) -> None:
        check_url(self.url)
        check_count(self.size_bytes, "size in bytes", minimum=1)
        check_sha256(self.sha256)

    def fetch(
        self,
        destination: Path,
        *,
        limits: Limits = DEFAULT_LIMITS,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
        mode: int = 0o644,
    ) -> None:
        """The verified file is at `destination`, durable and with `mode`, when this returns.

        A file that is there already and has the digest is used, without a request. Otherwise it
        goes on from what an earlier call left beside it. It blocks, for `limits.overall_s` at
        most (and the time to hash what was left): call it in a thread. The destination's folder
        must exist.

        Raises:
            DownloadError: one of `asset.errors`; the final path is as it was. Where it is
                retryable, calling again goes on from the bytes that arrived.
        """
        watch = Watch(limits, cancelled)
        expected = Expected(self.size_bytes, self.sha256, self.size_is_limit)
        if already_there(destination, expected, mode, watch.check):
            return
        with open_partial(destination, expected) as partial:
            partial.take_over(watch.check)
            download = _Download(self.url, self.trust, expected, partial, watch, limits)
            download.run(progress or _ignore)
            partial.land(mode)


def _ignore(_held_bytes: int) -> None:
    """For callers who do not care how far it is."""


@dataclass(frozen=True, slots=True)
class _Download:
    url: str
    trust: "ssl.SSLContext | None"
    expected: Expected
    partial: Partial
    watch: Watch
    limits: Limits

    def run(self, progress: Progress) -> None:
        """Returns once the partial is verified."""
        past = Past(best_bytes=self.partial.held_bytes)
        while True:
            self.watch.begin_attempt()
            outcome, lost = self._attempt(progress)
            attempt = Attempt(
                outcome, self.partial.held_bytes, self.watch.silent_s, self.watch.elapsed_s
            )
            past, following = decide(past, attempt, self.limits, random.random())
            match following:
                case Land():
                    return
                case Resume(after_s):
                    self.watch.wait(after_s)
                case StartOver(after_s):
                    self.partial.empty()
                    self.watch.wait(after_s)
                case GiveUp(error, spoiled):
                    if spoiled:
                        self.partial.remove()
                    raise error from lost
                case _:
                    assert_never(following)

    def _attempt(self, progress: Progress) -> tuple[Outcome, ConnectionLost | None]:
        if self._nothing_is_missing():
            return self._verify(), None
        self.partial.refuse_unless_space()
        try:
            return self._ask(progress), None
        except ConnectionLost as lost:
            if self.partial.is_verified():
                return Verified(), None
            return Interrupted(str(lost)), lost

    def _nothing_is_missing(self) -> bool:
        return self.partial.held_bytes >= self.expected.size_bytes or self.partial.is_verified()

    def _ask(self, progress: Progress) -> Outcome:
        held_bytes = self.partial.held_bytes
        ask = http.Ask(self.url, held_bytes)
        with http.get(ask, self.limits, self.watch, self.trust) as (answer, body):
            meaning = judge(answer, held_bytes, self.expected)
            if not isinstance(meaning, Begins):
                return meaning
            if meaning.at_byte < held_bytes:
                self.partial.empty()
            too_much = self._gather(body, progress)
        if too_much is not None:
            return too_much
        if not self.expected.is_whole(self.partial.held_bytes, meaning.total_bytes):
            return Interrupted(f"the body ended at byte {self.partial.held_bytes}")
        return self._verify()

    def _gather(self, body: http.Body, progress: Progress) -> Distrusted | None:
        """One byte more than the asset has is asked for, to know; it is never written."""
        while True:
            room_bytes = self.expected.size_bytes - self.partial.held_bytes
            data = body.read(room_bytes + 1)
            if not data:
                return None
            if len(data) > room_bytes:
                message = f"the server sends more than {self.expected.size_bytes} bytes"
                return Distrusted(SizeMismatch(message), spoiled=True)
            self.partial.append(data)
            self.watch.grew()
            progress(self.partial.held_bytes)

    def _verify(self) -> Outcome:
        try:
            self.partial.refuse_unless_verified()
        except (SizeMismatch, DigestMismatch) as error:
            return Distrusted(error, spoiled=True)
        return Verified()
