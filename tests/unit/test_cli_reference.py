"""The reference of the command line, and its manual page, say every command and option there is."""

import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from harmony_fleet.cli.main import fleet

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "cli_reference.py"))


def leaves(command: click.Command, path: str = "fleet") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, f"{path} {name}")
    else:
        yield path, command


def test_every_command_has_a_section_with_its_options_and_its_help(written: dict[str, Any]) -> None:
    page = written["page"]()
    for path, command in leaves(fleet):
        section = page.split(f"\n## {path}\n")[1].split("\n## ")[0]
        assert f"```\n{path} [OPTIONS]" in section, path
        assert str(command.help).split("\n", maxsplit=1)[0] in section
        for option in command.params:
            if isinstance(option, click.Option) and option.expose_value:
                assert f"{option.opts[-1]}" in section, (path, option.name)
    assert page.count("--json`: ") == page.count("--data DIR`: ") == 1


def test_the_manual_page_has_them_too_and_is_typeset_without_a_warning(
    written: dict[str, Any],
) -> None:
    manual = written["manual"]()
    for path, _ in leaves(fleet):
        assert f"\n.SS {path}\n".replace("-", "\\-") in manual
    if groff := shutil.which("groff"):
        argv = [groff, "-man", "-Tutf8", "-ww", "-P-cbou"]
        ran = subprocess.run(argv, input=manual, capture_output=True, text=True, check=True)
        assert ran.stderr == ""
        assert "fleet rollback" in ran.stdout


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a-b", "a\\-b"),
        ("say `fleet up` now", "say \\fBfleet up\\fR now"),
        (".begins", "\\&.begins"),
        ("'quoted'", "\\&'quoted'"),
        ("back\\slash", "back\\eslash"),
    ],
)
def test_no_text_of_ours_is_taken_for_a_request(
    written: dict[str, Any], text: str, wanted: str
) -> None:
    assert written["_roff"](text) == wanted


def test_a_file_that_differs_from_the_commands_is_named(
    written: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    main = written["main"]
    assert main(["--check"]) == 0
    main.__globals__["page"] = lambda: "other"
    assert main(["--check"]) == 1
    assert "docs/cli.md differs from the code: run `make reference`" in capsys.readouterr().err
