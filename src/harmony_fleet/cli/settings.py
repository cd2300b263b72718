"""The options that every command takes, before or after its name, and what follows from them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from harmony_fleet.cli.errors import NotInCluster

if TYPE_CHECKING:
    from harmony_fleet.cli.client import FleetClient
    from harmony_fleet.cli.reach import Reach

PLUGIN: Final = "kubectl fleet"
"""What the command line is called as a plugin of kubectl: there it asks the cluster's operator."""
SERVICE: Final = "harmony-fleet"

_KEPT: Final = "harmony_fleet.{}"
"""Where the value of an option is kept, from whichever place on the line it was said at."""


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """The operator in a cluster, as it was named. None: as the kubeconfig has it."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    service: str = SERVICE

    def words(self) -> tuple[str, ...]:
        """The options that say the same."""
        said = (
            ("--kubeconfig", self.kubeconfig and str(self.kubeconfig)),
            ("--context", self.context),
            ("--namespace", self.namespace),
            ("--service", self.service),
        )
        return ("--in-cluster", *(word for pair in said if pair[1] for word in pair if word))


@dataclass(frozen=True, slots=True)
class Settings:
    data: Path
    """The folder that one `fleet up` serves."""
    as_json: bool
    ca: Path | None = None
    """The authority to trust; None: the data folder's own."""
    cluster: ClusterChoice | None = None
    """None: the operator is that of the data folder."""

    def connect(self, answer_limit_s: float | None = None) -> "FleetClient":
        """`answer_limit_s`: where an answer may take longer.

        Of a data folder's operator nothing is asked yet. Raises what `reach` does.
        """
        from harmony_fleet.cli.client import ANSWER_LIMIT_S, FleetClient

        limit_s = answer_limit_s or ANSWER_LIMIT_S
        return FleetClient(self.reach(min(limit_s, ANSWER_LIMIT_S)), limit_s)

    def reach(self, limit_s: float) -> "Reach":
        """Raises NotUp, AuthorityUnreadable, and for a cluster what `cluster_reach` does."""
        if self.cluster is None:
            from harmony_fleet.cli.folder_reach import folder_reach

            return folder_reach(self.data, self.ca)
        from harmony_fleet.cli.cluster_reach import cluster_reach

        return cluster_reach(self.cluster, limit_s)

    def words(self) -> tuple[str, ...]:
        """The options that lead another process to the same operator."""
        if self.cluster is not None:
            return self.cluster.words()
        trusted = () if self.ca is None else ("--ca", str(self.ca))
        return ("--data", str(self.data), *trusted)


def settings() -> Settings:
    """Of the command that is running. The option nearest to the command's end wins."""
    context = click.get_current_context()
    ca = _kept(context, "ca") or _named_by("FLEET_CA")
    data = _kept(context, "data") or default_data()
    return Settings(data, bool(_kept(context, "as_json")), ca, _cluster(context))


def _cluster(context: click.Context) -> ClusterChoice | None:
    """Raises UsageError: a data folder was named as well."""
    names = ("kubeconfig", "context", "namespace", "service")
    named = {name: value for name in names if (value := _kept(context, name)) is not None}
    is_plugin = context.find_root().info_name == PLUGIN
    if not (named or is_plugin or _kept(context, "in_cluster")):
        return None
    if _kept(context, "data") or _kept(context, "ca"):
        raise click.UsageError(
            "--data and --ca are of a control plane on its own, and not of one in a cluster."
        )
    return ClusterChoice(**named)


def _kept(context: click.Context, name: str) -> Any:
    return context.meta.get(_KEPT.format(name))


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
        self.params += _shared_beside(self.params)


class MachineCommand(FleetCommand):
    """A command of one machine and its data folder: it has no meaning for a cluster's operator."""

    def invoke(self, ctx: click.Context) -> Any:
        """Raises NotInCluster."""
        if settings().cluster is not None:
            raise NotInCluster(" ".join(ctx.command_path.split()[-_depth(ctx) :]))
        return super().invoke(ctx)


class FleetGroup(click.Group):
    """A group whose commands and groups all take the shared options."""

    command_class = FleetCommand
    group_class = type

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.params += _shared_beside(self.params)


def _depth(context: click.Context) -> int:
    """How many words the command itself has, without the program's."""
    return 0 if context.parent is None else 1 + _depth(context.parent)


_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


def _shared_options() -> list[click.Parameter]:
    implied = "Implies --in-cluster:"
    return [
        _shared(
            "--data",
            "The fleet's data folder; else $FLEET_DATA, else ~/.local/share/harmony-fleet.",
            type=_FOLDER,
            metavar="DIR",
        ),
        _shared(
            "--ca",
            "The authority that vouches for the control plane where it speaks TLS; else "
            "$FLEET_CA, else the data folder's own.",
            type=_FILE,
            metavar="FILE",
        ),
        _shared(
            "--in-cluster",
            "Ask the operator in a Kubernetes cluster, through its API server, as kubectl would.",
            is_flag=True,
        ),
        _shared(
            "--kubeconfig",
            f"{implied} by this file; else $KUBECONFIG, else ~/.kube/config.",
            type=_FILE,
            metavar="FILE",
        ),
        _shared(
            "--context", f"{implied} this context of it; else its current one.", metavar="NAME"
        ),
        _shared(
            "-n",
            f"{implied} the operator's namespace; else the context's, else default.",
            "--namespace",
            metavar="NAME",
        ),
        _shared(
            "--service",
            f"{implied} the operator's Service there; else {SERVICE}.",
            metavar="NAME",
        ),
        _shared(
            "--json",
            "Answer in JSON on stdout, errors in JSON on stderr.",
            "as_json",
            is_flag=True,
        ),
    ]


def _shared_beside(own: list[click.Parameter]) -> list[click.Parameter]:
    """Without those that the command itself has under the same name, and means something by."""
    taken = {option for parameter in own for option in parameter.opts}
    return [one for one in _shared_options() if not taken.intersection(one.opts)]


def _shared(name: str, text: str, *more: str, **options: Any) -> click.Option:
    return click.Option([name, *more], help=text, expose_value=False, callback=_keep, **options)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is None or value is False:
        return
    kept = value.expanduser().absolute() if isinstance(value, Path) else value
    context.meta[_KEPT.format(option.name)] = kept
