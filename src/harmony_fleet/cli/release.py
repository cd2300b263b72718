"""`fleet release`: versions that devices can be upgraded to."""

from pathlib import Path

import click

from harmony_fleet.cli.arguments import Version
from harmony_fleet.cli.settings import FleetGroup, settings


@click.group(cls=FleetGroup)
def release() -> None:
    """Add agent versions, and look at those that were added."""


@release.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def add(file: Path) -> None:
    """Add the artifact FILE; its version is the one that its own manifest names.

    The file is read, and never run. The same bytes may be added again; other bytes for a version
    that is there are refused.
    """
    from harmony_fleet.cli import showing_releases

    chosen = settings()
    found = showing_releases.look_into(file)
    with chosen.connect() as client:
        showing_releases.add(chosen, client, file, found)


@release.command("list")
def list_releases() -> None:
    """All releases, in the order in which they were added."""
    from harmony_fleet.cli import showing_releases

    chosen = settings()
    with chosen.connect() as client:
        showing_releases.show_list(chosen, client.releases())


@release.command()
@click.argument("version", metavar="VERSION", type=Version())
def show(version: str) -> None:
    """One release."""
    from harmony_fleet.cli import showing_releases

    chosen = settings()
    with chosen.connect() as client:
        showing_releases.show_one(chosen, client.release(version))
