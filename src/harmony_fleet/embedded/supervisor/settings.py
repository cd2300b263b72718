"""Where things lie below a pretended device's root, and how long its supervisor waits for them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.codec import decode
from harmony_fleet.contracts.errors import InvalidValue

UNIT: Final = "fleet-agent"
CANDIDATE: Final = "fleet-agent-candidate"
DEADMAN: Final = "fleet-agent-deadman"
SUPERVISOR: Final = "supervisor"
"""Names in the supervisor's log, and of logs: each is `<name>.log`."""
GUARD: Final = "fleet-agent-guard"
TRANSIENT: Final = "transient"
"""Names in the supervisor's log only."""


class MachineRoot:
    """The folders of a real device, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.versions = self.root / "usr/bin"
        self.link = self.root / "usr/local/bin/fleet-agent"
        self.previous = self.root / "usr/local/lib/fleet-agent/previous"
        self.state = self.root / "var/lib/fleet-agent"
        self.attempt_open = self.state / "attempt-open"
        self.log = self.root / "var/log/fleet-agent"
        self.run = self.root / "run/fleet-agent"
        self.config = self.root / "etc/fleet-agent/config.toml"
        self.credentials = self.root / "etc/fleet-agent/device.creds"
        self.ca = self.root / "etc/fleet-agent/ca.pem"
        self.settings = self.root / "supervisor.json"
        self.lock = self.run / "supervisor.lock"


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds; the defaults are those of the service unit."""

    interpreter: str | None = sys.executable
    """Runs the agent's files, as `process.command` says; None: they run themselves."""
    guard_limit_s: float = 20.0
    guard_kill_s: float = 2.0
    """After TERM, for the guard and whatever else runs once."""
    start_limit_s: float = 60.0
    watchdog_s: float = 30.0
    stop_limit_s: float = 20.0
    restart_s: float = 0.2
    deadman_s: float = 60.0
    expired_limit_s: float = 90.0
    """For `guard --expired`, which runs the old version's self-test."""
    log_bytes: int = 1 << 20
    """Of each log; the one before it is kept beside it."""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < 1e9:
                raise InvalidValue(f"{name} {getattr(self, name)} is not more than 0")


_POSITIVE: Final = tuple(name for name in Settings.__slots__ if name != "interpreter")


def read_settings(path: Path) -> Settings:
    """The defaults where there is no such file.

    Raises:
        MalformedMessage: it is not JSON, or holds a value that makes no sense.
    """
    try:
        return decode(Settings, path.read_bytes())
    except FileNotFoundError:
        return Settings()
