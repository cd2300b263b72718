"""The machine's clock and its random numbers, behind the operator's ports."""

import asyncio
import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RandomIds:
    def upgrade_id(self) -> str:
        return secrets.token_hex(16)

    def nonce(self) -> str:
        return secrets.token_hex(8)
