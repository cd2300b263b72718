"""Three real NATS servers on loopback, told what NATS's Helm chart would tell them.

The chart makes the servers' configuration of its values: a part for each thing that is switched on,
`merge` over it, and `config.merge` over all. That is done here in the same way; what the chart says
of pods, ports and names is this test's own.
"""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from tests.processes.reach_world import free_port

from harmony_fleet.embedded.nats import usable_server

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = ROOT / "deploy/nats/values.yaml"
_MIB: Final = 1024 * 1024
_START_LIMIT_S: Final = 60.0
_END_LIMIT_S: Final = 15.0

Values = dict[str, Any]


def merged(over: Values, values: Values) -> Values:
    """As Helm merges one file of values over another."""
    made = deepcopy(over)
    for name, value in values.items():
        both = isinstance(value, dict) and isinstance(made.get(name), dict)
        made[name] = merged(made[name], value) if both else deepcopy(value)
    return made


@dataclass
class NatsCluster:
    folder: Path
    values: Values
    """Of the chart's `config`."""
    ports: list[int] = field(default_factory=list)
    _routes: list[int] = field(default_factory=list)
    _processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        number = self.values["cluster"]["replicas"]
        taken = [free_port() for _ in range(2 * number)]
        self.ports, self._routes = taken[:number], taken[number:]

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(f"nats://127.0.0.1:{port}" for port in self.ports)

    def start(self) -> None:
        """Those that do not run; until they can be connected to."""
        for one in range(len(self.ports)):
            if one not in self._processes:
                self._start(one)
        for one, port in enumerate(self.ports):
            self._wait_for(one, port)

    def stop(self, one: int, number: int = signal.SIGTERM) -> None:
        """Until it has ended."""
        process = self._processes.pop(one)
        process.send_signal(number)
        process.wait(_END_LIMIT_S)

    def stop_all(self) -> None:
        for one in list(self._processes):
            self.stop(one)

    def words(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def _start(self, one: int) -> None:
        path = self.folder / f"nats-{one}.conf"
        path.write_text(json.dumps(self._configuration(one), indent=2))
        with (self.folder / f"nats-{one}.log").open("ab") as log:
            self._processes[one] = subprocess.Popen(
                [usable_server(None), "-c", path], stdout=log, stderr=log
            )

    def _wait_for(self, one: int, port: int) -> None:
        ends_s = time.monotonic() + _START_LIMIT_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            assert self._processes[one].poll() is None, self.words()
            assert time.monotonic() < ends_s, self.words()
            time.sleep(0.05)

    def _configuration(self, one: int) -> Values:
        made = {
            "server_name": f"nats-{one}",
            "host": "127.0.0.1",
            "port": self.ports[one],
            "cluster": self._cluster(one),
            "jetstream": self._jetstream(one),
            "resolver": self._resolver(one),
        }
        return merged(made, self.values.get("merge", {}))

    def _cluster(self, one: int) -> Values:
        assert self.values["cluster"]["enabled"]
        return {
            "name": "nats",
            "host": "127.0.0.1",
            "port": self._routes[one],
            "no_advertise": True,
            "routes": [f"nats://127.0.0.1:{port}" for port in self._routes],
        }

    def _jetstream(self, one: int) -> Values:
        said = self.values["jetstream"]
        assert said["enabled"]
        memory = said["memoryStore"]
        made = {
            "store_dir": self._below(one, said["fileStore"]["dir"]),
            "max_memory_store": _mib(memory["maxSize"]) * _MIB if memory["enabled"] else 0,
            "max_file_store": 1024 * _MIB if said["fileStore"]["enabled"] else 0,
        }
        return merged(made, said.get("merge", {}))

    def _resolver(self, one: int) -> Values:
        said = self.values["resolver"]
        assert said["enabled"]
        return merged({"dir": self._below(one, said["dir"])}, said.get("merge", {}))

    def _below(self, one: int, path: str) -> str:
        """What is a volume of each pod's own, in a cluster."""
        made = self.folder / f"nats-{one}" / path.lstrip("/")
        made.mkdir(parents=True, exist_ok=True)
        return str(made)


def _mib(text: str) -> int:
    assert text.endswith("Mi")
    return int(text.removesuffix("Mi"))


@contextmanager
def nats_cluster(folder: Path, keys: Path) -> Iterator[NatsCluster]:
    """Of the example's values and those of `fleet plane keys`. Its servers are ended afterwards."""
    folder.mkdir()
    values = merged(yaml.safe_load(EXAMPLE.read_text()), yaml.safe_load(keys.read_text()))
    made = NatsCluster(folder, values["config"])
    try:
        made.start()
        yield made
    finally:
        made.stop_all()
