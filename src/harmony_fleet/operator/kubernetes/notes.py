"""Writes into a Device's status what was seen of the device beside its record: `Notes`."""

import asyncio
import logging

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.kubernetes.render import Outlook
from harmony_fleet.operator.kubernetes.store import KubernetesStore
from harmony_fleet.operator.kubernetes.work_queue import WorkQueue
from harmony_fleet.operator.write_behind import WriteBehind

logger = logging.getLogger(__name__)


class Notes:
    """Close it when done."""

    def __init__(self, store: KubernetesStore, behind: WriteBehind) -> None:
        self._store, self._behind = store, behind
        self._queue: WorkQueue[str] = WorkQueue()

    def add(self, device_id: str, outlook: Outlook) -> None:
        """To be written, unless another write brings it there sooner."""
        self._store.see(device_id, outlook)
        self._queue.add(device_id)

    def close(self) -> None:
        self._queue.close()

    async def run(self) -> None:
        """One that writes them, until cancelled."""
        while True:
            await asyncio.sleep(0)  # most wait for nothing: others must have their turns
            device_id = await self._queue.take()
            try:
                await self._behind.settled(device_id)
                if not self._behind.waits(device_id):  # else it is written with what waits
                    await self._store.note(device_id)
                self._queue.done(device_id)
            except FleetError as error:
                logger.warning("what is seen of %s is noted later: %s", device_id, error)
                self._queue.failed(device_id)
            except Exception:  # the runner: one device's fault must not end the others' turns
                logger.exception("noting what is seen of %s failed", device_id)
                self._queue.failed(device_id)
