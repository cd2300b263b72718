"""`fleet preflight`: would an upgrade work?"""

import click

from harmony_fleet.cli.arguments import (
    all_option,
    chosen_devices,
    devices_argument,
    selector_option,
    version_option,
)
from harmony_fleet.cli.settings import FleetCommand, settings


@click.command(cls=FleetCommand)
@devices_argument
@selector_option
@all_option
@version_option
def preflight(devices: tuple[str, ...], selector: str | None, every: bool, version: str) -> int:
    """Ask DEVICE..., those that -l selects, or --all, whether an upgrade would work there.

    Each device looks at its disk, its folders, its Python, its service manager, its links, the
    version to go back to and its clock, and asks the artifact's server for one byte. Nothing is
    ordered, and nothing is changed anywhere. The exit status is 0 where the upgrade would work on
    every device, warnings or not, and 1 where it would not on some, or where that is not known: a
    device that does not answer is unknown.
    """
    wanted, chosen = chosen_devices(devices, selector, every=every), settings()
    from harmony_fleet.cli import showing_preflight

    with chosen.connect(showing_preflight.ANSWER_LIMIT_S) as client:
        answer = client.preflight(wanted, version)
    return showing_preflight.show(chosen, answer)
