"""What an upgrade changes on a real device: its files, and the processes of its supervisor."""

import harmony_fleet
from harmony_fleet.agent.bootstrap import pinned_descriptor
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.ids import new_id
from harmony_fleet.agent.upgrade.journal import FileJournal
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.local import LocalExecutor
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT
from harmony_fleet.agent.upgrade.upgrading import Device


def installed(config: Config) -> Device:
    paths = config.paths
    layout = Layout(
        FLEET_AGENT,
        Paths(paths.versions, paths.link, paths.previous, paths.state),
        own_descriptor=pinned_descriptor(),
        own_version=harmony_fleet.__version__,
        versions_kept=config.upgrade.versions_kept,
    )
    runtime_s = 1.25 * config.upgrade.overall_limit_s
    executor = LocalExecutor(layout, paths.supervisor, candidate_runtime_s=runtime_s)
    return Device(executor, FileJournal(paths.state, new_id))
