"""One replica of the operator in a cluster: mirrors, election, and what a leader runs.

What every replica does: keep the mirrors, and stand for election. What the leader alone does: the
operator's loop, the driver, the releases' intake. Each time of leading begins with an operator that
has seen nothing yet. Events tell what this replica has stored, also where it leads no more by then.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from harmony_fleet.messaging.connection import Plane
from harmony_fleet.operator.kubernetes.cluster import Cluster
from harmony_fleet.operator.kubernetes.devices import Devices
from harmony_fleet.operator.kubernetes.driver import Driver
from harmony_fleet.operator.kubernetes.intake import Intake
from harmony_fleet.operator.kubernetes.lease import Elector, Timing
from harmony_fleet.operator.kubernetes.leases import KubernetesLease
from harmony_fleet.operator.kubernetes.mirror import Mirror, Mirrored
from harmony_fleet.operator.kubernetes.names import API_VERSION
from harmony_fleet.operator.kubernetes.objects import AgentRelease, Device
from harmony_fleet.operator.kubernetes.recorder import Recorder
from harmony_fleet.operator.kubernetes.reflector import Collection, Reflector
from harmony_fleet.operator.kubernetes.store import KubernetesStore
from harmony_fleet.operator.loop import Operator, Settings
from harmony_fleet.operator.ports import Clock, DeviceStore, Ids
from harmony_fleet.operator.write_behind import WriteBehind

T = TypeVar("T", bound=Mirrored)

logger = logging.getLogger(__name__)

STORE_LIMIT_S: Final = 2.0
"""For what waits to be stored, at the end of a time of leading."""


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    identity: str
    """Of this process, and of no other."""
    address: str
    """Where the other replicas reach its API."""
    artifact_base_url: str
    lease: str = "harmony-fleet"
    all_namespaces: bool = False
    declared_only: bool = False
    operator: Settings = field(default_factory=Settings)
    election: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Leading:
    """What there is while this replica leads."""

    operator: Operator
    store: DeviceStore
    plane: Plane


class Replica:
    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        ids: Ids,
        plane: Callable[[], Plane],
        settings: ReplicaSettings,
    ) -> None:
        """`plane`: a new connection's, not yet started, for each time of leading."""
        self._cluster, self._clock, self._ids = cluster, clock, ids
        self._plane, self._settings = plane, settings
        self.devices = Devices(Mirror())
        self._releases: Mirror[AgentRelease] = Mirror()
        here = f"/namespaces/{cluster.namespace}"
        devices = _collection("" if settings.all_namespaces else here, "devices", Device)
        releases = _collection(here, "agentreleases", AgentRelease)
        self._watches = (
            Reflector(cluster.http, devices, self.devices.mirror),
            Reflector(cluster.http, releases, self._releases),
        )
        timing = settings.election
        self._lease = KubernetesLease(cluster, settings.lease, timing.duration_s, settings.address)
        self._elector = Elector(self._lease, settings.identity, clock, timing)
        self._recorder = Recorder(cluster, clock, settings.identity)
        self._leading: Leading | None = None

    @property
    def leading(self) -> Leading | None:
        """None: another replica leads, or nobody."""
        return self._leading if self._elector.leads else None

    @property
    def leader_address(self) -> str:
        """Empty: nobody is known to lead."""
        return self._lease.leader_address if self._elector.leader else ""

    @property
    def ready(self) -> bool:
        """It would answer, or knows who does."""
        synced = all(watch.synced.is_set() for watch in self._watches)
        return synced and (self.leading is not None or bool(self.leader_address))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(watch.run())
            group.create_task(self._recorder.run())
            for watch in self._watches:
                await watch.synced.wait()
            logger.info("%d devices are known", len(self.devices.mirror))
            await self._elector.run(self._lead)

    async def _lead(self) -> None:
        plane = self._plane()
        store = KubernetesStore(
            self._cluster,
            self.devices,
            self._clock,
            self._settings.declared_only,
            self._recorder.told,
        )
        behind = WriteBehind(store, self._clock, self._cluster.room)
        base_url = self._settings.artifact_base_url
        operator = Operator(
            behind, plane, self._clock, self._ids, base_url, self._settings.operator
        )
        behind.lost = operator.list_soon
        driver = Driver(operator, store, behind, self.devices, self._releases, self._clock)
        intake = Intake(self._cluster, self.devices.mirror, self._releases, self._clock)
        try:
            await plane.start()
            self._leading = Leading(operator, behind, plane)
            async with asyncio.TaskGroup() as group:
                for part in (operator.run, driver.run, intake.run):
                    group.create_task(part())
        finally:
            self._leading = None
            await plane.close()
            try:
                async with asyncio.timeout(STORE_LIMIT_S):
                    await behind.close()
            except TimeoutError:
                logger.warning("not all that devices said last could be stored")


def _collection(space: str, plural: str, kind: type[T]) -> Collection[T]:
    return Collection(f"/apis/{API_VERSION}{space}/{plural}", kind)
