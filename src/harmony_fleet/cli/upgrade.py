"""`fleet upgrade`, `fleet abort`, `fleet rollback`: what is ordered, and what has become of it."""

from typing import TYPE_CHECKING

import click

from harmony_fleet.cli.arguments import Version, devices_argument
from harmony_fleet.cli.settings import FleetCommand, settings

if TYPE_CHECKING:
    from harmony_fleet.cli.ordering import Wait

_waits = click.option(
    "--wait", "waits", is_flag=True, help="Until each has ended; shows the way there."
)
_timeout = click.option(
    "--timeout", type=click.FloatRange(min=0.0), metavar="S", help="Wait no longer."
)


@click.command(cls=FleetCommand)
@devices_argument()
@click.option("--all", "every", is_flag=True, help="Every device of the fleet.")
@click.option("--to", "version", type=Version(), required=True, help="A version that was added.")
@_waits
@_timeout
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
    wait = _wait(waits, timeout)
    chosen = settings()
    with chosen.connect() as client:
        answer = client.upgrade(
            None if every else list(devices), version, retry=retry, replace=replace
        )
    from harmony_fleet.cli import ordering

    ordering.report(chosen, answer, version, wait)


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


@click.command(cls=FleetCommand)
@devices_argument(required=True)
@_waits
@_timeout
def rollback(devices: tuple[str, ...], waits: bool, timeout: float | None) -> None:
    """Order DEVICE... back to the version it ran before its newest upgrade that succeeded.

    It is an upgrade like any other, with the same tests and the same way back. Where one device
    cannot be ordered back, none is. An upgrade that is still under way is ended by `fleet abort`.
    """
    wait = _wait(waits, timeout)
    chosen = settings()
    with chosen.connect() as client:
        answer = client.rollback(list(devices))
    from harmony_fleet.cli import ordering

    ordering.report_rollback(chosen, answer, wait)


def _wait(waits: bool, timeout: float | None) -> "Wait | None":
    from harmony_fleet.cli.ordering import Wait

    if timeout is not None and not waits:
        raise click.UsageError("--timeout is for --wait: say both.")
    return Wait(timeout) if waits else None
