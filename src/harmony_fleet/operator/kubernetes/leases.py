"""The Lease that replicas elect their leader by, as an object of the cluster."""

from datetime import datetime
from typing import Final

from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from harmony_fleet.operator.kubernetes.cluster import Cluster
from harmony_fleet.operator.kubernetes.lease import Held
from harmony_fleet.operator.kubernetes.names import GROUP
from harmony_fleet.operator.kubernetes.times import micro_time
from harmony_fleet.operator.kubernetes.turns import Rank

ADDRESS: Final = f"{GROUP}/api"
"""An annotation: where the holder answers, for the other replicas."""
_MOST_TRANSITIONS: Final = 2**31 - 1
"""That the API server takes. It is a number for people, and whoever edits the Lease may set it."""


class KubernetesLease:
    def __init__(self, cluster: Cluster, name: str, duration_s: float, address: str) -> None:
        """`address`: of this replica's API, as the others reach it."""
        self._cluster, self._name, self._address = cluster, name, address
        self._duration_s = max(1, round(duration_s))
        self.leader_address = ""
        """Of whoever held it when it was read last."""

    async def read(self) -> Held:
        found = await self._cluster.get(Lease, self._cluster.namespace, self._name, Rank.ELECTION)
        return Held("", "", "", 0, "") if found is None else self._held(found)

    async def write(self, held: Held) -> Held:
        metadata = ObjectMeta(
            name=self._name,
            namespace=self._cluster.namespace,
            resourceVersion=held.version or None,
            annotations={ADDRESS: self._address if held.holder else ""},
        )
        spec = LeaseSpec(
            holderIdentity=held.holder,
            leaseDurationSeconds=self._duration_s,
            leaseTransitions=min(held.transitions, _MOST_TRANSITIONS),
            acquireTime=_time(held.acquired_at),
            renewTime=_time(held.renewed_at),
        )
        lease = Lease(metadata=metadata, spec=spec)
        write = self._cluster.replace if held.version else self._cluster.create
        return self._held(await write(lease, Rank.ELECTION))

    def _held(self, lease: Lease) -> Held:
        metadata, spec = lease.metadata or ObjectMeta(), lease.spec or LeaseSpec()
        self.leader_address = (metadata.annotations or {}).get(ADDRESS, "")
        return Held(
            spec.holderIdentity or "",
            spec.renewTime.isoformat() if spec.renewTime else "",
            spec.acquireTime.isoformat() if spec.acquireTime else "",
            spec.leaseTransitions or 0,
            metadata.resourceVersion or "",
        )


def _time(text: str) -> datetime | None:
    """None: somebody took it out of the Lease."""
    return micro_time(text) if text else None
