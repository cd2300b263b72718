"""`fleet release`: versions that devices can be upgraded to."""

from pathlib import Path

import click

from harmony_fleet.cli.arguments import Version
from harmony_fleet.cli.settings import FleetGroup, settings


@click.group(cls=FleetGroup)
def release() -> None:
    """Add agent versions, look at those that were added, and withdraw bad ones."""


@release.command()
@click.argument("what", metavar="FILE | VERSION", type=click.Path())
@click.option("--url", help="VERSION is at this http or https URL, and is not copied.")
@click.option("--sha256", metavar="HEX", help="With --url: of the whole file.")
@click.option("--size", metavar="BYTES", type=int, help="With --url: of the whole file.")
def add(what: str, url: str | None, sha256: str | None, size: int | None) -> None:
    """Add the artifact FILE; its version is the one that its own manifest names.

    The file is read, and never run. The same bytes may be added again; other bytes for a version
    that is there are refused.

    With --url, --sha256 and --size the artifact of VERSION stays on another server, which devices
    must reach, and only its place is kept. Nothing is downloaded here: whether it is that version,
    and runs on a device's Python, each device finds out, in the self-test before anything is
    changed. The same VERSION and digest with another --url says where the file lies now.
    """
    from harmony_fleet.cli import showing_releases

    chosen = settings()
    if url is None and sha256 is None and size is None:
        file = Path(what)
        found = showing_releases.look_into(file)
        with chosen.connect() as client:
            showing_releases.add(chosen, client, file, found)
        return
    if url is None or sha256 is None or size is None:
        raise click.UsageError("Say --url, --sha256 and --size together, or none of them.")
    elsewhere = showing_releases.elsewhere(what, url, sha256, size)
    with chosen.connect() as client:
        showing_releases.refer(chosen, client, what, elsewhere)


@release.command()
@click.argument("version", metavar="VERSION", type=Version())
@click.option("--reason", metavar="TEXT", help="Why, for whoever would order it.")
@click.option("--undo", is_flag=True, help="Take the withdrawal back.")
def withdraw(version: str, reason: str | None, undo: bool) -> None:
    """Let no new order name VERSION, neither an upgrade nor a rollback.

    Upgrades to it that are under way go on, and devices that run it go on running it; `fleet abort`
    and `fleet rollback` are for these. Its file stays where it is, and adding it again does not
    bring it back. Done once more, with another reason, the reason is the new one.
    """
    if undo == (reason is not None):
        raise click.UsageError("Say why by --reason TEXT, or --undo: one of these.")
    if reason is not None and not reason.strip():
        raise click.UsageError("--reason is empty: say why, for whoever would order it.")
    from harmony_fleet.cli import showing_releases

    chosen = settings()
    with chosen.connect() as client:
        answer = client.withdraw_release(version, reason and reason.strip())
        showing_releases.show_withdrawn(chosen, client, answer)


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
