"""An operator as pods are reached: by an address that the API server proxies to.

It refuses loopback's. So `lo` gets one more address, of the network that is kept for benchmarks
(RFC 2544); it stays on this machine, and is taken off again. Only root may give one.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from tests.kube.fleet import ROOT, TOKEN, KubeFleet

SERVICE: Final = "harmony-fleet"
_TRIES: Final = 200


@contextmanager
def outside_loopback() -> Iterator[str]:
    """An address of this machine that nobody else has; skips the test where none can be given."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("only root can give this machine an address that an API server proxies to")
    for number in range(_TRIES):
        low = (os.getpid() + number) % 65536
        address = f"198.18.{low >> 8}.{low & 255}"
        if _ip("add", address):
            break
    else:
        pytest.skip("this machine takes no further address on its loopback interface")
    try:
        yield address
    finally:
        _ip("del", address)


def _ip(verb: str, address: str) -> bool:
    argv = ["ip", "address", verb, f"{address}/32", "dev", "lo"]
    return subprocess.run(argv, capture_output=True).returncode == 0


def free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        return int(found.getsockname()[1])


def behind_a_service(fleet: KubeFleet, protocol: str) -> None:
    """The install's own Service, the Secret, and what stands for the pod of a replica that listens.

    No node runs it and no controller finds it, so its address is written here by hand. The API
    server asks Endpoints, and proxies only to the address of a Pod that it knows.
    """
    fleet.kubectl("apply", "-f", str(ROOT / "deploy/kustomize/base/service.yaml"))
    said = f'[{{"op": "replace", "path": "/spec/ports/0/appProtocol", "value": "{protocol}"}}]'
    fleet.kubectl("patch", "service", SERVICE, "--type=json", "-p", said)
    data = {"stringData": {"token": TOKEN}}
    fleet.kubectl("apply", "-f", "-", document=_named("Secret", data, f"{SERVICE}-api"))
    containers = [{"name": "operator", "image": "harmony-fleet"}]
    spec: dict[str, Any] = {"containers": containers, "serviceAccountName": SERVICE}
    spec["automountServiceAccountToken"] = False
    fleet.kubectl("apply", "-f", "-", document=_named("Pod", {"spec": spec}))
    status = f'{{"status": {{"podIPs": [{{"ip": "{fleet.address}"}}]}}}}'
    fleet.kubectl("patch", "pod", SERVICE, "--subresource=status", "--type=merge", "-p", status)
    target = {"kind": "Pod", "name": SERVICE, "namespace": fleet.namespace}
    subset = {
        "addresses": [{"ip": fleet.address, "targetRef": target}],
        "ports": [{"name": "api", "port": fleet.api["port"]}],
    }
    fleet.kubectl("apply", "-f", "-", document=_named("Endpoints", {"subsets": [subset]}))


def _named(kind: str, document: dict[str, Any], name: str = SERVICE) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **document}
