"""A fleet on a real cluster: operators under their service account, real NATS, devices.

The devices are the shipped agent on fake disks (`testing.light_device`), so that many fit.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.kube.api_server import KubeCluster
from tests.processes.light_fleet import LIMITS, VERSIONS, LightFleet, light_fleet

from harmony_fleet.embedded.local_device import toml
from harmony_fleet.messaging.credentials import encode_creds

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
ACCOUNT = "harmony-fleet"
ROLE = ROOT / "deploy/kustomize/namespaced/role.yaml"
TOKEN = "t" * 40


@dataclass
class OperatorProcess:
    name: str
    argv: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """Its exit status."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            return process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def url(self) -> str | None:
        """Where its API answers; None: not yet."""
        found = re.search(r"answers on (127\.0\.0\.1:\d+)", self.words())
        return f"http://{found[1]}" if found else None

    def words(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass
class KubeFleet:
    kube: KubeCluster
    namespace: str
    light: LightFleet
    folder: Path
    operators: list[OperatorProcess] = field(default_factory=list)
    address: str = "127.0.0.1"
    """Of the next replica's API."""
    api: dict[str, Any] = field(default_factory=dict)
    """More of its configuration."""
    lease: str = "harmony-fleet"
    """By which the next replica stands for election."""

    # The cluster, as its users see it

    def kubectl(
        self, *words: str, document: str | dict[str, Any] | None = None, check: bool = True
    ) -> str:
        text = json.dumps(document) if isinstance(document, dict) else document
        done = self.kube.kubectl("-n", self.namespace, *words, document=text, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {words}: {done.stdout} {done.stderr}")
        return done.stdout + done.stderr

    def apply(self, kind: str, name: str, **spec: Any) -> None:
        document = {
            "apiVersion": "harmony-fleet.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        self.kubectl("apply", "-f", "-", document=document)

    def device(self, name: str) -> dict[str, Any]:
        """Empty: there is none."""
        words = ("get", "device", name, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] = json.loads(self.kubectl(*words) or "{}")
        return found

    def phase(self, name: str) -> str | None:
        found: dict[str, Any] = self.device(name).get("status", {}).get("upgrade", {})
        return found.get("phase")

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        found = self.device(name).get("status", {}).get("conditions", [])
        return next((one for one in found if one["type"] == kind), {})

    def add_releases(self, versions: Iterable[str] = VERSIONS) -> None:
        """Those that a light device knows, by their digests."""
        for version in versions:
            content = version.encode()
            artifact = {
                "url": f"http://127.0.0.1:1/{version}",
                "sizeBytes": len(content),
                "sha256": sha256(content).hexdigest(),
            }
            self.apply("AgentRelease", version, version=version, artifacts=[artifact])

    # Devices

    def hold(self, device: str) -> asyncio.Event:
        """It stays in Verifying, in the middle of an upgrade, until the event is set."""
        let_go = asyncio.Event()
        self.light.devices[device].executor.holds["self_test"] = let_go
        return let_go

    # Operators

    def operator(self, **devices: bool) -> OperatorProcess:
        """One more replica, started."""
        name = f"replica-{len(self.operators) + 1}"
        config = self._config(name, devices)
        made = OperatorProcess(
            name,
            [sys.executable, "-m", "harmony_fleet.operator.main", "--config", str(config)],
            {
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "POD_NAME": name,
                "POD_IP": self.address,
                "KUBECONFIG": str(self.kube.kubeconfig_of_account(self.namespace, ACCOUNT)),
            },
            self.folder / f"{name}.log",
        )
        self.operators.append(made)
        made.start()
        return made

    def _config(self, name: str, devices: dict[str, bool]) -> Path:
        accounts, files = self.light.server.accounts, self.folder / "secrets"
        files.mkdir(exist_ok=True)
        (self.folder / "artifacts").mkdir(exist_ok=True)
        operator = accounts.operator_credentials
        (files / "operator.creds").write_text(encode_creds(operator.jwt, operator.seed))
        (files / "signing.seed").write_text(accounts.keys["device_signing"].seed_text())
        (files / "token").write_text(TOKEN)
        document = {
            "plane": {
                "servers": [self.light.server.url],
                "credentials": str(files / "operator.creds"),
                "signing_key": str(files / "signing.seed"),
                "devices_account": accounts.keys["devices"].public,
                "device_url": self.light.server.url,
                "replicas": 1,
            },
            "api": {
                "url": "http://127.0.0.1:7700",
                "token": str(files / "token"),
                "address": self.address,
                "port": 0,
                "artifacts": str(self.folder / "artifacts"),
                **self.api,
            },
            "devices": devices,
            "election": {"lease": self.lease},
        }
        path = self.folder / f"{name}.toml"
        path.write_text(toml(document))
        return path

    async def ask(self, method: str, path: str, document: dict[str, Any]) -> httpx.Response:
        """The API of the first replica."""
        url = self.operators[0].url()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", trust_env=False) as http:
            return await http.request(method, path, json=document, headers=headers, timeout=30)

    # Conditions

    async def until(self, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Looked at in a thread: the devices live in this one's loop."""
        deadline_s = time.monotonic() + limit_s
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline_s:
                raise AssertionError(self._evidence())
            await asyncio.sleep(0.1)

    async def until_leads(self, operator: OperatorProcess) -> None:
        await self.until(lambda: "leads now" in operator.words())

    async def until_ready(self, device: str) -> None:
        """As `kubectl wait`, also of a Device that is not there yet."""
        await self.until(lambda: self.condition(device, "Ready").get("status") == "True")

    async def until_running(self, name: str, version: str) -> None:
        device = self.light.devices[name]
        await self.until(lambda: device.running == version)

    async def run(self, *words: str, check: bool = True) -> str:
        """kubectl, in a thread."""
        return await asyncio.to_thread(self.kubectl, *words, check=check)

    def _evidence(self) -> str:
        logs = "\n".join(f"--- {one.name}\n{one.words()[-4000:]}" for one in self.operators)
        return f"not in time\n{self.kubectl('get', 'devices', '-o', 'yaml')[-6000:]}\n{logs}"


PATIENT = replace(LIMITS, stop_limit_s=60.0, overall_limit_s=120.0)
"""A device waits for the word for longer than any part of the cluster is away."""


@asynccontextmanager
async def kube_fleet(
    kube: KubeCluster, namespace: str, folder: Path, devices: Iterable[str] = ()
) -> AsyncIterator[KubeFleet]:
    """Devices that heartbeat; a role and its account; no operator yet. Ended afterwards."""
    async with light_fleet(folder / "light", ()) as light:
        for device in devices:
            light.add(device, limits=PATIENT)
        fleet = KubeFleet(kube, namespace, light, folder)
        await asyncio.to_thread(_grant, fleet)
        try:
            yield fleet
        finally:
            for operator in fleet.operators:
                operator.stop()


def in_fleet(
    kube: KubeCluster,
    namespace: str,
    folder: Path,
    use: Callable[[KubeFleet], Awaitable[None]],
    *devices: str,
) -> None:
    """No operator may have said that something of its own failed."""

    async def run() -> None:
        async with kube_fleet(kube, namespace, folder, devices) as fleet:
            await use(fleet)
            for operator in fleet.operators:
                assert "Traceback" not in operator.words(), operator.words()

    asyncio.run(run())


def role_rules() -> list[dict[str, Any]]:
    """What the operator's account may, as it is installed."""
    rules: list[dict[str, Any]] = yaml.safe_load(ROLE.read_text())["rules"]
    return rules


def _grant(fleet: KubeFleet) -> None:
    fleet.kubectl("create", "serviceaccount", ACCOUNT)
    fleet.kubectl("apply", "-f", str(ROLE))
    subject = f"--serviceaccount={fleet.namespace}:{ACCOUNT}"
    fleet.kubectl("create", "rolebinding", ACCOUNT, f"--role={ACCOUNT}", subject)
