"""What the data folder holds beside the store: the API's token, and the message plane's port."""

import stat
from pathlib import Path

import pytest

from harmony_fleet.embedded.data_folder import held


@pytest.mark.parametrize("left", [b"\xff" * 64, b"a b", b"", b"short", b"x" * 31, b"x" * 300])
def test_a_token_that_is_none_is_replaced_by_one(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "token").write_bytes(left)
    with held(tmp_path) as folder:
        token = folder.token
    assert len(token) >= 32
    assert token.isascii()
    assert (tmp_path / "token").read_text() == f"{token}\n"


def test_a_token_is_kept_and_made_private(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 43)
    (tmp_path / "token").chmod(0o644)
    with held(tmp_path) as folder:
        assert folder.token == "t" * 43
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


@pytest.mark.parametrize(("left", "port"), [("4222", 4222), ("0", 0), ("-5", 0), ("70000", 0)])
def test_a_port_that_is_none_is_forgotten(tmp_path: Path, left: str, port: int) -> None:
    (tmp_path / "nats-port").write_text(left)
    with held(tmp_path) as folder:
        assert folder.nats_port() == port
