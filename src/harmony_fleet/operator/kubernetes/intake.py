"""Takes releases in: looks at each AgentRelease, and says in its status whether it can be ordered.

While this replica leads: `Intake.run()`. A status is written where it differs from the one that is
known, and only there.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind
from harmony_fleet.operator.kubernetes.cluster import Cluster
from harmony_fleet.operator.kubernetes.mapping import device_id_of
from harmony_fleet.operator.kubernetes.mirror import Key, Mirror, key_of
from harmony_fleet.operator.kubernetes.objects import (
    AgentRelease,
    AgentReleaseStatus,
    AgentReleaseUnderStatus,
    Device,
    Metadata,
    Upgrade,
)
from harmony_fleet.operator.kubernetes.release_conditions import SeenRelease, release_conditions
from harmony_fleet.operator.kubernetes.releases import release_of
from harmony_fleet.operator.kubernetes.render import dated
from harmony_fleet.operator.kubernetes.work_queue import WorkQueue
from harmony_fleet.operator.ports import Clock, Conflict

logger = logging.getLogger(__name__)

Ran = Mapping[str, Mapping[str, str]]
"""By version: the SHA-256 of what ran, with a device on which it did."""
_RAN: Final = frozenset(
    {
        AgentUpgradePhase.CUTOVER_READY,
        AgentUpgradePhase.COMMITTED,
        AgentUpgradePhase.SUCCEEDED,
        AgentUpgradePhase.ROLLED_BACK,
    }
)
"""What came so far had the bytes that were ordered: a digest that was mistyped never does."""


class Intake:
    def __init__(
        self,
        cluster: Cluster,
        devices: Mirror[Device],
        releases: Mirror[AgentRelease],
        clock: Clock,
    ) -> None:
        self._cluster, self._clock = cluster, clock
        self._devices, self._releases = devices, releases
        self._queue: WorkQueue[Key] = WorkQueue()
        self._ran: Ran | None = None
        """Of all devices; kept while releases wait, since it is read from each of them."""

    async def run(self) -> None:
        """Until cancelled."""
        self._releases.on_change(self._queue.add)
        for release in self._releases:
            self._queue.add(key_of(release))
        try:
            while True:
                await self._next()
        finally:
            self._releases.off_change(self._queue.add)
            self._queue.close()

    async def _next(self) -> None:
        key = await self._queue.take()
        try:
            await self._look_at(key)
            self._queue.done(key)
        except Conflict:
            self._queue.done(key)  # whoever wrote it, or deleted it: the watch says so
        except FleetError as error:
            logger.warning("the AgentRelease %s is looked at again later: %s", key[1], error)
            self._queue.failed(key)
        except Exception:  # the runner: one release's fault must not end the others' turns
            logger.exception("looking at the AgentRelease %s failed", key[1])
            self._queue.failed(key)
        if not len(self._queue):
            self._ran = None

    async def _look_at(self, key: Key) -> None:
        """Raises StoreError."""
        release = self._releases.get(key)
        if release is None or release.metadata.deletion_timestamp:
            return
        self._ran = self._ran if self._ran is not None else what_ran(self._devices)
        status = release_status(release, self._ran, self._clock.now())
        if status == release.status:
            return
        known = release.metadata
        metadata = Metadata(
            known.name, known.namespace, known.uid, resource_version=known.resource_version
        )
        written = await self._cluster.replace(
            AgentReleaseUnderStatus(metadata=metadata, spec=release.spec, status=status)
        )
        self._releases.put(
            AgentRelease(metadata=written.metadata, spec=written.spec, status=written.status)
        )


def release_status(release: AgentRelease, ran: Ran, now: str) -> AgentReleaseStatus:
    """`now` is RFC 3339, UTC."""
    was = release.status.conditions if release.status else ()
    generation = release.metadata.generation
    seen = SeenRelease(
        release_of(release), release.metadata.name, ran.get(release.spec.version, {})
    )
    return AgentReleaseStatus(
        observed_generation=generation,
        conditions=dated(release_conditions(seen), was, generation, now),
    )


def what_ran(devices: Iterable[Device]) -> Ran:
    """As far as devices' statuses remember it."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for device in devices:
        if device.status is None:
            continue
        newest = (device.status.upgrade,) if device.status.upgrade else ()
        for order in (*device.status.past, *newest):
            if _had_its_bytes(order):
                found[order.to_version].setdefault(order.artifact.sha256, device_id_of(device))
    return found


def _had_its_bytes(order: Upgrade) -> bool:
    """Not where that version ran already: nobody looked at the bytes then."""
    there = order.cause is not None and order.cause.kind == CauseKind.ALREADY_RUNNING
    return order.phase in _RAN and not there
