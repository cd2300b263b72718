"""The tutorial, typed from its first command to its last."""

import re
from pathlib import Path

import pytest
from tests.e2e.typed import ROOT, UP, free_port, shell, started, typed

pytestmark = pytest.mark.e2e

BLOCK = re.compile(
    r"```sh\n(?P<commands>.*?)```"
    r"(?:\n<!-- (?:exits (?P<status>\d+), )?sees: (?P<sees>.*?) -->)?",
    re.DOTALL,
)
OURS = {"make setup", ". .venv/bin/activate", "operator=$!"}
"""Done already, or with the start of the operator."""


def lines_of(block: re.Match[str], up: str) -> list[str]:
    lines = [
        up if line == UP else line for line in block["commands"].splitlines() if line not in OURS
    ]
    if block["status"]:
        lines[-1] += f" || [ $? = {block['status']} ]"
    return lines


def test_the_tutorials_commands_show_what_it_says(tmp_path: Path) -> None:
    blocks = list(BLOCK.finditer((ROOT / "docs/tutorial.md").read_text()))
    assert len(blocks) > 10
    up = started(tmp_path, free_port())
    with shell(tmp_path) as process:
        for number, block in enumerate(blocks):
            said = typed(process, lines_of(block, up), f"BLOCK-{number}-DONE")
            assert (block["sees"] or "") in said, f"{block[0]}\n\n{said}"
            assert "Traceback" not in said
