"""`fleet plane keys`: the accounts of a message plane in Kubernetes, made once, and for whom."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.processes.stand_in_api import Cli

from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging.credentials import Credentials
from harmony_fleet.operator.credentials import KeyPair, decode_claims

FILES = (
    "operator.creds",
    "signing.seed",
    "secret.yaml",
    "nats-values.yaml",
    "operator-values.yaml",
)


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path / "data", capsys)


@pytest.fixture
def keys(fleet: Cli, tmp_path: Path) -> Path:
    made = fleet("plane", "keys", "--output", str(tmp_path / "keys"))
    assert made.status == 0, made.err
    return tmp_path / "keys"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def secrets(keys: Path) -> dict[str, Any]:
    found = yaml.safe_load_all((keys / "secret.yaml").read_text())
    return {one["metadata"]["name"]: one for one in found}


def test_every_file_is_its_owner_s_alone(keys: Path) -> None:
    assert set(FILES) <= set(contents(keys))
    for path in (keys, *keys.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_secrets_hold_what_the_operator_s_pods_mount(keys: Path) -> None:
    made = secrets(keys)
    plane = made["harmony-fleet-plane"]["stringData"]
    assert plane["operator.creds"] == (keys / "operator.creds").read_text()
    assert plane["signing.seed"] == (keys / "signing.seed").read_text()
    assert len(made["harmony-fleet-api"]["stringData"]["token"]) >= 40
    assert {one["metadata"]["namespace"] for one in made.values()} == {"harmony-fleet"}


def test_operator_and_devices_belong_to_the_accounts_that_the_servers_are_told(keys: Path) -> None:
    told = yaml.safe_load((keys / "nats-values.yaml").read_text())["config"]["merge"]
    accounts = {name: decode_claims(jwt) for name, jwt in told["resolver_preload"].items()}
    authority = decode_claims(told["operator"])["sub"]
    assert {claims["iss"] for claims in accounts.values()} == {authority}
    assert all(name == claims["sub"] for name, claims in accounts.items())
    by_name = {claims["name"]: name for name, claims in accounts.items()}
    assert set(by_name) == {"SYSTEM", "OPS", "DEVICES"}
    assert told["system_account"] == by_name["SYSTEM"]
    operator = Credentials.load(keys / "operator.creds")
    assert decode_claims(operator.jwt)["iss"] == by_name["OPS"]
    values = yaml.safe_load((keys / "operator-values.yaml").read_text())
    assert values["plane"]["devicesAccount"] == by_name["DEVICES"]
    signing = KeyPair.parse("A", (keys / "signing.seed").read_text().strip())
    scopes = accounts[by_name["DEVICES"]]["nats"]["signing_keys"]
    assert [one["key"] for one in scopes] == [signing.public]


def test_no_seed_of_an_account_is_in_a_file_for_the_cluster(keys: Path) -> None:
    """But the signing key's, which lets devices in and nothing else."""
    accounts = Accounts.open(keys / "accounts")
    seeds = {name: key.seed_text() for name, key in accounts.keys.items()}
    del seeds["device_signing"]
    for name in FILES:
        text = (keys / name).read_text()
        assert not any(seed in text for seed in seeds.values()), name


def test_a_second_run_changes_nothing(fleet: Cli, keys: Path) -> None:
    before = contents(keys)
    again = fleet("plane", "keys", "--output", str(keys), "--json")
    assert again.status == 0
    assert again.document["made"] == []
    assert sorted(again.document["kept"]) == sorted(FILES)
    assert contents(keys) == before


def test_a_second_run_makes_what_a_killed_one_left_out(fleet: Cli, keys: Path) -> None:
    before = contents(keys)
    (keys / "nats-values.yaml").unlink()
    (keys / "operator-values.yaml").unlink()
    again = fleet("plane", "keys", "--output", str(keys), "--json")
    assert sorted(again.document["made"]) == ["nats-values.yaml", "operator-values.yaml"]
    assert contents(keys) == before


def test_new_accounts_are_never_made_beside_files_of_old_ones(fleet: Cli, keys: Path) -> None:
    (keys / "accounts").rename(keys.parent / "kept")
    before = contents(keys)
    refused = fleet("plane", "keys", "--output", str(keys), "--json")
    assert (refused.status, refused.error["kind"]) == (2, "plane_keys_unusable")
    assert "put it back" in refused.error["message"]
    assert contents(keys) == before


def test_a_folder_of_somebody_else_s_is_left_alone(fleet: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "letter").write_text("Dear")
    refused = fleet("plane", "keys", "--output", str(folder), "--json")
    assert (refused.status, refused.error["kind"]) == (2, "plane_keys_unusable")
    assert set(contents(folder)) == {"letter"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_the_secrets_are_for_the_namespace_that_is_said(fleet: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert fleet("plane", "keys", "--output", str(folder), "--namespace", "fleet").status == 0
    assert {one["metadata"]["namespace"] for one in secrets(folder).values()} == {"fleet"}
    refused = fleet("plane", "keys", "--output", str(folder), "--namespace", "a: b", "--json")
    assert (refused.status, refused.error["kind"]) == (2, "usage")
