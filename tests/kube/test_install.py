"""Installed for real, on API servers that know nothing of it: by kustomize, and by Helm."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.kube.api_server import KubeCluster, kube_cluster
from tests.kube.chart import CHART, KUSTOMIZE, NAME, PLANE, ROOT, Document, values_file

pytestmark = pytest.mark.kube

DEVICE = json.dumps(
    {
        "apiVersion": "harmony-fleet.dev/v1alpha1",
        "kind": "Device",
        "metadata": {"name": "pi-1"},
        "spec": {"paused": True},
    }
)
GONE_LIMIT_S = 60.0
CRDS = ("agentreleases.harmony-fleet.dev", "devices.harmony-fleet.dev")


@pytest.fixture(scope="module")
def empty(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeCluster]:
    with kube_cluster(tmp_path_factory.mktemp("empty"), programs) as made:
        yield made


@pytest.fixture
def bare(empty: KubeCluster) -> Iterator[KubeCluster]:
    """Without our definitions, before and after."""
    yield empty
    undefine(empty)
    names = ("clusterrole", "clusterrolebinding")
    for kind in names:
        empty.kubectl("delete", kind, "--ignore-not-found", f"{NAME}:{NAME}")
    empty.kubectl("delete", "namespace", "--ignore-not-found", NAME, "fleet", "elsewhere")


def undefine(kube: KubeCluster) -> None:
    """An API server that failed to remove what a definition defines tries it ever more rarely; it
    looks again at once when the definition is touched.
    """
    kube.kubectl("delete", "crd", "--ignore-not-found", "--wait=false", *CRDS)
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while lines(kube, "get", "crd", "-o", "name"):
        assert time.monotonic() < deadline_s, kube.kubectl("get", "crd", "-o", "yaml").stdout
        touch = f"touched={time.monotonic()}"
        kube.kubectl("annotate", "crd", "--all", "--overwrite", touch, check=False)
        time.sleep(0.5)


def lines(kube: KubeCluster, *words: str) -> list[str]:
    return kube.kubectl(*words).stdout.splitlines()


def reader(kube: KubeCluster, namespace: str) -> str:
    """Whether the operator's account may read a Device of the namespace `default`, and of its own.

    As its pods would be: by its token, not by impersonation.
    """
    account = kube.kubeconfig_of_account(namespace, NAME)
    answers = (
        kube.kubectl(
            "auth", "can-i", "watch", "devices", "-n", space, kubeconfig=account, check=False
        ).stdout.strip()
        for space in (namespace, "default")
    )
    return " ".join(answers)


# kustomize


def versions(kube: KubeCluster, tree: str) -> dict[str, int]:
    """Of each object's spec. What kubectl says is not it: it calls any budget `configured`."""
    found = kube.get("-k", tree)["items"]
    return {
        f"{one['kind']}/{one['metadata']['name']}": int(
            one["metadata"].get("generation") or one["metadata"]["resourceVersion"]
        )
        for one in found
    }


@pytest.mark.parametrize(
    ("variant", "may"), [("namespaced", "yes no"), ("cluster-wide", "yes yes")]
)
def test_the_tree_is_applied_and_applied_again_without_a_change(
    bare: KubeCluster, variant: str, may: str
) -> None:
    tree = str(KUSTOMIZE / variant)
    first = lines(bare, "apply", "-k", tree)
    assert all(line.endswith("created") for line in first)
    before = versions(bare, tree)
    bare.kubectl("apply", "-k", tree)
    assert versions(bare, tree) == before
    assert len(before) == len(first)
    bare.kubectl("wait", "--for=condition=Established", "crd", *CRDS, "--timeout=60s")
    assert reader(bare, NAME) == may


@pytest.mark.parametrize(
    ("variant", "may"), [("namespaced", "yes no"), ("cluster-wide", "yes yes")]
)
def test_an_overlay_says_its_own_namespace_configuration_and_image(
    bare: KubeCluster, tmp_path: Path, variant: str, may: str
) -> None:
    shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "namespace": "elsewhere",
                "resources": [f"../kustomize/{variant}"],
                "configMapGenerator": [
                    {"name": NAME, "behavior": "replace", "files": ["config.toml"]}
                ],
                "images": [
                    {"name": "harmony-fleet/operator", "newName": "example.org/o", "newTag": "2"}
                ],
            }
        )
    )
    (overlay / "config.toml").write_text("[plane]\n")
    bare.kubectl("apply", "-k", str(overlay))
    pod = bare.get("deployment", NAME, "-n", "elsewhere")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "example.org/o:2"
    (config,) = (one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one)
    assert bare.get("configmap", config, "-n", "elsewhere")["data"] == {"config.toml": "[plane]\n"}
    assert reader(bare, "elsewhere") == may


def test_a_file_that_differs_from_the_chart_is_named(programs: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    assert checked(programs, tmp_path) == (0, "")
    role = tmp_path / "deploy/kustomize/namespaced/role.yaml"
    role.write_text(role.read_text().replace("watch", "delete"))
    (tmp_path / "deploy/kustomize/base/secret.yaml").write_text("kind: Secret\n")
    status, said = checked(programs, tmp_path)
    assert status == 1
    assert "deploy/kustomize/namespaced/role.yaml" in said
    assert "deploy/kustomize/base/secret.yaml" in said


def test_the_kustomize_tree_is_what_the_chart_renders(programs: Path) -> None:
    assert checked(programs, ROOT) == (0, "")


def checked(programs: Path, root: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, root / "scripts/manifests", "--check"],
        env=os.environ | {"KUBEBUILDER_ASSETS": str(programs)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


# Helm


def helm(kube: KubeCluster, verb: str, *words: str, chart: Path = CHART, check: bool = True) -> str:
    """In the namespace `fleet`, under the name of the project."""
    values = values_file(kube.folder, {"plane": PLANE})
    done = kube.helm(
        *(verb, NAME, str(chart), "-n", "fleet", "--create-namespace", "-f", str(values)),
        *words,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_upgrade_brings_changed_definitions(bare: KubeCluster, tmp_path: Path) -> None:
    """As it would not, were they in crds/."""
    helm(bare, "install")
    bare.kubectl("wait", "--for=condition=Established", "crd", *CRDS, "--timeout=60s")
    bare.kubectl("apply", "-n", "fleet", "-f", "-", document=DEVICE)
    newer = tmp_path / "chart"
    shutil.copytree(CHART, newer)
    with_field(newer / "files/crds/devices.yaml", "nickname")
    helm(bare, "upgrade", chart=newer)
    patch = ("patch", "device", "pi-1", "-n", "fleet", "--type=merge", "-p")
    bare.kubectl(*patch, '{"spec":{"nickname":"Pi"}}')
    spec = bare.get("device", "pi-1", "-n", "fleet")["spec"]
    assert spec == {"nickname": "Pi", "paused": True}
    bare.kubectl("delete", "device", "pi-1", "-n", "fleet")


def with_field(crd: Path, name: str) -> None:
    document: Document = yaml.safe_load(crd.read_text())
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"][name] = {"type": "string"}
    crd.write_text(yaml.safe_dump(document))


def test_definitions_and_devices_outlive_an_uninstall_and_are_taken_up_again(
    bare: KubeCluster,
) -> None:
    helm(bare, "install")
    bare.kubectl("wait", "--for=condition=Established", "crd", *CRDS, "--timeout=60s")
    bare.kubectl("apply", "-n", "fleet", "-f", "-", document=DEVICE)
    bare.helm("uninstall", NAME, "-n", "fleet")
    assert (
        lines(bare, "get", "deployment,role,service,configmap", "-n", "fleet", "-l", ours()) == []
    )
    assert lines(bare, "get", "devices", "-n", "fleet", "-o", "name")
    helm(bare, "install")
    assert lines(bare, "get", "devices", "-n", "fleet", "-o", "name")
    bare.helm("uninstall", NAME, "-n", "fleet")
    other = ("install", "another", str(CHART), "-n", "fleet", "--take-ownership", "-f")
    bare.helm(*other, str(values_file(bare.folder, {"plane": PLANE})))
    bare.helm("uninstall", "another", "-n", "fleet")
    assert lines(bare, "get", "devices", "-n", "fleet", "-o", "name")
    bare.kubectl("delete", "device", "pi-1", "-n", "fleet")


def ours() -> str:
    return f"app.kubernetes.io/name={NAME}"


def test_a_second_install_shares_the_definitions(bare: KubeCluster) -> None:
    helm(bare, "install")
    values = values_file(bare.folder, {"plane": PLANE})
    second = ("install", NAME, str(CHART), "-n", "elsewhere", "--create-namespace", "-f")
    refused = bare.helm(*second, str(values), check=False)
    assert refused.returncode != 0
    assert "meta.helm.sh/release-namespace" in refused.stderr
    bare.helm(*second, str(values), "--set", "crds.install=false")
    assert reader(bare, "elsewhere") == "yes no"
    assert reader(bare, "fleet") == "yes no"
    bare.helm("uninstall", NAME, "-n", "elsewhere")
    bare.helm("uninstall", NAME, "-n", "fleet")


def test_an_install_says_what_to_do_next(bare: KubeCluster) -> None:
    said = helm(bare, "install")
    for words in (
        "harmony-fleet-plane: operator.creds, signing.seed",
        "fleet plane keys --output DIR",
        "kubectl -n fleet rollout status deployment/harmony-fleet",
        "artifacts.existingClaim is not",
        "api.tls.secretName is not set",
    ):
        assert words in said
    bare.helm("uninstall", NAME, "-n", "fleet")
