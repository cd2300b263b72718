"""A real Kubernetes API server on loopback, with its etcd and its controllers, for tests.

No node is behind it: what needs none works as anywhere, from admission and RBAC to watches, Leases
and garbage collection. Each part can be killed and started again, its data kept.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.kube.pki import Pki

from harmony_fleet.messaging.trust import plane_context

READY_LIMIT_S = 90.0
END_LIMIT_S = 10.0
CONTROLLERS = (
    "namespace-controller,garbage-collector-controller,serviceaccount-controller,"
    "serviceaccount-token-controller,root-ca-certificate-publisher-controller,"
    "clusterrole-aggregation-controller"
)
_ADMIN = "admin"
_MANAGER = "system:kube-controller-manager"


class ClusterFailed(Exception):
    """A part of it does not come up. The text ends with what it said last."""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Part:
    name: str
    argv: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Until it has ended."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@dataclass
class KubeCluster:
    folder: Path
    programs: Path
    port: int = field(default_factory=_free_port)
    etcd_port: int = field(default_factory=_free_port)
    api_server_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.pki = Pki.make(self.folder / "pki")
        self.etcd = self._part("etcd", self._etcd())
        self.api_server = self._part("kube-apiserver", self._api_server())
        self.kubeconfig = self.kubeconfig_of(_ADMIN)
        self.controllers = self._part("kube-controller-manager", self._controllers())

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.etcd.start()
        self.api_server.start()
        self.wait_ready()
        self.controllers.start()

    def stop(self) -> None:
        for part in (self.controllers, self.api_server, self.etcd):
            part.stop()

    def restart(self, part: Part, number: int = signal.SIGKILL) -> None:
        part.stop(number)
        part.start()

    def wait_ready(self) -> None:
        """Until it answers, custom resources as well."""
        with self._http() as http:
            deadline_s = time.monotonic() + READY_LIMIT_S
            while not self._answers(http):
                self._check_alive()
                if time.monotonic() > deadline_s:
                    raise ClusterFailed(f"not ready: {self.api_server.last_words()}")
                time.sleep(0.05)

    def kubectl(
        self,
        *words: str,
        document: str | None = None,
        kubeconfig: Path | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """As a user would; `document` is its stdin."""
        return subprocess.run(
            [self.programs / "kubectl", *words],
            input=document,
            env=self.environment(kubeconfig),
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    def helm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.programs / "helm", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=check,
            timeout=300,
        )

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def raw(self, path: str) -> Any:
        """Of the API server, such as `/apis`."""
        return json.loads(self.kubectl("get", "--raw", path).stdout)

    def compact(self, revision: int) -> None:
        """Its store forgets every version before this one."""
        url = f"http://127.0.0.1:{self.etcd_port}/v3/kv/compaction"
        asked = {"revision": str(revision), "physical": True}
        httpx.post(url, json=asked, trust_env=False).raise_for_status()

    def environment(self, kubeconfig: Path | None = None) -> Mapping[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        named = {"KUBECONFIG": str(kubeconfig or self.kubeconfig), "HOME": str(home)}
        return {"PATH": os.environ["PATH"], **named}

    def kubeconfig_of(self, person: str) -> Path:
        """Of a person with a certificate of the cluster's authority."""
        user = {
            "client-certificate": str(self.pki.certificate(person)),
            "client-key": str(self.pki.key(person)),
        }
        return self._kubeconfig(person, user)

    def kubeconfig_of_account(self, namespace: str, account: str) -> Path:
        """Of a service account, by a token as a pod would have it."""
        token = self.kubectl("create", "token", account, "-n", namespace, "--duration=4h").stdout
        name = f"{namespace}-{account}"
        return self._kubeconfig(name, {"token": token.strip()}, namespace)

    def _kubeconfig(self, name: str, user: Mapping[str, str], namespace: str = "default") -> Path:
        cluster = {"server": self.url, "certificate-authority": str(self.pki.ca)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [
                {
                    "name": "tests",
                    "context": {"cluster": "tests", "user": name, "namespace": namespace},
                }
            ],
            "current-context": "tests",
        }
        path = self.folder / f"{name.replace(':', '-')}.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    # Parts

    def _part(self, name: str, flags: tuple[str, ...]) -> Part:
        return Part(name, (str(self.programs / name), *flags), self.folder / f"{name}.log")

    def _etcd(self) -> tuple[str, ...]:
        client = f"http://127.0.0.1:{self.etcd_port}"
        peer = f"http://127.0.0.1:{_free_port()}"
        return (
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def _api_server(self) -> tuple[str, ...]:
        pki = self.pki
        return (
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={pki.certificate('server')}",
            f"--tls-private-key-file={pki.key('server')}",
            f"--client-ca-file={pki.ca}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki.folder / 'accounts.pub'}",
            f"--service-account-signing-key-file={pki.key('accounts')}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--profiling=false",
            "--shutdown-watch-termination-grace-period=1s",
            *self.api_server_flags,
        )

    def _controllers(self) -> tuple[str, ...]:
        configured = self.kubeconfig_of(_MANAGER)
        return (
            f"--kubeconfig={configured}",
            f"--authentication-kubeconfig={configured}",
            f"--authorization-kubeconfig={configured}",
            "--secure-port=0",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self.pki.key('accounts')}",
            f"--root-ca-file={self.pki.ca}",
            f"--controllers={CONTROLLERS}",
        )

    def _http(self) -> httpx.Client:
        context = plane_context(self.pki.ca)
        context.load_cert_chain(self.pki.certificate(_ADMIN), self.pki.key(_ADMIN))
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=5)

    def _answers(self, http: httpx.Client) -> bool:
        try:
            return http.get("/readyz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _check_alive(self) -> None:
        for part in (self.etcd, self.api_server):
            if part.process is not None and part.process.poll() is not None:
                raise ClusterFailed(f"{part.name} ended: {part.last_words()}")


@contextmanager
def kube_cluster(folder: Path, programs: Path, *flags: str) -> Iterator[KubeCluster]:
    """One that answers; ended afterwards."""
    made = KubeCluster(folder, programs, api_server_flags=flags)
    try:
        made.start()
        yield made
    finally:
        made.stop()
