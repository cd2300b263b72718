"""`fleet up`: the control plane, in the foreground, until it is interrupted."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harmony_fleet.cli.settings import FleetCommand, Settings, settings

if TYPE_CHECKING:
    from harmony_fleet.embedded.up import Up


@click.command(cls=FleetCommand)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="For the API; 7700 unless said, 0: any free one."
)
@click.option(
    "--nats-server",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Your own nats-server, instead of the one that was installed along.",
)
def up(port: int | None, nats_server: Path | None) -> None:
    """Start the control plane on this machine.

    That is the message plane, the operator and the API in one. It serves the data folder, says
    where it listens, and runs until Ctrl-C. Devices go on without it, and nothing that was ordered
    or reported is lost.
    """
    from harmony_fleet.embedded.up import PORT, UpSettings, run

    chosen = settings()
    wanted = UpSettings(
        data=chosen.data, port=PORT if port is None else port, nats_server=nats_server
    )
    run(wanted, ready=partial(_announce, chosen))


def _announce(chosen: Settings, up: "Up") -> None:
    """Once everything takes requests."""
    from harmony_fleet.cli.output import say, say_line

    if chosen.as_json:
        where = {"url": up.url, "nats_url": up.nats_url}
        say_line({**where, "data": str(up.data), "pid": os.getpid()})
        return
    say(f"the fleet of {up.data} is up: API at {up.url}, message plane at {up.nats_url}")
    say("next: `fleet device start-local 3` in another terminal; Ctrl-C ends it here")
