"""`fleet plane`: what a message plane needs that `fleet up` does not run itself."""

import re
from pathlib import Path

import click

from harmony_fleet.cli.settings import FleetGroup, settings

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123, as Kubernetes names namespaces."""

_WHAT_FOR = {
    "operator.creds": "the operator's own credentials; they are in the Secret as well",
    "signing.seed": "signs the keys of devices; it is in the Secret as well",
    "secret.yaml": "for `kubectl apply -f`: what the operator's pods mount",
    "nats-values.yaml": "for the chart of NATS: `helm install … -f`",
    "operator-values.yaml": "for the chart harmony-fleet: `helm install … -f`",
}


@click.group(cls=FleetGroup)
def plane() -> None:
    """Prepare a message plane in Kubernetes; `fleet up` brings its own."""


def _namespace(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise click.BadParameter(f"{value[:80]!r} is no name of a namespace.")
    return value


@plane.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="A new folder, or that of the run before.",
)
@click.option(
    "--namespace",
    default="harmony-fleet",
    show_default=True,
    callback=_namespace,
    help="The operator's, for its Secrets.",
)
def keys(output: Path, namespace: str) -> None:
    """Make the accounts of a message plane, once, and the files for Kubernetes that they go into.

    DIR is for its owner alone. A file that is there already is never written again: a second run
    adds what is missing. DIR/accounts holds the seeds of every account: keep it safe, and off the
    cluster. Without it no account can be changed later.
    """
    from harmony_fleet.cli.output import say, say_document
    from harmony_fleet.embedded.plane_keys import ACCOUNTS, make_plane_keys

    made = make_plane_keys(output, namespace)
    if settings().as_json:
        say_document(
            {
                "folder": str(made.folder),
                "devices_account": made.devices_account,
                "made": list(made.made),
                "kept": list(made.kept),
            }
        )
        return
    width = max(map(len, _WHAT_FOR))
    for name in (*made.made, *made.kept):
        kept = "  (was there: left as it is)" if name in made.kept else ""
        say(f"{name:{width}}  {_WHAT_FOR[name]}{kept}")
    say(f"the devices' account is {made.devices_account}")
    say(f"{made.folder / ACCOUNTS} holds every seed: keep it safe, and off the cluster")
