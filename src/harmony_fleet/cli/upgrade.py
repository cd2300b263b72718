"""`fleet upgrade`, `fleet abort`, `fleet rollback`: what is ordered, and what has become of it."""

from typing import TYPE_CHECKING

import click

from harmony_fleet.cli.arguments import (
    Seconds,
    all_option,
    chosen_devices,
    devices_argument,
    selector_option,
    version_option,
)
from harmony_fleet.cli.settings import FleetCommand, settings

if TYPE_CHECKING:
    from harmony_fleet.cli.ordering import Wait

_waits = click.option(
    "--wait", "waits", is_flag=True, help="Until each has ended; shows the way there."
)
_timeout = click.option("--timeout", type=Seconds(), metavar="S", help="Wait no longer.")


@click.command(cls=FleetCommand)
@devices_argument
@selector_option
@all_option
@version_option
@_waits
@_timeout
@click.option("--retry", is_flag=True, help="Also where this very artifact has failed before.")
@click.option("--replace", is_flag=True, help="Also where another upgrade is under way.")
def upgrade(
    devices: tuple[str, ...],
    selector: str | None,
    every: bool,
    version: str,
    waits: bool,
    timeout: float | None,
    retry: bool,
    replace: bool,
) -> None:
    """Order an upgrade of DEVICE..., of those that -l selects, or of --all.

    Of named devices, all take the order or none does. Of others, those that cannot take it say so.
    With --wait the exit status is 0 only if every upgrade ordered here was seen to succeed. An
    upgrade goes on whether or not anybody waits.
    """
    wanted = chosen_devices(devices, selector, every=every)
    wait = _wait(waits, timeout)
    chosen = settings()
    with chosen.connect() as client:
        answer = client.upgrade(wanted, version, retry=retry, replace=replace)
    from harmony_fleet.cli import ordering

    ordering.report(chosen, answer, version, wait)


@click.command(cls=FleetCommand)
@devices_argument
@selector_option
def abort(devices: tuple[str, ...], selector: str | None) -> None:
    """Order the end of the upgrade under way on DEVICE..., or on those that -l selects.

    The device has the last word: what it has committed already is not undone by an abort.
    """
    from harmony_fleet.cli import ordering

    wanted, chosen = chosen_devices(devices, selector), settings()
    with chosen.connect() as client:
        answer = client.abort(wanted)
    ordering.report_abort(chosen, answer)


@click.command(cls=FleetCommand)
@devices_argument
@selector_option
@_waits
@_timeout
def rollback(
    devices: tuple[str, ...], selector: str | None, waits: bool, timeout: float | None
) -> None:
    """Order DEVICE..., or those that -l selects, back to what they ran before.

    That is the version before the newest upgrade that succeeded, for each device its own. It is
    an upgrade like any other, with the same tests and the same way back. Where one device cannot
    be ordered back, none is. An upgrade that is still under way is ended by `fleet abort`.
    """
    wanted, wait = chosen_devices(devices, selector), _wait(waits, timeout)
    chosen = settings()
    with chosen.connect() as client:
        answer = client.rollback(wanted)
    from harmony_fleet.cli import ordering

    ordering.report_rollback(chosen, answer, wait)


def _wait(waits: bool, timeout: float | None) -> "Wait | None":
    from harmony_fleet.cli.ordering import Wait

    if timeout is not None and not waits:
        raise click.UsageError("--timeout is for --wait: say both.")
    return Wait(timeout) if waits else None
