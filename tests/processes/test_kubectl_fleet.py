"""The command line of a cluster's operator: what it sends, what it refuses, what it makes of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from tests.processes.api_world import artifact
from tests.processes.stand_in_api import (
    TOKEN,
    UPGRADE_ID,
    Ran,
    Script,
    device,
    ordered,
    standing,
    upgrading,
)
from tests.processes.stand_in_cluster import (
    NAMESPACE,
    PROXY,
    SECRET,
    SERVICE,
    TOKEN_SECRET,
    USER_TOKEN,
    StandInCluster,
    kubeconfig,
    standing_cluster,
)

from harmony_fleet.cli.main import main
from harmony_fleet.cli.settings import ClusterChoice

PLUGIN = "import sys; sys.argv[0] = 'kubectl-fleet'; from harmony_fleet.cli.main import run; run()"


@dataclass(frozen=True)
class Kubectl:
    """`fleet` in this process, for the operator of a cluster."""

    file: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ran:
        self.capture.readouterr()
        status = main([*arguments, "--kubeconfig", str(self.file)])
        said = self.capture.readouterr()
        return Ran(status, said.out, said.err)


@pytest.fixture(autouse=True)
def _no_cluster_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture
def script() -> Script:
    return Script(looks=[[device()]])


@pytest.fixture
def cluster(script: Script) -> StandInCluster:
    return StandInCluster(script)


@pytest.fixture
def kubectl(
    tmp_path: Path, cluster: StandInCluster, capsys: pytest.CaptureFixture[str]
) -> Iterator[Kubectl]:
    with standing_cluster(cluster) as url:
        yield Kubectl(kubeconfig(tmp_path / "config", url), capsys)


def plugin(*arguments: str, **environment: str) -> Ran:
    """In a process of its own, under the name by which kubectl finds it."""
    argv = [sys.executable, "-c", PLUGIN, *arguments]
    ran = subprocess.run(argv, capture_output=True, text=True, env=os.environ | environment)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def test_the_operator_is_asked_through_the_service_proxy_with_a_token_of_its_own(
    kubectl: Kubectl, cluster: StandInCluster
) -> None:
    ran = kubectl("device", "list", "-l", "ring=canary", "--json")
    assert ran.document["devices"][0]["device_id"] == "local-1"
    service, secret, asked = cluster.asked
    assert [one[1] for one in (service, secret)] == [SERVICE, SECRET]
    assert asked[1] == f"{PROXY}/api/v1/devices?selector=ring%3Dcanary"
    assert asked[2]["fleet-token"] == TOKEN
    assert asked[2]["authorization"] == f"Bearer {USER_TOKEN}"
    assert "fleet-token" not in service[2]


def test_an_upgrade_is_ordered_waited_for_and_explained(kubectl: Kubectl, script: Script) -> None:
    script.upgrades = ordered("local-1")
    script.looks = [[upgrading("Staging")], [upgrading("Succeeded")]]
    ran = kubectl("upgrade", "local-1", "--to", "1.1.0", "--wait")
    assert (ran.status, ran.err) == (0, "")
    assert "1 succeeded" in ran.out
    assert kubectl("why", "local-1").out == "local-1 runs 1.0.0.\n"
    assert kubectl("abort", "local-1").status == 0


def test_a_file_is_sent_whole_also_where_nobody_leads_at_first(
    kubectl: Kubectl, cluster: StandInCluster, script: Script, tmp_path: Path
) -> None:
    script.releases = [{"version": "1.1.0"}]
    file = artifact(tmp_path / "agent", "1.1.0")
    script.raw["PUT /api/v1/releases/1.1.0"] = b"{}"
    cluster.leaderless = 1
    kubectl("release", "add", str(file))
    [(_, _, sent)] = script.asked
    assert sent == file.read_bytes()


def test_where_nobody_leads_it_is_asked_again_for_a_while_only(
    kubectl: Kubectl, cluster: StandInCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.leaderless = 2
    assert kubectl("device", "list").status == 0
    monkeypatch.setattr("harmony_fleet.cli.client.LEADERLESS_LIMIT_S", 0.1)
    cluster.leaderless = 1000
    ran = kubectl("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (1, "server_busy")
    assert "no replica leads" in ran.error["message"]


def test_an_order_that_may_have_been_carried_out_is_not_given_twice(
    kubectl: Kubectl, script: Script
) -> None:
    script.errors["POST /api/v1/upgrades"] = (503, "unanswered", "the leader did not answer")
    ran = kubectl("upgrade", "local-1", "--to", "1.1.0")
    assert (ran.status, "did not answer" in ran.err) == (1, True)
    assert len(script.documents("POST", "/api/v1/upgrades")) == 1


@pytest.mark.parametrize(
    ("path", "code", "kind", "words"),
    [
        (SERVICE, 401, "cluster_login", "context tests does not know who you are"),
        (SERVICE, 403, "forbidden", "docs/kubectl-fleet.md says what a role has to allow"),
        (SECRET, 403, "forbidden", "said in its own name"),
        (PROXY, 403, "forbidden", "said in its own name"),
        (SERVICE, 404, "no_operator", f"in namespace {NAMESPACE}: name the operator's by"),
        (SECRET, 404, "no_operator", "said in its own name"),
        (PROXY, 503, "no_replica", "nobody answers behind the Service harmony-fleet"),
        (PROXY, 500, "server_failed", f"kubectl --context tests -n {NAMESPACE} logs"),
    ],
)
def test_what_the_api_server_refuses_is_told_as_its_own_word(
    kubectl: Kubectl, cluster: StandInCluster, path: str, code: int, kind: str, words: str
) -> None:
    cluster.statuses[path] = (code, "said in its own name")
    ran = kubectl("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (1, kind)
    assert words in ran.error["message"]
    assert "said in its own name" in ran.error["message"]


def test_what_the_operator_refuses_is_told_as_anywhere(kubectl: Kubectl, script: Script) -> None:
    script.errors["GET /api/v1/devices"] = (404, "nothing_selected", "the operator's sentence")
    ran = kubectl("device", "list", "--json")
    assert ran.error == {"kind": "nothing_selected", "message": "the operator's sentence"}
    assert ran.status == 2


def test_a_token_that_the_operator_does_not_take_is_named_by_its_secret(
    kubectl: Kubectl, cluster: StandInCluster
) -> None:
    cluster.token = "of-yesterday"
    ran = kubectl("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (1, "wrong_token")
    assert "Secret harmony-fleet-api in namespace fleet" in ran.error["message"]
    cluster.token = "two words"
    assert kubectl("device", "list", "--json").error["kind"] == "no_operator"


def test_the_service_names_the_secret_and_no_token_of_another_kind_is_sent(
    kubectl: Kubectl, cluster: StandInCluster
) -> None:
    cluster.annotations = {TOKEN_SECRET: "north-token"}
    assert kubectl("device", "list").status == 0
    assert cluster.asked[1][1].endswith("/secrets/north-token")
    cluster.secret_type = "kubernetes.io/service-account-token"
    ran = kubectl("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (1, "no_operator")
    assert "Secret north-token in namespace fleet" in ran.error["message"]
    assert not any(PROXY in target for _, target, _ in cluster.asked[3:])
    cluster.annotations = {TOKEN_SECRET: "../../x"}
    assert kubectl("device", "list", "--json").error["kind"] == "invalid_value"


def test_a_service_of_another_kind_is_not_asked(kubectl: Kubectl, cluster: StandInCluster) -> None:
    several: list[list[dict[str, str]]] = [[], [{"name": "web"}], [{}]]
    for ports in several:
        cluster.ports = ports
        ran = kubectl("device", "list", "--json")
        assert (ran.status, ran.error["kind"]) == (1, "no_operator")
        assert "no port named api" in ran.error["message"]


@pytest.mark.parametrize("name", ["a/b", "", "..", "A", "x" * 64])
def test_a_name_that_is_none_is_not_sent(kubectl: Kubectl, name: str) -> None:
    for option in ("--namespace", "--service"):
        ran = kubectl("device", "list", "--json", option, name)
        assert (ran.status, ran.error["kind"]) == (2, "invalid_value")


def test_another_service_has_a_secret_of_its_name(
    kubectl: Kubectl, cluster: StandInCluster
) -> None:
    ran = kubectl("device", "list", "--service", "north", "--json")
    assert ran.error["kind"] == "no_operator"
    assert [one[1] for one in cluster.asked] == [f"/api/v1/namespaces/{NAMESPACE}/services/north"]


def test_an_api_server_that_is_gone_is_told(tmp_path: Path, kubectl: Kubectl) -> None:
    gone = Kubectl(kubeconfig(tmp_path / "gone", "http://127.0.0.1:1"), kubectl.capture)
    ran = gone("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (1, "cluster_unreachable")
    assert "kubectl --context tests version" in ran.error["message"]


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "device start-local",
        "device stop-local",
        "backup x",
        "restore x",
        "doctor",
        "support-bundle",
        "dev cluster up",
        "dev cluster down",
        "dev cluster status",
    ],
)
def test_what_is_of_one_machine_says_so_and_does_nothing(
    kubectl: Kubectl, cluster: StandInCluster, command: str
) -> None:
    ran = kubectl(*command.split(), "--json")
    assert (ran.status, ran.error["kind"]) == (2, "not_in_cluster")
    assert f"run `harmony-fleet {command.removesuffix(' x')}`" in ran.error["message"]
    assert cluster.asked == []


def test_an_install_takes_the_program_from_where_devices_take_it(
    kubectl: Kubectl, script: Script, tmp_path: Path
) -> None:
    """The API server passes artifacts on to nobody without a token; devices have none."""
    program = b"an agent"
    script.artifacts["fleet-agent-v1.0.0"] = program
    with standing(tmp_path / "elsewhere", script) as url:
        script.releases = [
            {
                "version": "1.0.0",
                "artifact_name": "fleet-agent-v1.0.0",
                "size_bytes": len(program),
                "sha256": sha256(program).hexdigest(),
                "python": "",
                "added_at": "2026-02-03T04:05:06Z",
                "url": f"{url}/artifacts/fleet-agent-v1.0.0",
                "stored_here": True,
            }
        ]
        ran = kubectl("device", "install", "127.0.0.1=pi", "--port", "1", "--json")
    assert "Connection refused" in ran.document["devices"][0]["cause"]
    assert ("GET", "/artifacts/fleet-agent-v1.0.0", b"") in script.asked


def test_another_process_is_led_to_the_same_operator(tmp_path: Path) -> None:
    named = ClusterChoice(tmp_path / "config", "east", "fleet", "north")
    assert named.words() == (
        "--in-cluster",
        *("--kubeconfig", str(tmp_path / "config")),
        *("--context", "east"),
        *("--namespace", "fleet"),
        *("--service", "north"),
    )
    assert ClusterChoice().words() == ("--in-cluster", "--service", "harmony-fleet")


def test_a_data_folder_and_a_cluster_are_not_both_meant(kubectl: Kubectl, tmp_path: Path) -> None:
    for words in (["--data", str(tmp_path)], ["--ca", "x"]):
        ran = kubectl("device", "list", *words)
        assert (ran.status, ran.out) == (2, "")
        assert "not of one in a cluster" in ran.err


def test_as_a_plugin_it_asks_the_cluster_and_names_commands_as_they_are_typed(
    kubectl: Kubectl, script: Script
) -> None:
    script.upgrades, script.looks = ordered("local-1"), [[upgrading("Failed", final=True)]]
    ran = plugin("upgrade", "local-1", "--to", "1.1.0", "--wait", KUBECONFIG=str(kubectl.file))
    assert ran.status == 1
    assert "ask `kubectl fleet why local-1`" in ran.err
    assert plugin("--help").out.startswith("Usage: kubectl fleet [OPTIONS]")
    assert "`harmony-fleet up`" in plugin("up").err
    wrong = plugin("device", "nonsense")
    assert "see `kubectl fleet device --help`" in wrong.err


def test_without_a_kubeconfig_a_plugin_says_where_it_looked(tmp_path: Path) -> None:
    ran = plugin("device", "list", "--json")
    assert (ran.status, ran.error["kind"]) == (2, "no_kubeconfig")
    assert str(tmp_path / "home/.kube/config") in ran.error["message"]


def test_what_talks_to_a_cluster_is_loaded_only_for_one(tmp_path: Path) -> None:
    program = (
        "import sys; from harmony_fleet.cli.main import main; "
        "main(['--help']); main(['device', 'list', '--data', sys.argv[1]]); "
        "sys.exit('lightkube' in sys.modules)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(argv, capture_output=True).returncode == 0


def test_without_lightkube_it_is_said_how_to_install_it(kubectl: Kubectl) -> None:
    program = (
        "import sys; sys.modules['lightkube'] = None; from harmony_fleet.cli.main import main; "
        "sys.exit(main(['device', 'list', '--in-cluster']))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "pip install 'harmony-fleet[kubernetes]'" in ran.stderr


def test_a_wait_survives_a_replica_that_is_gone(
    kubectl: Kubectl, cluster: StandInCluster, script: Script
) -> None:
    script.upgrades, script.looks = ordered("local-1"), [[upgrading("Staging")]]
    argv = [sys.executable, "-c", PLUGIN, "upgrade", "local-1", "--to", "1.1.0", "--wait"]
    environment = os.environ | {"KUBECONFIG": str(kubectl.file)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        while "Staging" not in ran.stdout.readline():
            pass
        cluster.statuses[PROXY] = (503, "error trying to reach service")
        assert "trying again" in ran.stderr.readline()
        script.looks = [[upgrading("Succeeded", upgrade_id=UPGRADE_ID)]]
        cluster.statuses.clear()
        out, err = ran.communicate(timeout=30)
    assert (ran.returncode, err) == (0, "")
    assert "1 succeeded" in out
