"""`fleet upgrade` and `fleet abort`: what is ordered, and what has become of it."""

import click

from harmony_fleet.cli.arguments import Version, devices_argument
from harmony_fleet.cli.settings import FleetCommand, settings


@click.command(cls=FleetCommand)
@devices_argument()
@click.option("--all", "every", is_flag=True, help="Every device of the fleet.")
@click.option("--to", "version", type=Version(), required=True, help="A version that was added.")
@click.option("--wait", "waits", is_flag=True, help="Until each has ended; shows the way there.")
@click.option("--timeout", type=click.FloatRange(min=0.0), metavar="S", help="Wait no longer.")
@click.option("--retry", is_flag=True, help="Also where this very artifact has failed before.")
@click.option("--replace", is_flag=True, help="Also where another upgrade is under way.")
def upgrade(
    devices: tuple[str, ...],
    every: bool,
    version: str,
    waits: bool,
    timeout: float | None,
    retry: bool,
    replace: bool,
) -> None:
    """Order an upgrade of DEVICE... or of --all.

    With --wait the exit status is 0 only if every upgrade ordered here was seen to succeed. An
    upgrade goes on whether or not anybody waits.
    """
    if bool(devices) == every:
        raise click.UsageError("Name the devices to upgrade, or say --all.")
    if timeout is not None and not waits:
        raise click.UsageError("--timeout is for --wait: say both.")
    chosen = settings()
    with chosen.connect() as client:
        answer = client.upgrade(
            None if every else list(devices), version, retry=retry, replace=replace
        )
    from harmony_fleet.cli import ordering

    ordering.report(chosen, answer, version, ordering.Wait(timeout) if waits else None)


@click.command(cls=FleetCommand)
@devices_argument(required=True)
def abort(devices: tuple[str, ...]) -> None:
    """Order the end of the upgrade under way on DEVICE...

    The device has the last word: what it has committed already is not undone by an abort.
    """
    from harmony_fleet.cli import ordering

    chosen = settings()
    with chosen.connect() as client:
        answer = client.abort(list(devices))
    ordering.report_abort(chosen, answer)
