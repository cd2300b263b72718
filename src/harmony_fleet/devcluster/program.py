"""Runs the k3d program: one method for each thing that it is asked, its failures as typed errors.

It runs in a session of its own, so that Ctrl-C ends it in order and not in its middle. Its exit
status is not believed alone: `k3d cluster delete` also says that it is done where the engine does
not answer.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harmony_fleet.devcluster.errors import Busy, DevClusterError, EngineGone, K3dFailed, NoRoom
from harmony_fleet.printable import printable

QUICK_LIMIT_S: Final = 120.0
END_LIMIT_S: Final = 10.0
"""For k3d to end once it is asked to."""
MARGIN_S: Final = 60.0
"""Beyond the time that k3d gives a cluster: it takes back what it made."""
_LAST_WORDS: Final = 500

_MEANING: Final[tuple[tuple[str, type[DevClusterError], str], ...]] = (
    ("with that name already exists", Busy, "somebody else makes it just now"),
    ("no space left on device", NoRoom, "free some of the engine's disk"),
    ("cannot connect to the docker daemon", EngineGone, "start the container engine"),
    ("error during connect", EngineGone, "start the container engine"),
    ("is the docker daemon running", EngineGone, "start the container engine"),
)
"""By what k3d passes on of the engine's words."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    name: str
    servers: int
    servers_running: int
    agents: int
    agents_running: int

    @property
    def running(self) -> bool:
        """All of it."""
        every = self.servers_running == self.servers and self.agents_running == self.agents
        return every and self.servers > 0


@dataclass(frozen=True, slots=True)
class K3d:
    program: Callable[[], Path]
    """Provides it, at the first use."""
    environment: Mapping[str, str]
    """Beside this process's own. Every method raises a DevClusterError."""

    def clusters(self) -> list[ClusterState]:
        text = self._run(QUICK_LIMIT_S, "cluster", "list", "--output", "json")
        try:
            return [_state(one) for one in json.loads(text)]
        except (ValueError, KeyError, TypeError) as error:
            raise K3dFailed(f"what `k3d cluster list` says cannot be read ({error!r})") from error

    def find(self, name: str) -> ClusterState | None:
        return next((one for one in self.clusters() if one.name == name), None)

    def create(self, name: str, agents: int, limit_s: float) -> None:
        """Until the cluster answers. The user's own kubeconfig is left as it is."""
        options = (f"--agents={agents}", f"--timeout={limit_s:g}s", "--wait")
        quiet = ("--kubeconfig-update-default=false", "--kubeconfig-switch-context=false")
        self._run(limit_s + MARGIN_S, "cluster", "create", name, *options, *quiet)

    def start(self, name: str, limit_s: float) -> None:
        options = (f"--timeout={limit_s:g}s", "--wait")
        self._run(limit_s + MARGIN_S, "cluster", "start", name, *options)

    def delete(self, name: str) -> None:
        """Of one that is not there as well."""
        self._run(QUICK_LIMIT_S, "cluster", "delete", name)

    def kubeconfig(self, name: str) -> str:
        return self._run(QUICK_LIMIT_S, "kubeconfig", "get", name)

    def _run(self, limit_s: float, *words: str) -> str:
        """What it says on stdout."""
        program = self.program()
        quiet = {"LOG_LEVEL": "warn", "LOG_COLORS": "false"}
        try:
            process = subprocess.Popen(
                [program, *words],
                env={**os.environ, **self.environment, **quiet},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise K3dFailed(f"{program} cannot be run ({error.strerror or error})") from error
        with process:
            said, complained = _heard(process, limit_s, f"k3d {' '.join(words[:2])}")
        if process.returncode:
            raise _failure(f"k3d {' '.join(words[:2])}", complained or said)
        return said


def _heard(process: subprocess.Popen[str], limit_s: float, name: str) -> tuple[str, str]:
    try:
        return process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        _end(process)
        raise K3dFailed(f"`{name}` did not end within {limit_s:g} s, and was ended") from error
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[str]) -> None:
    """With all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.communicate(timeout=END_LIMIT_S)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
        break


def _failure(name: str, words: str) -> DevClusterError:
    lower = words.lower()
    said = printable(words.strip()[-_LAST_WORDS:])
    for part, kind, remedy in _MEANING:
        if part in lower:
            return kind(f"`{name}` failed ({said}): {remedy}, and try again")
    return K3dFailed(f"`{name}` failed ({said})")


def _state(one: Mapping[str, Any]) -> ClusterState:
    return ClusterState(
        name=str(one["name"]),
        servers=int(one["serversCount"]),
        servers_running=int(one["serversRunning"]),
        agents=int(one["agentsCount"]),
        agents_running=int(one["agentsRunning"]),
    )
