"""`fleet backup` and `fleet restore`: the control plane's data folder as one file, and back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harmony_fleet.cli.settings import MachineCommand, settings

if TYPE_CHECKING:
    from harmony_fleet.embedded.backup.manifest import Manifest

_file = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))


@click.command(cls=MachineCommand)
@_file
def backup(file: Path) -> None:
    """Write all that the control plane knows into FILE, also while it is up.

    That is devices, orders, events and releases, the account keys that let devices in, and the
    token: keep the file as safe as the data folder. Only its owner can read it.
    """
    from harmony_fleet.cli.output import say, say_document
    from harmony_fleet.cli.words import size
    from harmony_fleet.embedded.backup.make import back_up

    chosen = settings()
    made = back_up(chosen.data, file)
    _remark_missing(made.manifest)
    if chosen.as_json:
        say_document({"file": str(file), "size_bytes": made.size_bytes, **_told(made.manifest)})
        return
    say(f"{file}  {size(made.size_bytes)}, {_counted(made.manifest)}")
    say("it holds the keys of every device's account and the API's token: keep it secret")


@click.command(cls=MachineCommand)
@_file
@click.option(
    "--replace", is_flag=True, help="Move what a control plane has there aside, then restore."
)
def restore(file: Path, replace: bool) -> None:
    """Make the data folder what it was when the backup FILE was made.

    The control plane must not be up on it. FILE is checked before anything is changed, and it is
    restored as a whole or not at all. Devices go on as they are and say again what they know.
    """
    from harmony_fleet.cli.output import say, say_document
    from harmony_fleet.embedded.backup.restore import restore as put_back

    chosen = settings()
    done = put_back(file, chosen.data, replace=replace)
    _remark_missing(done.manifest)
    if chosen.as_json:
        aside = None if done.aside is None else str(done.aside)
        say_document({"data": str(chosen.data), "aside": aside, **_told(done.manifest)})
        return
    say(f"{chosen.data} is as it was at {done.manifest.made_at}: {_counted(done.manifest)}")
    if done.aside is not None:
        say(f"what was there before is in {done.aside}: it holds secrets; delete it in the end")
    say("next: `fleet up`")


def _remark_missing(manifest: "Manifest") -> None:
    from harmony_fleet.cli.output import remark
    from harmony_fleet.cli.words import named

    if missing := list(manifest.missing):
        remark(f"fleet: lost or damaged already, so not in it: {named(missing)}: add them again")


def _told(manifest: "Manifest") -> dict[str, object]:
    return {
        "made_at": manifest.made_at,
        "product_version": manifest.product_version,
        "devices": manifest.devices,
        "releases": manifest.releases,
        "missing_artifacts": list(manifest.missing),
    }


def _counted(manifest: "Manifest") -> str:
    from harmony_fleet.cli.words import count

    return f"{count(manifest.devices, 'device')}, {count(manifest.releases, 'release')}"
