import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli

PROGRAM = "from harmony_fleet.cli.main import run; run()"


@contextmanager
def up(data: Path, *before: str) -> Iterator[dict[str, object]]:
    """A real one; gives what it announced."""
    argv = [
        *before,
        sys.executable,
        "-c",
        PROGRAM,
        "up",
        "--port",
        "0",
        "--json",
        "--data",
        str(data),
    ]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def refused(data: Path, *arguments: str) -> str:
    """The last words of one that cannot be up."""
    argv = [sys.executable, "-c", PROGRAM, "up", "--data", str(data), *arguments]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (1, "", False)
    return ran.stderr.splitlines()[-1]


def test_a_fleet_that_is_up_says_where_and_is_used_by_its_folder_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Cli(tmp_path / "data", capsys)
    with up(fleet.data) as announced:
        assert announced["data"] == str(fleet.data)
        assert announced["url"] == json.loads((fleet.data / "up.json").read_text())["url"]
        assert fleet("device", "list", "--json").document == {"devices": []}
        assert str(fleet.data) in refused(fleet.data)
    assert fleet("device", "list", "--json").error["kind"] == "not_up"


def test_one_that_was_started_by_nohup_is_not_ended_by_its_terminal(tmp_path: Path) -> None:
    with up(tmp_path / "data", "nohup"):
        pid = json.loads((tmp_path / "data/up.json").read_text())["pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        (ignored,) = [line.split()[1] for line in status.splitlines() if "SigIgn" in line]
        assert int(ignored, 16) & 1 << signal.SIGHUP - 1


def test_a_port_in_use_is_named_and_nothing_is_left_up(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        assert port in refused(tmp_path / "data", "--port", port)
    assert not (tmp_path / "data" / "up.json").exists()
