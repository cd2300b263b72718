"""Puts the agent together: which of its parts runs, with which adapters. Decides nothing else."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import harmony_fleet
from harmony_fleet.agent import arguments, config
from harmony_fleet.contracts.errors import FleetError

if TYPE_CHECKING:
    from harmony_fleet.agent.upgrade.guard import GuardPorts
    from harmony_fleet.agent.upgrade.guard_command import Files
    from harmony_fleet.agent.upgrade.record import Journal
    from harmony_fleet.agent.upgrade.upgrading import Device

logger = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_USAGE = 2


def run(argv: Sequence[str] | None = None) -> int:
    """The exit status. No traceback reaches a person for what a person can put right."""
    asked = arguments.parse(argv)
    try:
        settings = config.load(asked.config or config.default_path(), os.environ, asked.set)
        _log(settings.log_level)
        match asked.command:
            case "check-config":
                return _check_config(settings)
            case "credentials":
                return _credentials(settings, asked.accept)
            case "guard":
                return _guard(settings, asked.dry_run, asked.expired)
            case "candidate":
                return _run(_candidate(settings, asked.upgrade_id))
            case _ if asked.self_test:
                return _self_test(settings, asked.json)
            case _:
                return _run(_primary(settings))
    except config.ConfigError as error:
        print(f"fleet-agent: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    except FleetError as error:
        print(f"fleet-agent: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED


def _log(level: str) -> None:
    form = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level, format=form, datefmt="%Y-%m-%dT%H:%M:%S", stream=sys.stderr)


def _check_config(settings: config.Config) -> int:
    """Also that the authority's file can be read: nothing but the plane needs it."""
    if settings.plane.ca is not None:
        from harmony_fleet.messaging.trust import AuthorityUnreadable, authority

        try:
            authority(settings.plane.ca)
        except AuthorityUnreadable as error:
            raise config.ConfigError(f"plane.ca: {error}") from error
    print(f"device {settings.device_id}: the configuration can be used")  # noqa: T201
    return 0


def _credentials(settings: config.Config, accept: bool) -> int:
    from harmony_fleet.agent.device_key import CredentialsRefused, DeviceKey

    key = DeviceKey(settings.plane.credentials)
    if not accept:
        print(key.public())  # noqa: T201
        return 0
    try:
        new = key.accept(sys.stdin.buffer, settings.device_id)
    except CredentialsRefused as error:
        print(f"fleet-agent: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    said = "are kept in" if new else "were already in"
    print(f"the credentials of {settings.device_id} {said} {key.credentials}")  # noqa: T201
    return 0


def _self_test(settings: config.Config, as_json: bool) -> int:
    from harmony_fleet.agent.self_test import self_test

    report = self_test(settings, settings.upgrade.self_test_limit_s)
    print(json.dumps(asdict(report)) if as_json else report.text())  # noqa: T201
    return 0 if report.passed else EXIT_FAILED


def _guard(settings: config.Config, dry_run: bool, expired: bool) -> int:
    from harmony_fleet.agent.alone import holding
    from harmony_fleet.agent.upgrade import guard_command

    ports = _guard_ports(settings)
    files = guard_command.Files(settings.paths.state)
    if dry_run:
        return guard_command.dry_run(ports)
    if expired:
        return _expired(settings, ports, files)
    with holding(settings.paths.state) as alone:
        if not alone:
            logger.info("the agent of this device runs: a guard stands before its start")
            return 0
        return guard_command.run_guard(ports, files)


def _expired(settings: config.Config, ports: "GuardPorts", files: "Files") -> int:
    from harmony_fleet.agent.upgrade.control import contact
    from harmony_fleet.agent.upgrade.deadman import Bounds
    from harmony_fleet.agent.upgrade.events import JournalRead
    from harmony_fleet.agent.upgrade.guard_command import expired

    upgrade = settings.upgrade
    # 1.5 is the backoff's jitter; the rest is for a connection and a status to be stored
    spacing_s = 2.0 * settings.plane.reconnect_max_s
    bounds = Bounds(upgrade.probation_s, spacing_s, upgrade.outage_s)

    def journal() -> "Journal | None":
        found = ports.journal.read()
        return found.journal if isinstance(found, JournalRead) else None

    return expired(ports, files, bounds, lambda: contact(settings, journal))


def _guard_ports(settings: config.Config) -> "GuardPorts":
    from harmony_fleet.agent.clock import BootClock
    from harmony_fleet.agent.ids import new_id
    from harmony_fleet.agent.upgrade.guard import GuardPorts
    from harmony_fleet.agent.upgrade.journal import FileJournal
    from harmony_fleet.agent.upgrade.layout import Layout, Paths
    from harmony_fleet.agent.upgrade.ports import FLEET_AGENT

    paths = settings.paths
    places = Paths(paths.versions, paths.link, paths.previous, paths.state)
    return GuardPorts(
        running=harmony_fleet.__version__,
        versions=Layout(FLEET_AGENT, places),
        journal=FileJournal(paths.state, new_id),
        clock=BootClock(paths.boot_id),
        starts_allowed=settings.upgrade.starts_allowed,
        log=_log_end(paths),
    )


def _log_end(paths: config.PathsConfig) -> Callable[[], str]:
    from harmony_fleet.agent.upgrade.ports import FLEET_AGENT

    def said() -> str:
        if paths.log is not None:
            from harmony_fleet.agent.upgrade.guard import tail

            return tail(paths.log)
        if paths.supervisor is not None:
            return ""
        from harmony_fleet.agent.upgrade.systemd_log import last_lines

        return last_lines(f"{FLEET_AGENT.name}.service")

    return said


def _run(work: Coroutine[None, None, int]) -> int:
    """The guard, which stands before every start, does without an event loop and its import."""
    import asyncio

    return asyncio.run(work)


async def _candidate(settings: config.Config, upgrade_id: str) -> int:
    from harmony_fleet.agent.candidate import Candidate

    return await _until_signal(Candidate(settings, upgrade_id).run())


async def _primary(settings: config.Config) -> int:
    import asyncio

    from harmony_fleet.agent.alone import AnotherRuns, holding
    from harmony_fleet.agent.primary import Primary

    def device() -> "Device":
        from harmony_fleet.agent.upgrade.installed import installed

        return installed(settings)

    with holding(settings.paths.state) as alone:
        if not alone and "NOTIFY_SOCKET" not in os.environ:
            raise AnotherRuns(
                "the agent of this device runs already, under its service manager: two would undo "
                "each other's work. Ask it by `systemctl status fleet-agent`, or stop it first"
            )
        primary = Primary(settings, device)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, primary.stop)
        return await primary.run()


async def _until_signal(work: Coroutine[None, None, None]) -> int:
    """Run `work` until it raises or the service manager ends this process."""
    import asyncio

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(run())
