"""`fleet support-bundle`: one file for whoever looks into a fault."""

from pathlib import Path
from typing import Any

import click

from harmony_fleet.cli.settings import MachineCommand, Settings, settings


@click.command("support-bundle", cls=MachineCommand)
@click.argument(
    "file", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, path_type=Path)
)
def support_bundle(file: Path | None) -> None:
    """Collect what a maintainer needs into FILE, without a secret in it.

    That is versions, settings, devices, orders, events, releases, the doctor's result and the ends
    of the logs. Tokens, keys, seeds, JWTs and credentials in URLs are taken out. Nothing is sent.
    """
    from harmony_fleet.cli.output import say, say_document
    from harmony_fleet.cli.words import count
    from harmony_fleet.embedded.support.bundle import write_bundle

    chosen = settings()
    written = file or Path(_name())
    names = write_bundle(written, chosen.data, _documents(chosen))
    if chosen.as_json:
        say_document({"file": str(written), "parts": names})
        return
    say(f"{written}  {count(len(names), 'part')}; it names devices, files and this machine")
    say("look through it before you give it away. What `fleet up` has said is not in it: add that")


def _name() -> str:
    from datetime import UTC, datetime

    return f"fleet-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"


def _documents(chosen: Settings) -> dict[str, Any]:
    """What the doctor finds, and what a control plane that is up says of its devices now."""
    from dataclasses import asdict

    from harmony_fleet.cli.examining import examine_all
    from harmony_fleet.cli.output import parsed
    from harmony_fleet.contracts.errors import FleetError

    found = {"doctor.json": [asdict(one) for one in examine_all(chosen.data, ca=chosen.ca)]}
    try:
        with chosen.connect() as client:
            return found | {
                "now/health.json": parsed(client.get("/healthz")),
                "now/devices.json": parsed(client.devices()),
            }
    except (FleetError, OSError) as error:
        return found | {"now/missing.txt": f"{error}\n"}
