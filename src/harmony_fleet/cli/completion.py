"""`fleet completion`: the script that makes a shell complete commands, devices and versions."""

import click
from click.shell_completion import get_completion_class

from harmony_fleet.cli.settings import FleetCommand, settings


@click.command(cls=FleetCommand)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash, put `eval "$(fleet completion bash)"` into ~/.bashrc; for zsh the same with zsh into
    ~/.zshrc; for fish: fleet completion fish > ~/.config/fish/completions/fleet.fish
    """
    from harmony_fleet.cli.output import say, say_document

    root = context.find_root()
    name = root.info_name or "fleet"
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = found(root.command, {}, name, variable).source()
    if settings().as_json:
        say_document({"shell": shell, "script": script})
    else:
        say(script)
