"""What the chart renders, held against the real API server: nothing is installed here."""

import json
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from tests.kube.api_server import KubeCluster
from tests.kube.chart import (
    CASES,
    CHART,
    EVERY_VALUE,
    NAME,
    PLANE,
    ROOT,
    TLS,
    Document,
    Values,
    as_list,
    pod_of,
    rendered,
    the,
    values_file,
)

from harmony_fleet.embedded.plane_keys import make_plane_keys
from harmony_fleet.operator.config import OperatorConfig, read_config

pytestmark = pytest.mark.kube

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"

EXPLAINED_BY_KUBERNETES = {
    "resources.requests.cpu",
    "resources.requests.memory",
    "resources.limits.memory",
}
BAD_VALUES = {
    "plane.secretname=x": "secretname",
    "replica=1": "replica",
    "devices.allNamespaces=1": "allNamespaces",
    "replicas=two": "replicas",
    "replicas=0": "replicas",
    "api.port=80": "port",
    "api.address=localhost": "address",
    "plane.servers[0]=http://nats:4222": "servers",
    "plane.servers[0]=nats://user:secret@nats": "servers",
    "plane.servers=null": "servers",
    "plane.devicesAccount=UABC": "devicesAccount",
    "plane.devicesAccount=": "fleet plane keys",
    "plane.deviceUrl=": "plane.deviceUrl",
    "plane.replicas=6": "replicas",
    "api.tls.secretName=Not_A_Name": "secretName",
    "api.url=ftp://fleet.example.org": "url",
    "image.digest=sha256:abc": "digest",
    "image.pullPolicy=Sometimes": "pullPolicy",
    "service.type=ExternalName": "type",
    "election.renewLimit=5": "two would lead at once",
    "serviceAccount.create=false": "serviceAccount.name",
    "networkPolicy.from[0]=10.0.0.0/8": "from",
    "resources.cpu=1": "cpu",
}


@pytest.fixture
def restricted(cluster: KubeCluster, namespace: str) -> str:
    """A namespace that lets in what keeps the strictest of the pod security standards."""
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    return namespace


def config(documents: list[Document], folder: Path) -> OperatorConfig:
    path = folder / "config.toml"
    path.write_text(the(documents, "ConfigMap")["data"]["config.toml"])
    return read_config(path)


def dry_run(kube: KubeCluster, namespace: str, documents: list[Document]) -> list[str]:
    done = kube.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--force-conflicts"),
        *("--validate=strict", "-n", namespace, "-f", "-"),
        document=as_list(documents),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("case", CASES)
def test_the_chart_is_clean_by_helm_s_own_measure(
    cluster: KubeCluster, tmp_path: Path, case: str
) -> None:
    values = values_file(tmp_path, CASES[case])
    done = cluster.helm("lint", "--strict", str(CHART), "-f", str(values), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_every_document(
    cluster: KubeCluster, namespace: str, case: str
) -> None:
    documents = rendered(cluster, namespace, CASES[case])
    assert len(dry_run(cluster, namespace, documents)) == len(documents)


def test_every_value_of_the_chart_is_set_in_one_case() -> None:
    """Else what it renders would be looked at by nobody."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert paths(defaults) - paths(EVERY_VALUE) == set()


def test_every_value_of_the_chart_is_in_the_docs() -> None:
    text = (ROOT / "docs/kubernetes-install.md").read_text()
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    leaves = {
        name for name in paths(defaults) if not any(is_below(n, name) for n in paths(defaults))
    }
    assert {name for name in leaves if f"`{name}`" not in text} == EXPLAINED_BY_KUBERNETES


def is_below(name: str, other: str) -> bool:
    return name.startswith(f"{other}.")


def paths(values: Values, above: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in values.items():
        found.add(f"{above}{name}")
        found |= paths(value, f"{above}{name}.") if isinstance(value, dict) else set()
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_operator_reads_its_configuration(
    cluster: KubeCluster, namespace: str, tmp_path: Path, case: str
) -> None:
    found = config(rendered(cluster, namespace, CASES[case]), tmp_path)
    asked = CASES[case].get("devices", {})
    assert found.devices.all_namespaces == asked.get("allNamespaces", False)
    assert found.devices.declared_only == asked.get("declaredOnly", False)
    assert found.plane.devices_account == PLANE["devicesAccount"]


def test_what_is_said_of_tls_reaches_the_operator(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    documents = rendered(cluster, namespace, TLS)
    found = config(documents, tmp_path)
    mounted = {
        one["name"]: Path(one["mountPath"])
        for one in pod_of(documents)["spec"]["containers"][0]["volumeMounts"]
    }
    assert found.api.certificate == mounted["tls"] / "tls.crt"
    assert found.api.key == mounted["tls"] / "tls.key"
    assert found.api.ca == mounted["tls"] / "ca.crt"
    assert found.plane.ca == mounted["plane-ca"] / "ca.crt"
    assert found.plane.credentials == mounted["plane"] / "operator.creds"
    assert found.plane.signing_key == mounted["plane"] / "signing.seed"
    assert found.api.token == mounted["api"] / "token"
    assert found.api.artifacts == mounted["artifacts"]
    assert found.api.url == f"https://{NAME}.{namespace}.svc:7700"
    assert found.api.name == f"{NAME}.{namespace}.svc"
    probes = pod_of(documents)["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert probes[probe]["httpGet"]["scheme"] == "HTTPS"


def test_every_setting_of_the_operator_is_a_value_of_the_chart(
    cluster: KubeCluster, namespace: str
) -> None:
    """A new one would be forgotten here; where the pod's volumes are is the chart's own."""
    text = the(rendered(cluster, namespace, TLS), "ConfigMap")["data"]["config.toml"]
    written = {(part, name) for part, names in tomllib.loads(text).items() for name in names}
    known = {
        (part, field)
        for part, kind in OperatorConfig.__annotations__.items()
        for field in kind.__struct_fields__
    }
    own = {("api", "artifacts"), ("election", "lease")}
    assert known - own == written


@pytest.mark.parametrize("case", ["namespaced", "tls", "every value"])
def test_its_pod_keeps_the_strictest_security_standard(
    cluster: KubeCluster, restricted: str, case: str
) -> None:
    pod = pod_of(rendered(cluster, restricted, CASES[case]))
    assert admitted(cluster, restricted, pod) == ""


def test_a_pod_that_may_be_root_would_be_refused(cluster: KubeCluster, restricted: str) -> None:
    pod = deepcopy(pod_of(rendered(cluster, restricted, CASES["namespaced"])))
    del pod["spec"]["securityContext"]["runAsNonRoot"]
    assert "runAsNonRoot" in admitted(cluster, restricted, pod)


def admitted(kube: KubeCluster, namespace: str, template: Document) -> str:
    """What the API server has against such a pod; empty: nothing."""
    spec = template["spec"] | {"serviceAccountName": "default"}
    spec.pop("priorityClassName", None)  # the one of the case is for the cluster's own namespace
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "one"},
        "spec": spec,
    }
    done = kube.kubectl(
        *("create", "--dry-run=server", "-n", namespace, "-f", "-"),
        document=json.dumps(pod),
        check=False,
    )
    return done.stderr


def test_a_changed_configuration_rolls_the_pods_and_nothing_else_does(
    cluster: KubeCluster, namespace: str
) -> None:
    def template(**values: object) -> Document:
        return pod_of(rendered(cluster, namespace, {"plane": PLANE, **values}))

    assert template() == template(replicas=4)
    changed = template(devices={"declaredOnly": True})
    assert changed["metadata"]["annotations"] != template()["metadata"]["annotations"]


def test_one_replica_is_left_whatever_is_rolled_or_drained(
    cluster: KubeCluster, namespace: str
) -> None:
    two = rendered(cluster, namespace, CASES["namespaced"])
    spec = the(two, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]) == (2, 1)
    assert the(two, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    one = rendered(cluster, namespace, {"plane": PLANE, "replicas": 1})
    spec = the(one, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "PodDisruptionBudget" not in {document["kind"] for document in one}


def test_the_files_of_fleet_plane_keys_fit_the_chart(
    cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    made = make_plane_keys(keys, namespace)
    values = yaml.safe_load((keys / "operator-values.yaml").read_text())
    values["plane"]["deviceUrl"] = PLANE["deviceUrl"]
    documents = rendered(cluster, namespace, values)
    assert config(documents, tmp_path).plane.devices_account == made.devices_account
    secrets = list(yaml.safe_load_all((keys / "secret.yaml").read_text()))
    mounted = {
        (one["secret"]["secretName"], item["key"])
        for one in pod_of(documents)["spec"]["volumes"]
        for item in one.get("secret", {}).get("items", ())
    }
    assert mounted == {
        (one["metadata"]["name"], key) for one in secrets for key in one["stringData"]
    }
    policy = yaml.safe_load((ROOT / "deploy/nats/networkpolicy.yaml").read_text())
    assert len(dry_run(cluster, namespace, [*secrets, policy])) == 3


@pytest.mark.parametrize("setting", BAD_VALUES)
def test_a_value_that_is_misspelt_or_cannot_be_is_refused(
    cluster: KubeCluster, tmp_path: Path, setting: str
) -> None:
    values = values_file(tmp_path, {"plane": PLANE})
    done = cluster.helm(
        *("template", NAME, str(CHART), "-f", str(values), "--set", setting), check=False
    )
    assert done.returncode != 0
    assert BAD_VALUES[setting] in done.stderr


def test_the_chart_has_the_version_of_what_it_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (project, project)
