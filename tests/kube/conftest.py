"""One real API server for each test process, with our definitions; a namespace for each test.

Where the programs are not built the tests are skipped, in a sentence that says how to build them.
"""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kube.api_server import KubeCluster, kube_cluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def programs() -> Path:
    found = subprocess.run(
        [sys.executable, ROOT / "scripts/kube-assets", "--where"], capture_output=True, text=True
    )
    if found.returncode:
        pytest.skip(found.stderr.strip())
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def cluster(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeCluster]:
    with kube_cluster(tmp_path_factory.mktemp("kube"), programs) as made:
        define(made)
        yield made


@pytest.fixture(scope="session")
def older_cluster(
    programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeCluster]:
    """Whose API server streams no lists."""
    flag = "--feature-gates=WatchList=false"
    with kube_cluster(tmp_path_factory.mktemp("older"), programs, flag) as made:
        define(made)
        yield made


def define(cluster: KubeCluster) -> None:
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy/kustomize/crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@pytest.fixture(scope="session")
def new_namespace(cluster: KubeCluster) -> Callable[[], str]:
    """Each call makes one."""
    numbers = itertools.count(1)

    def made() -> str:
        name = f"fleet-{next(numbers)}"
        cluster.kubectl("create", "namespace", name)
        return name

    return made


@pytest.fixture
def namespace(new_namespace: Callable[[], str]) -> str:
    return new_namespace()
