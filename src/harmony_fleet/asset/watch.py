"""The clock of one download: it ends what is no longer wanted, silent, or late.

It raises where the download waits; what follows from it is the policy's to decide.
"""

import threading
from time import monotonic

from harmony_fleet.asset.errors import ConnectionLost, DownloadCancelled
from harmony_fleet.asset.policy import Limits


class Watch:
    """Made when the download begins. One thread uses it; any thread may set `cancelled`."""

    def __init__(self, limits: Limits, cancelled: threading.Event | None) -> None:
        self._limits = limits
        self._cancelled = cancelled or threading.Event()
        self._began = self._heard = self._grew = monotonic()

    def begin_attempt(self) -> None:
        """As `check`; and the time between attempts is nobody's silence."""
        self.check()
        self._heard = self._grew = monotonic()

    def heard(self) -> None:
        """The server sent anything at all."""
        self._heard = monotonic()

    def grew(self) -> None:
        """A byte of the file is in the partial."""
        self._grew = monotonic()

    @property
    def silent_s(self) -> float:
        return monotonic() - self._grew

    @property
    def elapsed_s(self) -> float:
        return monotonic() - self._began

    def check(self) -> None:
        """Raises DownloadCancelled where the caller no longer wants the file."""
        if self._cancelled.is_set():
            raise DownloadCancelled("the download was cancelled; what arrived is kept")

    def check_server(self) -> None:
        """As `check`; and raises ConnectionLost where this connection had its time."""
        self.check()
        limit_s = min(self._limits.attempt_silence_s, self._limits.silence_s)
        if monotonic() - self._heard >= limit_s:
            raise ConnectionLost(f"the server was silent for {limit_s:g} s")
        if self.elapsed_s >= self._limits.overall_s:
            raise ConnectionLost("the time for the whole download is over")

    def wait(self, seconds: float) -> None:
        """Raises DownloadCancelled as soon as the caller no longer wants the file."""
        self._cancelled.wait(seconds)
        self.check()
