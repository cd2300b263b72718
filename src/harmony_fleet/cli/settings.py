"""The options that every command takes, before or after its name, and what follows from them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from harmony_fleet.cli.client import FleetClient

_CA: Final = "harmony_fleet.ca"
_DATA: Final = "harmony_fleet.data"
_JSON: Final = "harmony_fleet.json"


@dataclass(frozen=True, slots=True)
class Settings:
    data: Path
    """The folder that one `fleet up` serves."""
    as_json: bool
    ca: Path | None = None
    """The authority to trust; None: the data folder's own."""

    def connect(self, answer_limit_s: float | None = None) -> "FleetClient":
        """`answer_limit_s`: where an answer may take longer. Nothing is sent yet.

        Raises NotUp, AuthorityUnreadable.
        """
        from harmony_fleet.cli.client import ANSWER_LIMIT_S, FleetClient

        return FleetClient(self.data, answer_limit_s or ANSWER_LIMIT_S, ca=self.ca)


def settings() -> Settings:
    """Of the command that is running. The option nearest to the command's end wins."""
    meta = click.get_current_context().meta
    ca = meta.get(_CA) or _named_by("FLEET_CA")
    return Settings(meta.get(_DATA) or default_data(), bool(meta.get(_JSON)), ca)


def default_data() -> Path:
    """$FLEET_DATA, else the user's own data folder, as the XDG base directory page has it."""
    if named := _named_by("FLEET_DATA"):
        return named
    shared = os.environ.get("XDG_DATA_HOME", "")
    home = Path(shared) if shared.startswith("/") else Path.home() / ".local/share"
    return home / "harmony-fleet"


def _named_by(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named).expanduser().absolute() if named else None


class FleetCommand(click.Command):
    """A command with the shared options after its own."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.params += _shared_options()


class FleetGroup(click.Group):
    """A group whose commands and groups all take the shared options."""

    command_class = FleetCommand
    group_class = type

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.params += _shared_options()


def _shared_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--data"],
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="The fleet's data folder; else $FLEET_DATA, else ~/.local/share/harmony-fleet.",
            expose_value=False,
            callback=_keep_data,
        ),
        click.Option(
            ["--ca"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The authority that vouches for the control plane where it speaks TLS; else "
            "$FLEET_CA, else the data folder's own.",
            expose_value=False,
            callback=_keep_ca,
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            help="Answer in JSON on stdout, errors in JSON on stderr.",
            expose_value=False,
            callback=_keep_json,
        ),
    ]


def _keep_data(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_DATA] = value.expanduser().absolute()


def _keep_ca(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_CA] = value.expanduser().absolute()


def _keep_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_JSON] = True
