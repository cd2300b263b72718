"""What the README says under *Use*, typed as it stands there by somebody who knows only that."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 240


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text()
    block = re.search(r"## Use\n\n```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A shell of a user whose data folder is empty, in a session of its own."""
    venv = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{venv}:{os.environ['PATH']}",
        "XDG_DATA_HOME": str(tmp_path),
    }
    with subprocess.Popen(
        ["sh"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        stop = [f"{venv}/fleet", "device", "stop-local"]
        subprocess.run(stop, env=environment, timeout=120, capture_output=True)
        os.killpg(process.pid, signal.SIGTERM)


def test_the_readmes_commands_work_as_they_are_printed(
    shell: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    first, *rest = commands()
    assert first == "fleet up &"
    up = tmp_path / "harmony-fleet" / "up.json"
    script = [
        "set -e",
        # any free port: whoever runs the tests may have a fleet of their own
        f"fleet up --port 0 >{tmp_path}/up.log 2>&1 &",
        f"for i in $(seq 300); do [ -e {up} ] && break; sleep 0.1; done",
        *rest,
        "echo ALL-DONE",
    ]
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write("\n".join(script) + "\n")
    shell.stdin.flush()
    said = []
    for line in shell.stdout:
        said.append(line)
        if line.startswith("ALL-DONE"):
            break
    text = "".join(said)
    assert said[-1:] == ["ALL-DONE\n"], text
    assert text.count("0.2.0  Succeeded") >= 3, text
    assert "Traceback" not in text
