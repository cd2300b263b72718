"""What the operator in a cluster is told, and how it refuses what it cannot use: in a sentence."""

import os
from pathlib import Path

import pytest

from harmony_fleet.operator.config import (
    ConfigUnusable,
    DevicesConfig,
    ElectionConfig,
    pod,
    read_config,
    text_of,
)
from harmony_fleet.operator.credentials import KeyPair

ACCOUNT = KeyPair("A", b"\0" * 32).public
PLANE = f"""
[plane]
servers = ["tls://nats-0.example:4222", "tls://nats-1.example:4222"]
credentials = "/etc/fleet/operator.creds"
signing_key = "/etc/fleet/devices.seed"
devices_account = "{ACCOUNT}"
device_url = "tls://nats.example:4222"
"""
API = """
[api]
url = "https://fleet.example"
token = "/etc/fleet/token"
"""
USABLE = PLANE + API


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(file: Path, text: str | bytes) -> str:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigUnusable) as refused:
        read_config(file)
    assert not refused.value.retryable
    sentence = str(refused.value)
    assert sentence.startswith(str(file))
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence.removeprefix(str(file))


def test_what_must_be_said_is_enough(file: Path) -> None:
    file.write_text(USABLE)
    config = read_config(file)
    assert config.plane.servers == ("tls://nats-0.example:4222", "tls://nats-1.example:4222")
    assert config.plane.credentials == Path("/etc/fleet/operator.creds")
    assert config.plane.replicas == 3
    assert config.api.token == Path("/etc/fleet/token")
    assert (config.api.certificate, config.api.ca, config.api.port) == (None, None, 7700)
    assert (config.devices, config.election) == (DevicesConfig(), ElectionConfig())


def test_all_may_be_said(file: Path) -> None:
    file.write_text(
        PLANE
        + 'ca = "/etc/fleet/ca.pem"\nreplicas = 1\n'
        + API
        + 'certificate = "/tls/both.pem"\nca = "/tls/ca.pem"\nname = "fleet"\n'
        + 'address = "::"\nport = 0\nartifacts = "/data"\n'
        + "[devices]\nall_namespaces = true\ndeclared_only = true\n"
        + '[election]\nlease = "mine"\nduration_s = 15\nrenew_limit_s = 10.5\nretry_s = 2\n'
    )
    config = read_config(file)
    assert config.plane.ca == Path("/etc/fleet/ca.pem")
    assert (config.api.port, config.api.artifacts) == (0, Path("/data"))
    assert config.devices == DevicesConfig(all_namespaces=True, declared_only=True)
    assert config.election == ElectionConfig("mine", 15, 10.5, 2)


def test_a_file_that_is_not_there_is_named_with_what_to_do(file: Path) -> None:
    with pytest.raises(ConfigUnusable, match=r"config\.toml cannot be read .*--config"):
        read_config(file)
    file.mkdir()
    with pytest.raises(ConfigUnusable, match="Is a directory"):
        read_config(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `plane`"),
        (PLANE, "missing required field `api`"),
        (API + "[plane]\n", "missing required field `servers`"),
        (USABLE + "[extra]\n", "unknown field `extra`"),
        (USABLE + 'tokem = "/x"\n', "unknown field `tokem`"),
        (USABLE + "port = 65536\n", "<= 65535"),
        (USABLE + 'port = "7700"\n', "Expected `int`, got `str`"),
        (USABLE.replace('"/etc/fleet/token"', "5"), "not the name of a file - at `$.api.token`"),
        (USABLE.replace('"/etc/fleet/token"', '["a"]'), "`$.api.token`"),
        (USABLE + "ca = false\n", "`$.api.ca`"),
        (USABLE.replace("[plane]", "[plane"), "config.toml"),
        (USABLE.replace("servers = [", "servers = [5, "), "Expected `str`, got `int`"),
        (USABLE.replace('"tls://nats-0.example:4222", ', '"nats-0.example", '), "nats-0.example"),
        (
            USABLE.replace("tls://nats-0.example", "tls://me:secret@nats-0.example"),
            "is not nats://host:port or tls://host:port",
        ),
        (USABLE.replace('device_url = "tls://', 'device_url = "https://'), "https://nats.example"),
        (USABLE.replace("https://fleet.example", "fleet.example"), "not http:// or https://"),
        (USABLE.replace("https://fleet.example", "https://a:b@fleet.example"), "credentials"),
        (USABLE.replace(ACCOUNT, ACCOUNT[:-1]), "public"),
        (USABLE.replace(ACCOUNT, "a"), "public"),
        (USABLE + 'key = "/tls/tls.key"\n', "there is a key and no certificate"),
        (USABLE + "[election]\nduration_s = 0.5\n", ">= 1"),
        (USABLE + "[election]\nretry_s = 0\n", "> 0"),
        (USABLE + "[election]\nretry_s = 3\n", "two would lead at once"),
        (USABLE + "[election]\nrenew_limit_s = 4.0\n", "two would lead at once"),
        (USABLE + "[election]\nrenew_limit_s = nan\n", "> 0"),
        (USABLE + "[election]\nduration_s = inf\n", "<= 3600"),
        (USABLE + "[election]\nretry_s = nan\n", "> 0"),
        (USABLE + "[devices]\ndeclared_only = 1\n", "Expected `bool`, got `int`"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(file: Path, text: str, said: str) -> None:
    said_here = refusal(file, text)
    assert said in f"config.toml{said_here}"
    assert "secret" not in said_here, "no password is repeated"


@pytest.mark.parametrize("text", [b"\xff\xfe", b"a = '\x80'", USABLE.encode("utf-16")])
def test_what_is_no_text_is_refused_in_a_sentence(file: Path, text: bytes) -> None:
    assert "is no text in UTF-8" in refusal(file, text)


@pytest.mark.parametrize(
    ("missing", "text"), [("servers", "servers = []"), ("replicas", "replicas = 0")]
)
def test_a_plane_needs_a_server_and_a_replica(file: Path, missing: str, text: str) -> None:
    plane = "\n".join(line for line in PLANE.splitlines() if not line.startswith(missing))
    assert ">= 1" in refusal(file, f"{plane}\n{text}\n{API}")


def test_a_pod_is_known_by_its_environment_and_a_machine_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POD_NAME", "harmony-fleet-0")
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    assert (pod().name, pod().address) == ("harmony-fleet-0", "10.1.2.3")
    monkeypatch.delenv("POD_NAME")
    monkeypatch.setenv("POD_IP", "")
    assert (pod().name, pod().address) == (os.uname().nodename, "127.0.0.1")


def test_a_mounted_file_is_read_without_the_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" secret\n")
    assert text_of(tmp_path / "token") == "secret"


def test_a_secret_that_is_not_there_or_no_text_or_empty_is_refused_in_a_sentence(
    tmp_path: Path,
) -> None:
    path = tmp_path / "token"
    with pytest.raises(ConfigUnusable, match=r"token cannot be read .*mount the Secret there"):
        text_of(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigUnusable, match=r"token cannot be read .*mount the Secret there"):
        text_of(path)
    path.write_text(" \n")
    with pytest.raises(ConfigUnusable, match=r"token is empty: .*Secret"):
        text_of(path)
