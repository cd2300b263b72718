"""The dead-man timer's control: the version before does what the one in probation has to do.

That is more than a connection: a plane that answers and stores nothing acknowledges no status,
whoever puts it. What is put is what the journal says already, with the same `seq`.
"""

import asyncio
import logging
from collections.abc import Callable

from harmony_fleet.agent.clock import rfc3339
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.self_test import self_test
from harmony_fleet.agent.upgrade.record import Journal, status_of
from harmony_fleet.agent.wire import endpoint
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import MessagingError

logger = logging.getLogger(__name__)

TEST_LIMIT_S = 75.0
"""The unit ends it after 90 s: whoever is slower than this would never be judged at all."""
PUT_LIMIT_S = 5.0
MOST_PUTS = 5
"""Each follows a change of the journal, of which an upgrade has fewer."""

Read = Callable[[], Journal | None]


def contact(config: Config, journal: Read) -> bool:
    """Its self-test reaches the plane, and the plane stores the journal's status."""
    report = self_test(config, min(config.upgrade.self_test_limit_s, TEST_LIMIT_S))
    return report.contact and asyncio.run(_acknowledged(config, journal))


async def _acknowledged(config: Config, read: Read) -> bool:
    return await acknowledged(Plane(endpoint(config, "control")), config.device_id, read)


async def acknowledged(plane: Plane, device_id: str, read: Read) -> bool:
    """Whether it connects in time and stores the journal's status. It is closed afterwards."""
    await plane.start()
    try:
        if not await plane.wait_connected(PUT_LIMIT_S):
            return False
        return await _put_last(plane, device_id, read)
    finally:
        await plane.close()


async def _put_last(plane: Plane, device_id: str, read: Read) -> bool:
    """The primary puts statuses, too. What is stored last must not be the older one: it is put
    again until the journal has not changed meanwhile."""
    stored, journal = False, read()
    for _ in range(MOST_PUTS):
        if journal is None:
            return False
        stored = await _put(plane, device_id, journal)
        before, journal = journal, read()
        if journal == before:
            break
    return stored


async def _put(plane: Plane, device_id: str, journal: Journal) -> bool:
    status = codec.encode(status_of(journal, device_id, rfc3339()))
    try:
        await keyvalue.put(plane, subjects.STATUS_BUCKET, device_id, status, PUT_LIMIT_S)
    except MessagingError as error:
        logger.warning("the plane answers, and does not store a status: %s", error)
        return False
    return True
