"""`fleet device install` and `uninstall`: what is typed, checked before any device is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from harmony_fleet.cli.arguments import Seconds, Version
from harmony_fleet.cli.settings import FleetCommand, settings

WAIT_S: Final = 60.0
"""For a first heartbeat, after the last device was installed."""

_HOSTS: Final = click.argument("hosts", metavar="HOST...", nargs=-1)
_CHECK: Final = click.option(
    "--check", is_flag=True, help="Change nothing, and say what would be changed."
)
_ACCESS: Final = (
    click.option(
        "--inventory",
        type=click.Path(dir_okay=True, allow_dash=True, path_type=Path),
        metavar="FILE",
        help="An inventory of Ansible; HOST... chooses hosts and groups of it. - for stdin.",
    ),
    click.option("--user", metavar="NAME", help="To log in as; else as ssh is configured."),
    click.option("--port", type=click.IntRange(1, 65535), help="Of the SSH server."),
    click.option(
        "--ssh-key",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The private key to log in with.",
    ),
    click.option("--become", is_flag=True, help="Become root there by sudo, without a password."),
)

Command = Callable[..., Any]


def _reaching(command: Command) -> Command:
    for option in reversed(_ACCESS):
        command = option(command)
    return command


@click.command(cls=FleetCommand)
@_HOSTS
@click.option("--version", type=Version(), help="What they run at first; else the highest release.")
@_reaching
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="On each of them. Repeatable."
)
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the agent, such as upgrade.probation_s=60. Repeatable.",
)
@click.option(
    "--versions-folder",
    default="/usr/bin",
    show_default=True,
    metavar="DIR",
    help="Of the versions' files on the device; /var/lib/fleet-agent/versions where /usr cannot be "
    "written.",
)
@click.option(
    "--link",
    default="/usr/local/bin/fleet-agent",
    show_default=True,
    metavar="PATH",
    help="That leads to the version that runs; the place of a program that is to be taken over.",
)
@click.option(
    "--previous",
    default="/usr/local/lib/fleet-agent/previous",
    show_default=True,
    metavar="PATH",
    help="The link to the version that a rollback goes back to, in a folder named fleet-agent.",
)
@click.option(
    "--replaces",
    multiple=True,
    metavar="UNIT",
    help="A unit that ran the agent there before: stopped and disabled. Repeatable.",
)
@click.option("--new-credentials", is_flag=True, help="Sign the devices' keys again.")
@_CHECK
@click.option("--no-wait", is_flag=True, help="Do not wait for the first heartbeats.")
@click.option(
    "--timeout", type=Seconds(), default=WAIT_S, show_default=True, metavar="S", help="Of the wait."
)
def install(
    hosts: tuple[str, ...],
    version: str | None,
    labels: tuple[str, ...],
    pairs: tuple[str, ...],
    versions_folder: str,
    link: str,
    previous: str,
    replaces: tuple[str, ...],
    new_credentials: bool,
    check: bool,
    no_wait: bool,
    timeout: float,
    **access: Any,
) -> int:
    """Put the agent on HOST... over SSH, and wait until each was heard.

    HOST is a name or an address, or HOST=DEVICE where the device is not to have the first part of
    the host's name. Each device makes its own key, and this control plane signs it. What is there
    already is left as it is: a second run changes nothing, and says so. An agent that runs keeps
    its version: for another one there is `fleet upgrade`.

    The devices need systemd, Python 3.11 or newer, and an SSH server whose key this machine knows;
    this machine needs `pip install 'harmony-fleet[install]'`.
    """
    from harmony_fleet.cli import installing

    places = installing.Places(versions_folder, link, previous)
    wanted = installing.Wanted(version, labels, pairs, places, replaces, new_credentials)
    wait_s = None if no_wait or check else timeout
    return installing.install(settings(), _hosts(hosts, access), wanted, check, wait_s)


@click.command(cls=FleetCommand)
@_HOSTS
@_reaching
@_CHECK
def uninstall(hosts: tuple[str, ...], check: bool, **access: Any) -> int:
    """Take the agent off HOST...: its units, versions, state, configuration and key.

    Also in the middle of an upgrade. What the control plane knows of the device stays. A second
    run says that nothing was there.
    """
    from harmony_fleet.cli import installing

    return installing.uninstall(settings(), _hosts(hosts, access), check)


def _hosts(words: tuple[str, ...], access: dict[str, Any]) -> Any:
    from harmony_fleet.cli.installing import Hosts
    from harmony_fleet.install.targets import Access

    key = access["ssh_key"] and str(access["ssh_key"].absolute())
    reached = Access(access["user"], access["port"], key, access["become"])
    return Hosts(words, access["inventory"], reached)
