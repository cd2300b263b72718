"""The Helm chart, rendered by the real helm: its values in each of the ways that tests look at."""

import json
from pathlib import Path
from typing import Any

import yaml
from tests.kube.api_server import KubeCluster

from harmony_fleet.operator.credentials import KeyPair

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/chart"
KUSTOMIZE = ROOT / "deploy/kustomize"
NAME = "harmony-fleet"

Values = dict[str, Any]
Document = dict[str, Any]

ACCOUNT = KeyPair.new("A").public
PLANE = {"devicesAccount": ACCOUNT, "deviceUrl": "tls://nats.example.org:4222"}
"""What has no default."""
TLS = {
    "plane": {**PLANE, "servers": ["tls://nats.nats.svc"], "ca": {"secretName": "nats-ca"}},
    "api": {"tls": {"secretName": "harmony-fleet-tls"}},
}
EVERY_VALUE: Values = {
    "image": {
        "repository": "registry.example.org/fleet/operator",
        "tag": "0.1.0-rc.1",
        "digest": "sha256:" + "a" * 64,
        "pullPolicy": "Always",
    },
    "imagePullSecrets": [{"name": "registry"}],
    "nameOverride": "fleet-operator",
    "fullnameOverride": "the-fleet",
    "replicas": 3,
    "devices": {"allNamespaces": True, "declaredOnly": True},
    "plane": {
        **PLANE,
        "servers": ["tls://a.nats.svc:4222", "tls://[fd00::1]:4333", "tls://c.nats.svc"],
        "secretName": "plane",
        "replicas": 5,
        "ca": {"secretName": "plane-ca", "key": "authority.pem"},
    },
    "api": {
        "url": "https://fleet.example.org/below",
        "address": "::",
        "port": 8443,
        "tokenSecretName": "token",
        "tls": {"secretName": "tls", "caKey": ""},
    },
    "election": {"duration": 15, "renewLimit": 10, "retry": 2},
    "artifacts": {"existingClaim": "artifacts", "sizeLimit": "10Gi"},
    "service": {
        "type": "LoadBalancer",
        "port": 443,
        "annotations": {"example.org/class": "internal"},
    },
    "serviceAccount": {"create": True, "name": "fleet", "annotations": {"example.org/role": "x"}},
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "devices"}}}],
        "plane": {"to": [{"namespaceSelector": {"matchLabels": {"name": "nats"}}}]},
        "apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [6443]},
        "dns": {"to": [{"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]},
    },
    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    "podAnnotations": {"example.org/scrape": "true"},
    "podLabels": {"team": "devices"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "fleet", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "fleet-operator"}},
        }
    ],
    "priorityClassName": "system-cluster-critical",
    "terminationGracePeriodSeconds": 60,
    "crds": {"install": True, "keep": True},
}
CASES: dict[str, Values] = {
    "namespaced": {"plane": PLANE},
    "cluster-wide": {"plane": PLANE, "devices": {"allNamespaces": True}},
    "tls": TLS,
    "every value": EVERY_VALUE,
    "as little as can be": {
        "plane": PLANE,
        "replicas": 1,
        "devices": {"declaredOnly": True},
        "serviceAccount": {"create": False, "name": "default"},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "crds": {"install": False},
    },
}


def values_file(folder: Path, values: Values) -> Path:
    path = folder / "values.json"
    path.write_text(json.dumps(values))
    return path


def rendered(kube: KubeCluster, namespace: str, values: Values) -> list[Document]:
    path = values_file(kube.folder, values)
    done = kube.helm("template", NAME, str(CHART), "-n", namespace, "-f", str(path), check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def the(documents: list[Document], kind: str) -> Document:
    """The only one of that kind."""
    (found,) = (one for one in documents if one["kind"] == kind)
    return found


def pod_of(documents: list[Document]) -> Document:
    template: Document = the(documents, "Deployment")["spec"]["template"]
    return template


def as_list(documents: list[Document]) -> str:
    """For kubectl's stdin."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
