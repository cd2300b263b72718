"""`fleet simulate`: what a bad release or an outage would do, on the user's own numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from harmony_fleet.cli.arguments import Duration
from harmony_fleet.cli.settings import FleetCommand, settings

KINDS: Final = (
    "none",
    "wrong-bytes",
    "fails-self-test",
    "hangs-in-self-test",
    "never-ready",
    "candidate-crashes",
    "candidate-silent",
    "lies-about-its-version",
    "crash-at-once-after-commit",
    "crash-after-commit",
    "hang-after-commit",
    "no-contact-after-commit",
    "reboots-after-commit",
)
MOST_DEVICES: Final = 100_000
_DAY_S: Final = 86400.0
_OPTIONS: Final = (
    click.option(
        "--devices",
        type=click.IntRange(1, MOST_DEVICES),
        default=100,
        show_default=True,
        metavar="N",
        help="How many there are.",
    ),
    click.option(
        "--bad-release",
        "release",
        type=click.Choice(KINDS),
        default="none",
        show_default=True,
        metavar="KIND",
        help=f"What is wrong with the release that they are ordered to: {', '.join(KINDS)}.",
    ),
    click.option(
        "--plane-outage",
        type=Duration(1.0, 2 * _DAY_S),
        metavar="DURATION",
        help="The message plane is away for so long: 90s, 5m, 1h30m, or seconds.",
    ),
    click.option(
        "--operator-outage",
        type=Duration(1.0, 2 * _DAY_S),
        metavar="DURATION",
        help="The operator is away for so long.",
    ),
    click.option(
        "--outage-at",
        type=Duration(0.0, 30 * _DAY_S),
        metavar="DURATION",
        help="When it begins, after the first order; else when about half of the devices have "
        "downloaded.",
    ),
    click.option(
        "--at-once",
        type=click.IntRange(1, MOST_DEVICES),
        metavar="N",
        help="So many devices are ordered at once; else all. The others follow whatever has become "
        "of the first.",
    ),
    click.option(
        "--every",
        type=Duration(1.0, 7 * _DAY_S),
        metavar="DURATION",
        help="Between two such groups; else 15m.",
    ),
    click.option(
        "--probation",
        type=Duration(1.0, 7 * _DAY_S),
        default="10m",
        show_default=True,
        metavar="DURATION",
        help="The agents' upgrade.probation_s.",
    ),
    click.option(
        "--heartbeat",
        type=Duration(1.0, 3600.0),
        default="30s",
        show_default=True,
        metavar="DURATION",
        help="The agents' heartbeat.interval_s.",
    ),
    click.option(
        "--download",
        type=Duration(0.1, _DAY_S),
        default="10s",
        show_default=True,
        metavar="DURATION",
        help="Of the fastest device; the slowest takes twice as long.",
    ),
    click.option(
        "--fails-after",
        type=Duration(0.1, _DAY_S),
        metavar="DURATION",
        help="From each start of a release that crashes, hangs or reboots after its commit; "
        "else 20s.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 1_000_000),
        default=1,
        show_default=True,
        help="The same seed rehearses the same, on any machine.",
    ),
    click.option(
        "--picture",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Draw the devices by phase over time, as an SVG.",
    ),
)

Command = Callable[..., Any]


def _asking(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(cls=FleetCommand)
@_asking
def simulate(picture: Path | None, **asked: Any) -> None:
    """Rehearse an upgrade of a whole fleet, with a bad release, an outage, or both.

    \b
      fleet simulate --devices 10000 --bad-release crash-after-commit --plane-outage 5m
      fleet simulate --devices 500 --at-once 50 --every 20m --picture fleet.svg

    The agents and the operator are those that are shipped; devices, network and time are simulated,
    and no real one is touched. docs/rehearsing.md says what is assumed. No `fleet up` is needed.
    The exit status is 0 whatever becomes of the release, and 1 where something happened that must
    never happen.
    """
    from harmony_fleet.cli import rehearsing

    rehearsing.rehearse_and_show(settings(), rehearsing.asked_of(asked), picture)
