"""`fleet doctor`: what is wrong, and how to mend it."""

from pathlib import Path

import click

from harmony_fleet.cli.settings import MachineCommand, settings


@click.command(cls=MachineCommand)
@click.option(
    "--nats-server",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Check this nats-server, instead of the one that was installed along.",
)
def doctor(nats_server: Path | None) -> int:
    """Check the installation and the fleet, and say how to mend what is wrong.

    The exit status is 1 where there is a problem; warnings alone leave it 0. Nothing is
    repaired. Without `fleet up` it checks what is installed, the ports and the data folder.
    """
    from harmony_fleet.cli.examining import examine_all
    from harmony_fleet.cli.showing_doctor import show

    chosen = settings()
    return show(chosen, examine_all(chosen.data, nats_server, chosen.ca))
