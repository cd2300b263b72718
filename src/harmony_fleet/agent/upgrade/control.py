"""The dead-man timer's control: the version before does what the one in probation has to do.

That is more than a connection: a plane that answers and stores nothing acknowledges no status,
whoever puts it. What is put is what the journal says already, with the same `seq`.
"""

import asyncio
import logging

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

PUT_LIMIT_S = 5.0


def contact(config: Config, journal: Journal) -> bool:
    """Its self-test reaches the plane, and the plane stores this journal's status."""
    report = self_test(config, config.upgrade.self_test_limit_s)
    return report.contact and asyncio.run(_acknowledged(config, journal))


async def _acknowledged(config: Config, journal: Journal) -> bool:
    name = config.device_id
    status = codec.encode(status_of(journal, name, rfc3339()))
    plane = Plane(endpoint(config, "control"))
    await plane.start()
    try:
        if not await plane.wait_connected(PUT_LIMIT_S):
            return False
        await keyvalue.put(plane, subjects.STATUS_BUCKET, name, status, PUT_LIMIT_S)
    except MessagingError as error:
        logger.warning("the plane answers, and does not store a status: %s", error)
        return False
    finally:
        await plane.close()
    return True
