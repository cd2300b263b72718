"""Writes the reference of the command line and its man page, from the commands themselves.

python docs/cli_reference.py           writes docs/cli.md and docs/man/fleet.1
python docs/cli_reference.py --check   exits 1, with a sentence, where a file differs from the code
"""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

import harmony_fleet
from harmony_fleet.cli.errors import BAD_INPUT, FAILED, INTERRUPTED
from harmony_fleet.cli.main import DEBUG, fleet

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "cli.md"
MAN: Final = ROOT / "docs" / "man" / "fleet.1"

SHARED: Final = (
    "--data",
    "--ca",
    "--in-cluster",
    "--kubeconfig",
    "--context",
    "--namespace",
    "--service",
    "--json",
    "--help",
)
"""Options of every command, told once."""
STATUSES: Final = (
    (0, "It is done, or ordered; with `--wait`, seen to succeed."),
    (FAILED, "What was asked was right, and failed, or was done for some of the devices only."),
    (BAD_INPUT, "What was typed or named cannot be used; nothing was changed."),
    (INTERRUPTED, "Interrupted. Nothing was undone, but what `dev cluster up` had begun to make."),
)
ENVIRONMENT: Final = (
    ("FLEET_DATA", "The fleet's data folder, where `--data` is not said."),
    ("FLEET_CA", "The authority to trust, where `--ca` is not said."),
    ("KUBECONFIG", "Where a cluster is, where `--kubeconfig` is not said."),
    ("FLEET_K3D", "Your own k3d, where `--k3d` is not said."),
    (DEBUG, "Set to anything: an error that nobody foresaw is shown with its traceback."),
    ("NO_COLOR", "Set to anything: no colours."),
)
MARKDOWN_HEAD: Final = """\
# The command line

<!-- written by docs/cli_reference.py from src/harmony_fleet/cli; do not edit -->

`fleet`, also installed as `harmony-fleet`, talks to the control plane over HTTP. As `kubectl fleet`
it asks the operator of a cluster: see [kubectl-fleet](kubectl-fleet.md). Answers go to stdout,
remarks and errors to stderr. The same text is the manual page, [fleet.1](man/fleet.1).
"""


@dataclass(frozen=True)
class Command:
    name: str
    """In full: `fleet device list`."""
    usage: str
    paragraphs: tuple[tuple[str, ...], ...]
    """Of lines to be filled, or, where the first is `VERBATIM`, to be kept."""
    options: tuple[tuple[str, str], ...]


VERBATIM: Final = "\b"


def commands() -> tuple[Command, ...]:
    """Every command that does something, in the order of the help."""
    return tuple(_below(fleet, _root()))


def shared() -> tuple[tuple[str, str], ...]:
    return tuple(_records(fleet, _root(), told_once=True))


def _root() -> click.Context:
    return click.Context(fleet, info_name="fleet", **fleet.context_settings)


def _below(group: click.Group, context: click.Context) -> Iterator[Command]:
    for name in group.list_commands(context):
        command = group.commands[name]
        inside = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _below(command, inside)
        else:
            yield _described(command, inside)


def _described(command: click.Command, context: click.Context) -> Command:
    pieces = " ".join(command.collect_usage_pieces(context))
    return Command(
        context.command_path,
        f"{context.command_path} {pieces}".strip(),
        _paragraphs(command.help or ""),
        tuple(_records(command, context, told_once=False)),
    )


def _records(
    command: click.Command, context: click.Context, *, told_once: bool
) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if not isinstance(parameter, click.Option) or record is None:
            continue  # an argument is told by the usage and the help
        is_shared = bool(set(SHARED) & set(parameter.opts)) and not parameter.expose_value
        if is_shared is told_once:
            yield record[0], " ".join(record[1].split())


def _paragraphs(text: str) -> tuple[tuple[str, ...], ...]:
    every = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return tuple(tuple(paragraph.splitlines()) for paragraph in every if paragraph.strip())


# As Markdown


def page() -> str:
    parts = [MARKDOWN_HEAD, "## Options of every command\n", _listed(shared())]
    parts += ["## Exit status\n", _listed([(str(number), text) for number, text in STATUSES])]
    parts += ["## Environment\n", _listed(ENVIRONMENT)]
    for command in commands():
        parts.append(f"## {command.name}\n\n```\n{command.usage}\n```\n")
        parts += [_marked_down(paragraph) for paragraph in command.paragraphs]
        if command.options:
            parts.append(_listed(command.options))
    return "\n".join(parts)


def _listed(records: "tuple[tuple[str, str], ...] | list[tuple[str, str]]") -> str:
    return "\n".join(f"- `{name}`: {text}" for name, text in records) + "\n"


def _marked_down(paragraph: tuple[str, ...]) -> str:
    if paragraph[0] == VERBATIM:
        return "\n".join(("```", *paragraph[1:], "```")) + "\n"
    return "\n".join(paragraph) + "\n"


# As a manual page: man(7), section 1


def manual() -> str:
    lines = [
        '.\\" written by docs/cli_reference.py from src/harmony_fleet/cli; do not edit',
        f'.TH FLEET 1 "" "harmony\\-fleet {harmony_fleet.__version__}"',
        ".nh",  # a path or an option that is broken in two could not be copied
        ".ad l",
        *_section("NAME", ["fleet \\- upgrade the agent on every device of a fleet"]),
        *_section("SYNOPSIS", [f"\\fBfleet\\fR {_roff('COMMAND [OPTIONS] [ARGUMENTS]...')}"]),
        ".SH DESCRIPTION",
    ]
    for paragraph in _paragraphs(fleet.help or ""):
        lines += _typeset(paragraph)
    lines += _section("OPTIONS OF EVERY COMMAND", _tagged(shared()))
    lines.append(".SH COMMANDS")
    for command in commands():
        lines += [f".SS {_roff(command.name)}", f"\\fB{_roff(command.usage)}\\fR"]
        for paragraph in command.paragraphs:
            lines += _typeset(paragraph)
        lines += _tagged(command.options)
    lines += _section("EXIT STATUS", _tagged([(str(number), text) for number, text in STATUSES]))
    lines += _section("ENVIRONMENT", _tagged(ENVIRONMENT))
    return "\n".join(lines) + "\n"


def _section(title: str, lines: list[str]) -> list[str]:
    return [f".SH {title}", *lines]


def _tagged(records: "tuple[tuple[str, str], ...] | list[tuple[str, str]]") -> list[str]:
    found = []
    for name, text in records:
        found += [".TP", f"\\fB{_roff(name)}\\fR", _roff(text)]
    return found


def _typeset(paragraph: tuple[str, ...]) -> list[str]:
    if paragraph[0] == VERBATIM:
        return [".PP", ".nf", *map(_roff, paragraph[1:]), ".fi"]
    return [".PP", *map(_roff, paragraph)]


def _roff(text: str) -> str:
    """With `code` in bold, and no character at a line's begin that would be a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main(arguments: list[str]) -> int:
    differing = []
    for path, wanted in ((PAGE, page()), (MAN, manual())):
        if arguments != ["--check"]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != wanted:
            differing.append(path)
    for path in differing:
        sys.stderr.write(
            f"{path.relative_to(ROOT)} differs from the code: run `make reference`, and commit it\n"
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
