"""What the README says under *Use*, typed as it stands there by somebody who knows only that."""

import re
from pathlib import Path

import pytest
from tests.e2e.typed import ROOT, UP, free_port, shell, started, typed

pytestmark = pytest.mark.e2e


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text()
    block = re.search(r"## Use\n\n```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def test_the_readmes_commands_work_as_they_are_printed(tmp_path: Path) -> None:
    first, *rest = commands()
    assert first == UP
    with shell(tmp_path) as process:
        text = typed(process, [started(tmp_path, free_port()), *rest], "ALL-DONE")
    assert text.count("0.2.0  Succeeded") >= 3, text
    assert "Traceback" not in text
