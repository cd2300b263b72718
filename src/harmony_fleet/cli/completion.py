"""`fleet completion`: the script that makes a shell complete commands, devices and versions."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from harmony_fleet.cli.settings import FleetCommand, settings

NAMES: Final = ("fleet", "harmony-fleet")
"""Under both the package installs the command line."""


@click.command(cls=FleetCommand)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell, for `fleet` and `harmony-fleet`.

    For bash, put `eval "$(fleet completion bash)"` into ~/.bashrc; for zsh the same with zsh into
    ~/.zshrc; for fish: fleet completion fish > ~/.config/fish/completions/fleet.fish
    """
    from harmony_fleet.cli.output import say, say_document

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    root = context.find_root().command
    script = "\n".join(found(root, {}, name, _variable(name)).source() for name in NAMES)
    if settings().as_json:
        say_document({"shell": shell, "script": script})
    else:
        say(script)


def _variable(name: str) -> str:
    """As click itself derives it from the name that a program was called by."""
    return f"_{name.replace('-', '_').upper()}_COMPLETE"
