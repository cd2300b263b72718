"""`fleet dev`: what helps to try things out. So far a Kubernetes cluster on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harmony_fleet.cli.settings import FleetGroup, MachineCommand, settings

if TYPE_CHECKING:
    from harmony_fleet.devcluster.cluster import DevCluster

NAME = "fleet"
LIMIT_S = 300
"""For a cluster to answer, its images' download in it."""

_name = click.option(
    "--name", default=NAME, show_default=True, metavar="NAME", help="Of the cluster."
)
_k3d = click.option(
    "--k3d",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="FLEET_K3D",
    metavar="PATH",
    help="Your own k3d, else $FLEET_K3D, instead of the pinned one, which is downloaded once.",
)


@click.group(cls=FleetGroup)
def dev() -> None:
    """Try things out on this machine."""


@dev.group(cls=FleetGroup)
def cluster() -> None:
    """A Kubernetes cluster in containers, by k3d; it needs Docker, or Podman's socket."""


@cluster.command(cls=MachineCommand)
@_name
@_k3d
@click.option("--agents", type=click.IntRange(0, 20), default=0, help="Nodes beside the server.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 36000),
    default=LIMIT_S,
    show_default=True,
    metavar="S",
    help="To wait until it answers, its images' download in it.",
)
def up(name: str, k3d: Path | None, agents: int, timeout: int) -> None:
    """Make the cluster, or start it where it is stopped, and say where its kubeconfig is.

    One that runs is left as it is. The kubeconfig is a file of its own, ~/.kube/k3d-NAME.yaml;
    yours is not touched. What does not come to its end is removed again.
    """
    from harmony_fleet.cli import dev_cluster

    dev_cluster.up(settings(), _found(name, k3d), agents, timeout)


@cluster.command(cls=MachineCommand)
@_name
@_k3d
def down(name: str, k3d: Path | None) -> None:
    """Remove the cluster with all that is in it, and its kubeconfig."""
    from harmony_fleet.cli import dev_cluster

    dev_cluster.down(settings(), _found(name, k3d))


@cluster.command(cls=MachineCommand)
@_name
@_k3d
def status(name: str, k3d: Path | None) -> int:
    """Say whether the cluster runs. The exit status is 0 only where all of it does."""
    from harmony_fleet.cli import dev_cluster

    return dev_cluster.status(settings(), _found(name, k3d))


def _found(name: str, k3d: Path | None) -> "DevCluster":
    from harmony_fleet.cli import dev_cluster

    return dev_cluster.found(name, k3d)
