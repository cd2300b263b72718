"""What the control plane needs of its machine: Python, a NATS server, its ports."""

import platform
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from harmony_fleet.embedded.doctor.finding import Finding, ok, problem, warning
from harmony_fleet.embedded.nats import MEND_SERVER, ServerMissing, usable_server

PYTHON: Final = "python"
NATS: Final = "nats-server"
PORTS: Final = "ports"
OLDEST: Final = (3, 11)
HOST: Final = "127.0.0.1"
RUN_LIMIT_S: Final = 10.0


def look_at_python() -> Iterable[Finding]:
    said = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= OLDEST:
        yield ok(PYTHON, said)
    else:
        yield problem(PYTHON, said, "install Python 3.11 or newer, and harmony-fleet with it")


def look_at_nats_server(named: Path | None) -> Iterable[Finding]:
    try:
        server = usable_server(named)
    except ServerMissing as error:
        yield problem(NATS, str(error).removesuffix(f": {MEND_SERVER}"), MEND_SERVER)
        return
    try:
        ran = subprocess.run(
            [server, "--version"], capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield problem(NATS, f"{server} cannot be run: {error}", MEND_SERVER)
        return
    said = (ran.stdout or ran.stderr).strip().partition("\n")[0]
    if ran.returncode == 0 and said.startswith("nats-server"):
        yield ok(NATS, said.removeprefix("nats-server: "))
    else:
        yield problem(
            NATS, f"{server} is none: it ended {ran.returncode}: {said[:200]}", MEND_SERVER
        )


def look_at_ports(api: int, nats: int, nats_port_file: Path) -> Iterable[Finding]:
    """Only where no control plane is up: it would be the one that has them. 0: not chosen yet."""
    if taken(api):
        yield warning(
            PORTS,
            f"another program listens on {HOST}:{api}, where the API would",
            "end it, or choose another by `fleet up --port`",
        )
    if nats and taken(nats):
        yield problem(
            PORTS,
            f"another program listens on {HOST}:{nats}, where the devices expect the message plane",
            f"end it; or delete {nats_port_file}, and start local devices anew",
        )
    elif not taken(api):
        named = f"{api} and {nats}" if nats else f"{api}"
        yield ok(PORTS, f"nobody else has {named}")


def taken(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return True
    return False
