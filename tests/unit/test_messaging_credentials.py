import base64
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.messaging.credentials import (
    MAX_JWT_LENGTH,
    Claims,
    Credentials,
    CredentialsUnreadable,
    decode_public,
    decode_seed,
    encode_creds,
    encode_public,
    encode_seed,
    new_user_seed,
    read_claims,
)

KINDS = st.sampled_from(["O", "A", "U"])
RAW = st.binary(min_size=32, max_size=32)
SEED = bytes(range(32))


@given(KINDS, RAW)
def test_a_key_text_begins_with_its_kind_and_gives_its_bytes_back(kind: str, raw: bytes) -> None:
    public, seed = encode_public(kind, raw), encode_seed(kind, raw)
    assert (public[0], len(public)) == (kind, 56)
    assert (seed[:2], len(seed)) == (f"S{kind}", 58)
    assert decode_public(kind, public) == raw
    assert decode_seed(kind, seed) == raw


@given(st.data(), RAW)
def test_a_key_text_with_one_changed_character_is_refused(data: st.DataObject, raw: bytes) -> None:
    text = encode_public("U", raw)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(
        st.sampled_from(sorted(set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567a*=. ") - {text[place]}))
    )
    with pytest.raises(InvalidValue):
        decode_public("U", text[:place] + other + text[place + 1 :])


@given(st.text(max_size=80))
@example("")
@example("UA")
def test_text_that_is_no_key_is_refused_and_a_seed_is_never_quoted(text: str) -> None:
    with pytest.raises(InvalidValue):
        decode_public("U", text)
    with pytest.raises(InvalidValue) as refused:
        decode_seed("U", f"SUQ{text}QQ9")
    assert f"SUQ{text}QQ9" not in str(refused.value)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidValue):
        decode_public("U", encode_public("A", SEED))
    with pytest.raises(InvalidValue):
        decode_seed("U", encode_seed("A", SEED))


def test_a_credentials_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "device.creds"
    path.write_text(encode_creds("a.b.c", SEED))
    assert Credentials.load(path) == Credentials("a.b.c", SEED)


def test_a_credentials_file_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "device.creds"
    path.write_bytes(encode_creds("a.b.c", SEED).replace("\n", "\r\n").encode())
    assert Credentials.load(path).jwt == "a.b.c"


def damaged(text: str) -> list[str]:
    seed = encode_seed("U", SEED)
    return [
        "",
        "not credentials at all",
        text.replace("BEGIN NATS USER JWT", "BEGIN SOMETHING"),
        text.replace(seed, seed[:-1] + ("A" if seed[-1] != "A" else "B")),
        text.replace(seed, encode_seed("A", SEED)),
        text.replace(seed, ""),
        text[: text.index("------END USER")],
        "\x00\xff" + text,
    ]


@pytest.mark.parametrize("text", damaged(encode_creds("a.b.c", SEED)))
def test_a_damaged_file_is_named_and_its_seed_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "device.creds"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CredentialsUnreadable, match=re.escape(str(path))) as unreadable:
        Credentials.load(path)
    assert encode_seed("U", SEED)[2:] not in f"{unreadable.value} {unreadable.value.__cause__}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsUnreadable, match=re.escape(str(tmp_path / "none.creds"))):
        Credentials.load(tmp_path / "none.creds")


def test_the_seed_is_not_in_what_is_printed() -> None:
    shown = repr(Credentials("a.b.c", SEED))
    assert repr(SEED) not in shown
    assert "seed" not in shown


def test_new_seeds_differ_and_have_the_length_of_a_seed() -> None:
    seeds = {new_user_seed() for _ in range(100)}
    assert {len(seed) for seed in seeds} == {32}
    assert len(seeds) == 100


def test_a_seed_that_is_given_for_a_public_key_is_not_quoted() -> None:
    for seed in (encode_seed("U", SEED), encode_seed("U", SEED)[:-1], f" {encode_seed('A', SEED)}"):
        with pytest.raises(InvalidValue) as refused:
            decode_public("U", seed)
        assert seed.strip()[2:20] not in f"{refused.value} {refused.value.__cause__}"


def jwt_of(claims: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def test_what_a_jwt_says_is_read() -> None:
    claims = b'{"sub":"UA","name":"pi-1","nats":{"type":"user"},"exp":1}'
    assert read_claims(jwt_of(claims)) == Claims("UA", "pi-1", "user")


@pytest.mark.parametrize(
    "jwt",
    [
        "",
        "a.b",
        "a.b.c.d",
        "a.b.c\n",
        "a.!.c",
        jwt_of(b"nonsense"),
        jwt_of(b"[]"),
        jwt_of(b'{"sub":"UA","name":"pi-1"}'),
        jwt_of(b'{"sub":"UA","name":"pi-1","nats":"user"}'),
        jwt_of(b'{"sub":"UA","name":7,"nats":{"type":"user"}}'),
        jwt_of(b"[" * 9000),
        jwt_of(b" " * MAX_JWT_LENGTH),
    ],
)
def test_what_is_no_jwt_of_nats_is_refused(jwt: str) -> None:
    with pytest.raises(InvalidValue):
        read_claims(jwt)
