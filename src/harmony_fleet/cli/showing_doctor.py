"""The doctor's findings in words, or as one JSON document."""

import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import click

from harmony_fleet.cli.errors import FAILED
from harmony_fleet.cli.output import on_terminal, say, say_document
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.words import count
from harmony_fleet.embedded.doctor.finding import Finding, Level
from harmony_fleet.printable import printable

COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
_LEVEL: Final = max(map(len, Level)) + 2
_NARROWEST: Final = 60
_WIDEST: Final = 110


def show(settings: Settings, findings: Sequence[Finding]) -> int:
    """The exit status: 1 where there is a problem."""
    sick = any(one.level is Level.PROBLEM for one in findings)
    if settings.as_json:
        say_document({"well": not sick, "checks": [asdict(one) for one in findings]})
    else:
        for line in lines(findings):
            say(_coloured(line))
    return FAILED if sick else 0


def lines(findings: Sequence[Finding]) -> list[str]:
    """Each finding, how to mend it below it, and the count of them all."""
    indent = _LEVEL + max(len(one.check) for one in findings) + 2
    found = []
    for one in findings:
        head = f"{one.level:{_LEVEL}}{one.check:{indent - _LEVEL}}"
        found += _wrapped(f"{head}{printable(one.sentence)}", indent)
        if one.mend:
            found += _wrapped(f"{' ' * indent}→ {printable(one.mend)}", indent + 2)
    return [*found, closing(findings)]


def closing(findings: Sequence[Finding]) -> str:
    problems = sum(one.level is Level.PROBLEM for one in findings)
    warnings = sum(one.level is Level.WARNING for one in findings)
    if not problems and not warnings:
        return f"all is well ({len(findings)} checks)"
    return f"{count(problems, 'problem')}, {count(warnings, 'warning')} ({len(findings)} checks)"


def _wrapped(line: str, indent: int) -> list[str]:
    """In a pipe as it is."""
    if not on_terminal():
        return [line]
    columns = max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))
    return textwrap.wrap(
        line,
        columns,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _coloured(line: str) -> str:
    if not on_terminal() or os.environ.get("NO_COLOR"):
        return line
    for level, colour in COLOURS.items():
        if line.startswith(f"{level} "):
            return (
                click.style(str(level), fg=colour, bold=level is Level.PROBLEM) + line[len(level) :]
            )
    return line
