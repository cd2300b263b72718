"""The device's clocks: the boot clock for durations, the wall clock for people only.

The boot clock is CLOCK_MONOTONIC of clock_gettime(2): seconds since the boot, but for those in
which the machine slept. A version that slept was not out of contact.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from harmony_fleet.agent.config import ConfigError
from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_token


class BootClock:
    """A ports.Clock. Raises ConfigError where the boot's id cannot be read."""

    def __init__(self, boot_id_file: Path) -> None:
        try:
            self.boot_id = check_token(boot_id_file.read_text(encoding="ascii").strip())
        except (OSError, ValueError, InvalidValue) as error:
            raise ConfigError(f"no boot id in {boot_id_file}: {error}") from error

    def boot_time(self) -> BootTime:
        return BootTime(self.boot_id, time.clock_gettime(time.CLOCK_MONOTONIC))

    async def sleep(self, seconds: float) -> None:
        import asyncio  # the guard needs this clock, and no event loop

        await asyncio.sleep(seconds)


def rfc3339() -> str:
    """Now, for people: nothing is decided by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
