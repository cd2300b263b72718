"""The bucket of markers becomes what the store wants: one writer for each device, of the newest.

A marker is written until the bucket holds it, or until the store wants another one. Whoever asks
again wakes a writer that waits before its next try; nothing piles up however often that is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import assert_never

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.errors import InvalidValue, MalformedMessage
from harmony_fleet.contracts.upgrade import Marker
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.backoff import backoff_s
from harmony_fleet.operator.bucket import BucketWrite, bucket_write
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.observer import read_marker
from harmony_fleet.operator.ports import Clock, StoreError
from harmony_fleet.operator.results import UnknownDevice

logger = logging.getLogger(__name__)

REQUEST_LIMIT_S = 5.0


@dataclass
class _Writer:
    wanted: Marker | None
    """None: what was wanted is being written."""
    pause: asyncio.Task[None] | None = None


class Markers:
    def __init__(
        self, plane: Plane, clock: Clock, looked_again: Callable[[str], Awaitable[Case]]
    ) -> None:
        """`looked_again` tells what the store wants of a device now; it may raise StoreError."""
        self._plane, self._clock, self._looked_again = plane, clock, looked_again
        self._writers: dict[str, _Writer] = {}

    async def write(self, marker: Marker) -> None:
        """Until the bucket holds it; at once, where the device's writer of before will do it."""
        name = marker.device_id
        writer = self._writers.get(name)
        if writer is not None:
            writer.wanted = marker
            if writer.pause is not None:
                writer.pause.cancel()
            return
        writer = self._writers[name] = _Writer(marker)
        try:
            await self._write_all(writer)
        finally:
            del self._writers[name]

    async def _write_all(self, writer: _Writer) -> None:
        tries = 0
        while writer.wanted is not None:
            marker, writer.wanted = writer.wanted, None
            try:
                await self.put(marker)
                tries = 0
            except UnknownDevice as error:
                logger.info("%s", error)  # it was removed meanwhile
            except (MessagingError, StoreError) as error:
                logger.info("the marker of %s is not written yet: %s", marker.device_id, error)
                tries += 1
                if writer.wanted is None:
                    writer.wanted = marker
                    await self._pause(writer, tries)
            except Exception:  # what was asked for meanwhile is not to be lost with it
                logger.exception("the marker of %s cannot be written", marker.device_id)

    async def _pause(self, writer: _Writer, tries: int) -> None:
        """Until it is time to try again, or somebody asks."""
        writer.pause = asyncio.create_task(self._clock.sleep(backoff_s(tries)))
        try:
            await asyncio.wait({writer.pause})
        finally:
            writer.pause.cancel()
            writer.pause = None

    async def put(self, marker: Marker) -> None:
        """Once. Raises MessagingError, StoreError, UnknownDevice.

        Reads the bucket before the store: what anyone changes after that, in either, stays.
        """
        bucket, name = subjects.MARKER_BUCKET, marker.device_id
        entry = await keyvalue.get(self._plane, bucket, name, REQUEST_LIMIT_S)
        found = None
        if entry is not None:
            with suppress(InvalidValue, MalformedMessage):  # what is no marker is written over
                found = read_marker(name, entry.value)
        write = bucket_write(await self._looked_again(name), marker, found)
        match write:
            case BucketWrite.WRITE:
                revision, value = entry.revision if entry else 0, codec.encode(marker)
                await keyvalue.put_if(self._plane, bucket, name, value, revision, REQUEST_LIMIT_S)
            case BucketWrite.LEAVE:
                logger.warning("%s has a newer order than this store knows: left alone", name)
            case BucketWrite.NOTHING:
                pass
            case _:
                assert_never(write)
