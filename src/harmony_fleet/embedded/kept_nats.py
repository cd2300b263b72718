"""Keeps the embedded NATS server running: one that ends unasked is started again on its port.

Devices and operator reconnect by themselves, and say again what the server lost.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.embedded.nats import EmbeddedNats
from harmony_fleet.embedded.nats_configuration import Listening

logger = logging.getLogger(__name__)

BACKOFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before the next try; the last repeats."""


class KeptNats:
    """Made by `start`; its URL and port stay the same across restarts."""

    def __init__(
        self, folder: Path, server: Path | None, listening: Listening, running: EmbeddedNats
    ) -> None:
        self._folder, self._server, self._running = folder, server, running
        self._listening = listening
        self.url, self.port = running.url, running.port
        self._keeper = asyncio.create_task(self._keep())

    @classmethod
    async def start(
        cls, folder: Path, port: int, server: Path | None, listening: Listening
    ) -> "KeptNats":
        """Raises what `EmbeddedNats.start` raises: a first start that fails is not repeated."""
        running = await EmbeddedNats.start(folder, port, server, listening)
        return cls(folder, server, listening, running)

    @property
    def accounts(self) -> Accounts:
        return self._running.accounts

    @property
    def pid(self) -> int:
        return self._running.pid

    async def restart(self) -> None:
        """End it: it is started again as whenever it ends."""
        await self._running.stop()

    async def stop(self) -> None:
        """Idempotent."""
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        await self._running.stop()

    async def _keep(self) -> None:
        while True:
            await _ended(self._running.pid)
            logger.warning("the NATS server (process %d) ended: starting it again", self.pid)
            self._running = await self._started_again()
            logger.info("the NATS server runs again (process %d)", self.pid)

    async def _started_again(self) -> EmbeddedNats:
        tries = 0
        while True:
            await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
            try:
                return await EmbeddedNats.start(
                    self._folder, self.port, self._server, self._listening
                )
            except FleetError as error:
                tries += 1
                logger.error("the NATS server does not start: %s", error)


async def _ended(pid: int) -> None:
    """Until that process, a child that somebody else reaps, has ended. Cancellable."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
