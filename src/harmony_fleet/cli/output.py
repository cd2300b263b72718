"""Where words go: answers to stdout, remarks and errors to stderr, JSON where it was asked for."""

import json
import os
import shutil
import sys
import textwrap
from typing import Any, Final

import click

from harmony_fleet.cli.errors import ServerFailed
from harmony_fleet.cli.settings import PLUGIN

_NARROWEST: Final = 40
_READABLE: Final = 100
"""Columns. Longer lines of prose are hard to read, however wide the terminal."""


def on_terminal() -> bool:
    """Whether a person looks on, at something that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def say(line: str = "") -> None:
    _print(as_called(line, called_by()))


def _print(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()  # whoever reads a pipe sees each line as it comes


def called_by() -> str:
    """The program's name, as it was typed."""
    context = click.get_current_context(silent=True)
    return (context and context.find_root().info_name) or ""


def as_called(text: str, name: str) -> str:
    """A sentence whose commands can be typed where it is read."""
    return text.replace("`fleet ", f"`{PLUGIN} ") if name == PLUGIN else text


def say_wrapped(text: str, indent: int = 0) -> None:
    """On a terminal broken between words, further lines `indent` deep; in a pipe as it is."""
    if on_terminal():
        columns = max(_NARROWEST, min(shutil.get_terminal_size().columns, _READABLE))
        text = textwrap.fill(text, columns, subsequent_indent=" " * indent, break_on_hyphens=False)
    say(text)


def remark(line: str) -> None:
    """To stderr: never a part of the answer."""
    click.echo(as_called(line, called_by()), err=True)


def say_document(document: Any) -> None:
    """The one JSON document of a command."""
    _print(json.dumps(document, indent=2))


def say_line(document: Any) -> None:
    """One of several JSON lines."""
    _print(json.dumps(document, separators=(",", ":")))


def parsed(answer: bytes) -> Any:
    """Raises ServerFailed: not JSON."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ServerFailed(f"the operator's answer is not JSON ({error})") from error


def say_answer(answer: bytes) -> None:
    """What the operator said, as it said it."""
    say_document(parsed(answer))
