"""Where to connect, as whom, and at what pace."""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_server
from harmony_fleet.messaging.credentials import Credentials

_INBOX_PREFIX: Final = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    servers: tuple[str, ...]
    """`tls://host:port`, or `nats://` for one without TLS; tried in random order. Servers that a
    cluster advertises are not used: what it calls itself inside is often out of a device's reach.
    """
    credentials: Credentials
    name: str
    """Shown in the server's list of connections."""
    inbox_prefix: str
    ca: Path | None = None
    """The file of the authority that vouches for the `tls://` servers; None: the system's own."""

    def __post_init__(self) -> None:
        """Raises InvalidValue: a mistake here would otherwise be retried for ever."""
        if not self.servers:
            raise InvalidValue("the message plane needs at least one server")
        for server in self.servers:
            check_server(server)
        if _INBOX_PREFIX.fullmatch(self.inbox_prefix) is None:
            raise InvalidValue(f"{self.inbox_prefix[:80]!r} is not the beginning of a subject")

    @property
    def asks_for_tls(self) -> bool:
        """Of any of its servers."""
        return any(server.startswith("tls://") for server in self.servers)


@dataclass(frozen=True, slots=True)
class Timing:
    connect_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    """A server that answers no ping is given up after two intervals."""
    first_retry_s: float = 0.1
    longest_retry_s: float = 30.0
    steady_after_s: float = 10.0
    """A connection that lasted this long starts the delays from the first again."""

    def retry_delay_s(self, attempt: int) -> float:
        """Before the attempt of that number, from 0: doubling, and spread by half either way."""
        mean = self.first_retry_s * 2.0 ** min(attempt, 32)
        return min(self.longest_retry_s, mean) * random.uniform(0.5, 1.5)
