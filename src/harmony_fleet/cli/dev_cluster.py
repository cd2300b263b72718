"""The cluster on this machine, in words; the cluster itself is the devcluster package's."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from harmony_fleet.cli.errors import FAILED, Interrupted
from harmony_fleet.cli.interrupts import heeding_interrupts
from harmony_fleet.cli.output import remark, say, say_document
from harmony_fleet.cli.settings import Settings
from harmony_fleet.devcluster.cluster import DevCluster, Made, check_name
from harmony_fleet.devcluster.engine import find_engine
from harmony_fleet.devcluster.errors import HalfMade
from harmony_fleet.devcluster.k3d import ensure_k3d, pinned_release
from harmony_fleet.devcluster.program import ClusterState, K3d


def found(name: str, program: Path | None) -> DevCluster:
    """Without an engine nothing is downloaded. Raises InvalidValue, NoEngine."""
    check_name(name)
    engine = find_engine(os.environ)
    kubeconfig = Path.home() / ".kube" / f"k3d-{name}.yaml"
    environment = {**engine.environment(), "KUBECONFIG": str(kubeconfig)}
    return DevCluster(
        name, K3d(cache(lambda: program or _pinned()), environment), engine, kubeconfig
    )


def _pinned() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "harmony-fleet"
    release = pinned_release()
    if not any(folder.glob(f"k3d-v{release.version}")):
        remark(f"fleet: downloading k3d {release.version} into {folder}")
    return ensure_k3d(folder, release)


@heeding_interrupts()
def up(settings: Settings, cluster: DevCluster, agents: int, limit_s: float) -> None:
    """Raises Interrupted, DevClusterError."""
    try:
        made = cluster.up(agents, limit_s)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"stopped; of the cluster {cluster.name} nothing was left half made: see "
            f"`fleet dev cluster status --name {cluster.name}`"
        ) from error
    except HalfMade as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise Interrupted(str(error)) from error
        raise
    if settings.as_json:
        say_document({**_document(cluster, cluster.state()), "made": made.name.lower()})
        return
    say(f"{cluster.name}  {'runs already' if made is Made.NOTHING else f'{made}, and answers'}")
    say(f"kubeconfig: {cluster.kubeconfig}")
    if made is not Made.NOTHING:
        say(f"next: `kubectl --kubeconfig {cluster.kubeconfig} get nodes`")


@heeding_interrupts()
def down(settings: Settings, cluster: DevCluster) -> None:
    """Raises Interrupted, DevClusterError."""
    try:
        was = cluster.down()
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; what is left is removed by a second run") from error
    if settings.as_json:
        say_document({"name": cluster.name, "removed": was})
    else:
        say(f"{cluster.name}  {'removed' if was else 'there is no such cluster'}")


def status(settings: Settings, cluster: DevCluster) -> int:
    """The exit status. Raises DevClusterError."""
    state = cluster.state()
    if settings.as_json:
        say_document(_document(cluster, state))
    else:
        say(f"{cluster.name}  {_words(state)}")
        if state is not None and cluster.kubeconfig.is_file():
            say(f"kubeconfig: {cluster.kubeconfig}")
    return 0 if state is not None and state.running else FAILED


def _words(state: ClusterState | None) -> str:
    if state is None:
        return "there is no such cluster"
    servers = f"{state.servers_running} of {state.servers} servers"
    agents = f"{state.agents_running} of {state.agents} agents"
    nodes = f"{servers}, {agents}" if state.agents else servers
    return f"{_one_word(state)}, {nodes}"


def _one_word(state: ClusterState | None) -> str:
    if state is None:
        return "absent"
    if state.running:
        return "running"
    return "running in part" if state.servers_running or state.agents_running else "stopped"


def _document(cluster: DevCluster, state: ClusterState | None) -> dict[str, Any]:
    kubeconfig = str(cluster.kubeconfig) if state and cluster.kubeconfig.is_file() else None
    counted = {
        "servers": state.servers if state else 0,
        "servers_running": state.servers_running if state else 0,
        "agents": state.agents if state else 0,
        "agents_running": state.agents_running if state else 0,
    }
    return {
        "name": cluster.name,
        "state": _one_word(state).replace(" ", "_"),
        **counted,
        "kubeconfig": kubeconfig,
    }
