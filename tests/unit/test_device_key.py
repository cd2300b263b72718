"""A device's own key and what is accepted for it, on a real disk."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from harmony_fleet.agent.device_key import CredentialsRefused, DeviceKey, DeviceKeyUnusable
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.messaging.credentials import (
    MAX_JWT_LENGTH,
    Credentials,
    CredentialsUnreadable,
    decode_public,
    encode_creds,
    encode_seed,
    new_user_seed,
)
from harmony_fleet.operator.credentials import KeyPair, device_jwt, encode_jwt

SIGNER, ACCOUNT = KeyPair.new("A"), KeyPair.new("A")


def key_in(folder: Path) -> DeviceKey:
    return DeviceKey(folder / "device.creds")


def signed(public_key: str, device_id: str = "pi-1") -> str:
    return device_jwt(SIGNER, ACCOUNT.public, device_id, public_key)


def accept(key: DeviceKey, text: str, device_id: str = "pi-1") -> bool:
    return key.accept(io.BytesIO(text.encode()), device_id)


def files(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """With mode, inode and time of change: what was written anew is seen."""
    stats = {path: path.stat() for path in folder.iterdir()}
    return {
        path.name: (s.st_mode & 0o777, s.st_ino, s.st_ctime_ns, path.read_bytes())
        for path, s in stats.items()
    }


def test_a_key_is_made_for_its_owner_alone_and_shown_by_its_public_half(tmp_path: Path) -> None:
    public = key_in(tmp_path).public()
    assert len(decode_public("U", public)) == 32
    ((name, (mode, _, _, content)),) = files(tmp_path).items()
    assert (name, mode) == ("device.creds.key", 0o600)
    assert content.startswith(b"SU")


def test_a_second_run_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    public = key.public()
    jwt = signed(public)
    assert accept(key, jwt)
    before = files(tmp_path)
    assert key_in(tmp_path).public() == public
    assert not accept(key_in(tmp_path), jwt + "\n")
    assert files(tmp_path) == before


def test_what_was_signed_becomes_the_credentials_that_the_agent_reads(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    jwt = signed(key.public())
    assert accept(key, f"\n {jwt}\r\n")
    credentials = Credentials.load(key.credentials)
    assert (credentials.jwt, credentials.public_key()) == (jwt, key.public())
    assert key.credentials.stat().st_mode & 0o777 == 0o600


def test_what_is_signed_later_for_the_same_key_takes_its_place(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    accept(key, signed(key.public()))
    again = device_jwt(SIGNER, ACCOUNT.public, "pi-1", key.public(), 2**31)
    assert accept(key, again)
    assert Credentials.load(key.credentials).jwt == again


def test_a_device_that_was_given_a_whole_file_keeps_the_key_in_it(tmp_path: Path) -> None:
    key, seed = key_in(tmp_path), new_user_seed()
    public = Credentials("", seed).public_key()
    key.credentials.write_text(encode_creds(signed(public), seed))
    assert key.public() == public
    assert accept(key, device_jwt(SIGNER, ACCOUNT.public, "pi-1", public, 2**31))
    assert Credentials.load(key.credentials).seed == seed
    assert not key.file.exists()


def test_modes_that_let_others_read_are_put_right(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    jwt = signed(key.public())
    accept(key, jwt)
    for file in (key.file, key.credentials):
        file.chmod(0o644)
    assert not accept(key, jwt)
    assert {mode for mode, *_ in files(tmp_path).values()} == {0o600}


def others() -> list[tuple[str, str]]:
    """What is handed over, and what is said of it."""
    return [
        ("", "no JWT"),
        ("not a JWT", "no JWT"),
        ("a.b.c", "no JWT of NATS"),
        ("SU" + "A" * 56, "no JWT"),
        ("\x00\xff", "no JWT"),
        ("a" * (MAX_JWT_LENGTH + 1), "no JWT"),
    ]


@pytest.mark.parametrize(("text", "words"), others())
def test_whatever_is_not_for_this_device_is_refused_and_changes_nothing(
    tmp_path: Path, text: str, words: str
) -> None:
    key_in(tmp_path).public()
    refused(tmp_path, text, words)


def test_what_was_signed_for_another_key_or_another_device_is_refused(tmp_path: Path) -> None:
    public = key_in(tmp_path).public()
    refused(tmp_path, signed(KeyPair.new("U").public), "this JWT is for the key")
    refused(tmp_path, signed(public, "pi-2"), "for the device 'pi-2'")
    refused(tmp_path, encode_jwt(SIGNER, public, "pi-1", {"type": "account"}), "one of 'account'")
    nameless: Any = None
    refused(tmp_path, encode_jwt(SIGNER, public, nameless, {"type": "user"}), "must be texts")


def refused(folder: Path, text: str, words: str) -> None:
    key, before = key_in(folder), files(folder)
    with pytest.raises(CredentialsRefused, match=words) as found:
        accept(key, text)
    assert files(folder) == before
    assert not names_the_key(key, found.value)


def names_the_key(key: DeviceKey, error: BaseException) -> bool:
    """In its words, or in those of whatever lies below it."""
    secret, said, below = key.file.read_text().strip(), "", list[BaseException]([error])
    while below:
        one = below.pop()
        said += str(one)
        below += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
    return any(secret[at : at + 8] in said for at in range(2, len(secret) - 8))


def test_nothing_is_accepted_before_there_is_a_key(tmp_path: Path) -> None:
    with pytest.raises(CredentialsRefused, match="no key yet"):
        accept(key_in(tmp_path), signed(KeyPair.new("U").public))
    assert files(tmp_path) == {}


@pytest.mark.parametrize("damage", ["", "SUCUT", "\u00e9", encode_seed("A", bytes(32))])
def test_a_damaged_key_is_named_never_quoted_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    key = key_in(tmp_path)
    key.file.write_text(damage)
    with pytest.raises(DeviceKeyUnusable, match=str(key.file)) as found:
        key.public()
    assert found.value.__cause__ is None
    assert key.file.read_text() == damage
    assert not damage or damage not in str(found.value)


def test_credentials_that_are_damaged_are_named(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    key.credentials.write_text("nonsense")
    with pytest.raises(CredentialsUnreadable, match=str(key.credentials)):
        key.public()


def test_a_folder_that_is_not_there_or_not_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceKeyUnusable, match=r"none/device\.creds\.key: No such file"):
        key_in(tmp_path / "none").public()
    (tmp_path / "device.creds.key").mkdir()
    with pytest.raises(FleetError, match=r"device\.creds\.key: Is a directory"):
        key_in(tmp_path).public()
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(DeviceKeyUnusable, match="Permission denied"):
            DeviceKey(tmp_path / "other.creds").public()
