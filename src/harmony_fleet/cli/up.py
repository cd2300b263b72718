"""`fleet up`: the control plane, in the foreground, until it is interrupted."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harmony_fleet.cli.settings import MachineCommand, Settings, settings

if TYPE_CHECKING:
    from harmony_fleet.embedded.reach import Reach
    from harmony_fleet.embedded.up import Up


@click.command(cls=MachineCommand)
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="An IP address of this machine to listen at, 0.0.0.0 for all; under TLS wherever it is "
    "not loopback. 127.0.0.1 unless said.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A host name or address under which devices reach it; the first is what they are told. "
    "Can be said several times; else ADDRESS.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="For the API; 7700 unless said, 0: any free one."
)
@click.option(
    "--nats-port",
    type=click.IntRange(1, 65535),
    help="For the message plane; else the one used last, 4222 under TLS, any free one without.",
)
@click.option(
    "--nats-server",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Your own nats-server, instead of the one that was installed along.",
)
def up(
    listen: str | None,
    names: tuple[str, ...],
    port: int | None,
    nats_port: int | None,
    nats_server: Path | None,
) -> None:
    """Start the control plane on this machine.

    That is the message plane, the operator and the API in one. It serves the data folder, says
    where it listens, and runs until Ctrl-C. Devices go on without it, and nothing that was ordered
    or reported is lost. Other machines reach it only with --listen.
    """
    from harmony_fleet.embedded.up import PORT, UpSettings, run

    chosen = settings()
    wanted = UpSettings(
        data=chosen.data,
        port=PORT if port is None else port,
        nats_port=nats_port or 0,
        nats_server=nats_server,
        reach=_reach(listen, names),
    )
    run(wanted, ready=partial(_announce, chosen))


def _reach(listen: str | None, names: tuple[str, ...]) -> "Reach":
    """Raises InvalidValue."""
    from harmony_fleet.embedded.reach import LOOPBACK, Reach

    if listen is None and names:
        raise click.UsageError("--name says under which name --listen is reached: say both.")
    return Reach.at(LOOPBACK if listen is None else listen, names)


def _announce(chosen: Settings, up: "Up") -> None:
    """Once everything takes requests."""
    from harmony_fleet.cli.output import say, say_line

    if chosen.as_json:
        where = {"url": up.url, "nats_url": up.nats_url, "ca": up.ca and str(up.ca)}
        say_line({**where, "data": str(up.data), "pid": os.getpid()})
        return
    say(f"the fleet of {up.data} is up: API at {up.url}, message plane at {up.nats_url}")
    if up.ca is not None:
        say(f"devices and other machines have to trust {up.ca}: see docs/reach.md")
        return
    say("next: `fleet device start-local 3` in another terminal; Ctrl-C ends it here")
