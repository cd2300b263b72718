"""The control plane as a process that may be killed: `fleet up` on one folder and one port."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.at_rest import processes
from demo.releases import tamper
from demo.stage import FLEET, UP_LOG, StageFailed, control_plane_pid

from harmony_fleet.cli.client import Chosen, FleetClient
from harmony_fleet.cli.errors import Refused
from harmony_fleet.contracts.errors import FleetError
from soak.releases import BY_VERSION, Release, build_all

UP_LIMIT_S = 40.0
ANSWER_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One order, as the operator tells of it."""

    device: str
    upgrade_id: str
    generation: int
    version: str
    phase: str
    final: bool
    cause: str | None
    waits_for: str | None
    ordered_at: datetime
    since: datetime
    """In this phase: where it is final, when the operator learned of its end."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the operator made of an order or an abort."""

    upgrade_id: str | None
    """Of what was ordered or aborted; None: nothing was, or it did not answer."""
    why_not: str | None = None
    answered: bool = True
    """False: it may have been taken all the same."""


class ControlPlane:
    """Blocking. Whoever asks it gets a FleetError while it is down."""

    def __init__(self, data: Path) -> None:
        self.data, self._port = data, 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Raises StageFailed where it does not come up, however often it is tried."""
        ends_s = time.monotonic() + UP_LIMIT_S
        argv = [str(FLEET), "up", "--data", str(self.data), "--port", str(self._port)]
        while True:
            with (self.data / UP_LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    argv, stdout=log, stderr=log, start_new_session=True
                )
            if self._came_up(self._process, ends_s):
                return
            if time.monotonic() > ends_s:
                raise StageFailed(f"`fleet up` does not come up: see {self.data / UP_LOG}")

    def _came_up(self, process: "subprocess.Popen[bytes]", ends_s: float) -> bool:
        while process.poll() is None and time.monotonic() < ends_s:
            if control_plane_pid(self.data) == process.pid:
                url = json.loads((self.data / "up.json").read_bytes())["url"]
                self._port = urlsplit(url).port or 0  # the orders' artifacts are there for good
                return True
            time.sleep(0.1)
        time.sleep(0.3)  # it has ended: what it found in use may be free again
        return False

    def reap(self) -> None:
        """After it was killed."""
        if self._process is not None:
            self._process.wait()

    def nats_pid(self) -> int | None:
        """Of the server itself: its command line begins with its binary."""
        conf = f"{self.data}/nats/nats-server.conf"
        for pid, argv in processes():
            if conf in argv and os.path.basename(argv[0]) == "nats-server":  # noqa: PTH119
                return pid
        return None

    def publish(
        self, folder: Path, releases: Iterable[Release] = tuple(BY_VERSION.values())
    ) -> dict[str, Path]:
        """Build and add them; the files, by version."""
        built = build_all(folder, releases)
        with FleetClient.of(self.data) as client:
            for version, file in built.items():
                with file.open("rb") as artifact:
                    client.add_release(version, artifact)
                if BY_VERSION[version].tampered:
                    name = json.loads(client.release(version))["artifact_name"]
                    tamper(self.data / "artifacts" / name)
        return built

    def digests(self) -> dict[str, str]:
        """Of each release that was ever added, its version."""
        with FleetClient.of(self.data) as client:
            releases = json.loads(client.releases())["releases"]
        return {release["sha256"]: release["version"] for release in releases}

    def enrol(self, device: str, public_key: str) -> tuple[str, str]:
        """The credential's JWT, and the message plane's URL."""
        with FleetClient.of(self.data) as client:
            answer = json.loads(client.enrol(device, public_key))
        return answer["jwt"], answer["nats_url"]

    def order(self, device: str, version: str, *, retry: bool, replace: bool) -> Taken:
        return self._asked(
            lambda client: client.upgrade(Chosen((device,)), version, retry=retry, replace=replace)
        )

    def abort(self, device: str) -> Taken:
        return self._asked(lambda client: client.abort(Chosen((device,))))

    def _asked(self, ask: Callable[[FleetClient], bytes]) -> Taken:
        try:
            with FleetClient.of(self.data, ANSWER_LIMIT_S) as client:
                result = json.loads(ask(client))["results"][0]
        except FleetError as error:
            return Taken(None, error.kind, answered=isinstance(error, Refused))
        if result["ordered"]:
            return Taken(result["upgrade_id"])
        return Taken(None, str(result["kind"]))

    def views(self) -> dict[str, dict[str, Any]]:
        with FleetClient.of(self.data, ANSWER_LIMIT_S) as client:
            devices = json.loads(client.devices())["devices"]
        return {view["device_id"]: view for view in devices}

    def ordered_since(self, device: str, number: int) -> tuple[list[str], int]:
        """The ids of the upgrades that were ordered after event `number`, and the last event's."""
        with FleetClient.of(self.data, ANSWER_LIMIT_S) as client:
            events = json.loads(client.events(device, number, 1000))["events"]
        ids = [event["upgrade_id"] for event in events if event["kind"] == "ordered"]
        return ids, events[-1]["number"] if events else number

    def upgrade(self, device: str, upgrade_id: str) -> Upgrade:
        with FleetClient.of(self.data, ANSWER_LIMIT_S) as client:
            found = json.loads(client.upgrade_of(device, upgrade_id))
        return Upgrade(
            device,
            upgrade_id,
            found["generation"],
            found["to_version"],
            found["phase"],
            found["final"],
            (found["cause"] or {}).get("kind"),
            found["waits_for"],
            datetime.fromisoformat(found["ordered_at"]),
            datetime.fromisoformat(found["since"]),
        )
