"""What an upgrade changes on a real device: its files, and the processes of its service manager."""

import harmony_fleet
from harmony_fleet.agent.bootstrap import pinned_descriptor
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.ids import new_id
from harmony_fleet.agent.upgrade.journal import FileJournal
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, UpgradeExecutor
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
    return Device(_executor(config, layout), FileJournal(paths.state, new_id))


def _executor(config: Config, layout: Layout) -> UpgradeExecutor:
    runtime_s = 1.25 * config.upgrade.overall_limit_s
    if config.paths.supervisor is None:
        from harmony_fleet.agent.upgrade.systemd import SystemdExecutor

        return SystemdExecutor(layout, runtime_s, ca=config.plane.ca)
    from harmony_fleet.agent.upgrade.local import LocalExecutor

    return LocalExecutor(layout, config.paths.supervisor, runtime_s, ca=config.plane.ca)
