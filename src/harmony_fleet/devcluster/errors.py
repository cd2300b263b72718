"""What can go wrong with a cluster on this machine."""

from harmony_fleet.contracts.errors import FleetError


class DevClusterError(FleetError):
    """The root of them."""

    kind = "dev_cluster"


class NoEngine(DevClusterError):
    """No container engine answers here. Nothing was done."""

    kind = "no_engine"
    retryable = True


class EngineGone(DevClusterError):
    """The container engine stopped answering."""

    kind = "engine_gone"
    retryable = True


class NoRoom(DevClusterError):
    """The disk of the container engine is full, or nearly."""

    kind = "no_room"
    retryable = True


class Busy(DevClusterError):
    """Another process works on this cluster, or has made it just now. Nothing was done."""

    kind = "cluster_busy"
    retryable = True


class K3dFailed(DevClusterError):
    """The k3d program could not do it; its own last words are in the sentence."""

    kind = "k3d_failed"


class HalfMade(DevClusterError):
    """A cluster was begun, and not all that was made of it could be removed again."""

    kind = "half_made"
