"""Installs and uninstalls, as the tests type them, and what they look for afterwards."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.machines.control_plane import ControlPlane, Ran
from tests.machines.hub import ADDRESS, Hub
from tests.machines.machine import Machine

import harmony_fleet

OLD = "0.0.9"
FIRST = harmony_fleet.__version__
NEXT = "9.9.9"
SILENT = "6.6.6"
"""Starts, and is never heard."""
LINK = "/usr/local/bin/fleet-agent"
QUICK = ("heartbeat.interval_s=1", "upgrade.probation_s=3", "upgrade.self_test_limit_s=20")
OURS = """
find / -xdev '(' -name '*fleet*' -o -newer /etc/hostname -path '/etc/*' ')' -type f,l | sort
find /usr/local/lib /var/lib /etc -xdev -name 'fleet*' -type d
ls -A /root /tmp/ansible* /var/tmp/ansible* 2>/dev/null
systemctl list-units --all --plain --no-legend 'fleet*'
"""
"""All that there is of an agent, and all that an install could leave behind."""


def install(plane: ControlPlane, pi: Machine, *options: str, stdin: str = "") -> Ran:
    inventory = () if stdin else ("--inventory", str(plane.inventory([pi.access])))
    settings = [word for pair in QUICK for word in ("--set", pair)]
    words = ("device", "install", *inventory, "--version", FIRST, *settings, "--json")
    return plane(*words, *options, stdin=stdin)


def uninstall(plane: ControlPlane, pi: Machine, *options: str) -> Ran:
    inventory = str(plane.inventory([pi.access]))
    return plane("device", "uninstall", "--inventory", inventory, "--json", *options)


def line(ran: Ran) -> dict[str, Any]:
    """Of the one device; the exit status fits it."""
    (one,) = ran.document["devices"]
    assert ran.status == (1 if one["state"] == "failed" else 0), ran
    found: dict[str, Any] = one
    return found


def outcome(ran: Ran) -> str:
    return str(line(ran)["state"])


def left_on(pi: Machine) -> str:
    return pi.run("sh", "-c", OURS + "true")


@contextmanager
def file_server(hub: Hub, folder: Path) -> Iterator[str]:
    argv = [sys.executable, "-u", "-m", "http.server", "--bind", ADDRESS, "0"]
    with hub.inside():
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, text=True
        )
    assert process.stdout is not None
    port = process.stdout.readline().split(" port ")[1].split()[0]
    try:
        yield f"http://{ADDRESS}:{port}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
