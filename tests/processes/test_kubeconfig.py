"""Which cluster is meant, and as whom: files as kubectl reads them, and programs that log in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.processes.stand_in_api import Script, device
from tests.processes.stand_in_cluster import (
    USER_TOKEN,
    StandInCluster,
    kubeconfig,
    standing_cluster,
)

from harmony_fleet.cli.cluster_errors import (
    KubeconfigUnusable,
    LoginFailed,
    NoKubeconfig,
    UnknownContext,
)
from harmony_fleet.cli.kubeconfig import chosen_configuration
from harmony_fleet.cli.main import main

V1 = "client.authentication.k8s.io/v1"
URL = "https://cluster.example:6443"


@pytest.fixture(autouse=True)
def _no_cluster_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def login(folder: Path, *lines: str, version: str = V1, **more: Any) -> dict[str, Any]:
    """A user whose login program runs these lines of Python."""
    program = folder / "login"
    program.write_text("\n".join([f"#!{sys.executable}", "import json, os, sys", *lines]))
    program.chmod(0o755)
    return {"exec": {"command": str(program), "apiVersion": version, **more}}


def gives(**status: str) -> str:
    return f"print(json.dumps({{'status': {status!r}}}))"


def test_without_an_option_it_is_the_files_current_context(tmp_path: Path) -> None:
    found = chosen_configuration(kubeconfig(tmp_path / "config", URL), None)
    assert (found.context_name, found.namespace, found.cluster.server) == ("tests", "fleet", URL)


def test_several_files_are_one_and_the_first_that_names_a_thing_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        file = kubeconfig(tmp_path / name / "config", f"https://{name}.example", name=name)
        document = json.loads(file.read_text())
        document["clusters"][0]["cluster"]["certificate-authority"] = "ca.pem"
        document["users"].append({"name": "shared", "user": {"token": f"of-{name}"}})
        document["contexts"].append(
            {"name": "both", "context": {"cluster": name, "user": "shared"}}
        )
        file.write_text(json.dumps(document))
    files = [tmp_path / name / "config" for name in ("absent", "one", "two")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
    assert chosen_configuration(None, None).context_name == "one"
    two = chosen_configuration(None, "two")
    assert two.cluster.certificate_auth == str(tmp_path / "two/ca.pem")
    both = chosen_configuration(None, "both")
    assert both.cluster.server == "https://one.example"
    assert both.user is not None
    assert (both.user.token, both.namespace) == ("of-one", "default")


def test_the_users_own_file_is_found_and_an_option_wins_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home/.kube").mkdir(parents=True)
    kubeconfig(tmp_path / "home/.kube/config", URL, name="own")
    assert chosen_configuration(None, None).context_name == "own"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "b", URL, name="variable")))
    assert chosen_configuration(None, None).context_name == "variable"
    named = kubeconfig(tmp_path / "c", URL, name="option")
    assert chosen_configuration(named, None).context_name == "option"


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", URL)
    with pytest.raises(UnknownContext, match=r"no context nowhere in .*config, only tests"):
        chosen_configuration(file, "nowhere")
    document = json.loads(file.read_text()) | {"current-context": ""}
    file.write_text(json.dumps(document))
    with pytest.raises(UnknownContext, match=r"name one by --context, of tests"):
        chosen_configuration(file, None)
    file.write_text("")
    with pytest.raises(UnknownContext, match="none at all"):
        chosen_configuration(file, None)


def test_a_file_that_is_named_and_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoKubeconfig, match="absent"):
        chosen_configuration(tmp_path / "absent", None)


@pytest.mark.parametrize(
    "text", ["[", "[1]", "a", "clusters: [1]", "users: [{user: {}}]", "contexts: [{name: 3}]", "\0"]
)
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(KubeconfigUnusable, match=r"config is no kubeconfig .*name another"):
        chosen_configuration(file, None)


@pytest.mark.parametrize(
    ("of", "entry", "words"),
    [
        ("clusters", {"server": URL, "proxy-url": "http://p"}, "`proxy-url` of the cluster"),
        ("clusters", {"server": URL, "tls-server-name": "x"}, "`tls-server-name` of the cluster"),
        ("clusters", {}, "names no cluster"),
        ("clusters", {"server": URL, "insecure-skip-tls-verify": 3}, "cannot be used"),
        ("users", {"as": "root"}, "`as` of the user"),
        ("users", {"auth-provider": {"name": "gcp"}}, "`auth-provider` of the user"),
        ("users", {"token": 3}, "cannot be used"),
        ("users", {"exec": {"command": "x"}}, "lacks or mistypes 'apiVersion'"),
        ("users", {"exec": {"command": "x", "apiVersion": "v9"}}, "of v9, which is unknown"),
    ],
)
def test_what_would_reach_another_or_as_another_is_refused(
    tmp_path: Path, of: str, entry: dict[str, Any], words: str
) -> None:
    file = kubeconfig(tmp_path / "config", URL)
    document = json.loads(file.read_text())
    document[of][0][of.removesuffix("s")] = entry
    file.write_text(json.dumps(document))
    with pytest.raises(KubeconfigUnusable, match=words):
        chosen_configuration(file, None)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_login_program_is_told_its_protocol_and_gives_a_token(
    tmp_path: Path, version: str
) -> None:
    user = login(
        tmp_path,
        "asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])",
        f"assert asked['apiVersion'] == {f'client.authentication.k8s.io/{version}'!r}",
        "assert (asked['kind'], asked['spec']) == ('ExecCredential', {'interactive': False})",
        "print(json.dumps({'status': {'token': os.environ['WHO'] + sys.argv[1]}}))",
        version=f"client.authentication.k8s.io/{version}",
        args=["-east"],
        env=[{"name": "WHO", "value": "user"}],
    )
    program = (
        "import sys; from pathlib import Path\n"
        "from harmony_fleet.cli.kubeconfig import chosen_configuration\n"
        "print(chosen_configuration(Path(sys.argv[1]), None).user.token)"
    )
    argv = [sys.executable, "-c", program, str(kubeconfig(tmp_path / "config", URL, user))]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("user-east\n", "")


def test_a_login_program_may_give_a_certificate_and_lie_beside_its_file(tmp_path: Path) -> None:
    user = login(tmp_path, gives(clientCertificateData="PEM", clientKeyData="KEY"))
    user["exec"]["command"] = "./login"
    found = chosen_configuration(kubeconfig(tmp_path / "config", URL, user), None).user
    assert found is not None
    assert (found.client_cert_data, found.client_key_data) == ("UEVN", "S0VZ")
    assert found.token is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sys.exit(3)", "failed with status 3"),
        ("print('{}')", "is no login"),
        ("print('no json')", "is no login"),
        ("print('[]')", "is no login"),
        (gives(), "neither a token nor a certificate"),
    ],
)
def test_a_login_program_that_gives_nothing_is_told(tmp_path: Path, line: str, words: str) -> None:
    file = kubeconfig(tmp_path / "config", URL, login(tmp_path, line))
    with pytest.raises(LoginFailed, match=words):
        chosen_configuration(file, None)


def test_a_login_program_that_is_not_installed_is_told_with_the_files_hint(tmp_path: Path) -> None:
    user = {"exec": {"command": "no-such-login", "apiVersion": V1, "installHint": "get\nit there"}}
    with pytest.raises(LoginFailed, match=r"no-such-login cannot be run .*; get it there"):
        chosen_configuration(kubeconfig(tmp_path / "config", URL, user), None)


@pytest.fixture
def url() -> Iterator[str]:
    with standing_cluster(StandInCluster(Script(looks=[[device()]]))) as url:
        yield url


@pytest.mark.parametrize("kind", ["token", "tokenFile", "exec"])
def test_whoever_logs_in_by_a_token_is_taken(url: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "token").write_text(USER_TOKEN + "\n")
    users = {
        "token": {"token": USER_TOKEN},
        "tokenFile": {"tokenFile": "token"},
        "exec": login(tmp_path, gives(token=USER_TOKEN)),
    }
    file = kubeconfig(tmp_path / "config", url, users[kind])
    assert main(["device", "list", "--kubeconfig", str(file)]) == 0


@pytest.mark.parametrize(
    "user",
    [
        {"client-certificate": "absent", "client-key": "absent"},
        {"client-certificate-data": "x", "client-key-data": "x"},
        {"tokenFile": "absent"},
    ],
)
def test_what_somebody_logs_in_by_and_cannot_be_read_is_one_sentence(
    url: str, tmp_path: Path, user: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path / "config", url, user)
    assert main(["device", "list", "--json", "--kubeconfig", str(file)]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["kind"] == "kubeconfig_unusable"
