"""A configuration of the operator that somebody has not finished is refused, and says where."""

from pathlib import Path

import pytest

from harmony_fleet.operator.config import ConfigUnusable, read_config
from harmony_fleet.operator.credentials import KeyPair

TREE = Path(__file__).resolve().parents[2] / "deploy/kustomize"
PLACEHOLDER = "A" + "X" * 55


@pytest.mark.parametrize("variant", ["namespaced", "cluster-wide"])
def test_the_one_for_kustomize_is_refused_until_it_names_the_devices_account(
    tmp_path: Path, variant: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text((TREE / variant / "config.toml").read_text())
    with pytest.raises(ConfigUnusable, match=PLACEHOLDER):
        read_config(path)
    path.write_text(path.read_text().replace(PLACEHOLDER, KeyPair.new("A").public))
    assert read_config(path).devices.all_namespaces == (variant == "cluster-wide")


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = (TREE / "namespaced/config.toml").read_text()
    text = text.replace(PLACEHOLDER, KeyPair.new("A").public)
    path.write_text(text.replace("[api]", '[api]\nkey = "/secrets/tls/tls.key"'))
    with pytest.raises(ConfigUnusable, match="no certificate"):
        read_config(path)
