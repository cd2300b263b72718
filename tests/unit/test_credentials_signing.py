import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import DEVICE_ID
from harmony_fleet.messaging.credentials import decode_public, encode_public
from harmony_fleet.operator.credentials import (
    KeyPair,
    decode_claims,
    device_jwt,
    encode_jwt,
    user_credentials,
)

SIGNING, ACCOUNT, DEVICE = KeyPair.new("A"), KeyPair.new("A"), KeyPair.new("U")


def verify(jwt: str) -> None:
    """Raises InvalidSignature unless the JWT's own issuer signed it."""
    signed, _, signature = jwt.rpartition(".")
    issuer = Ed25519PublicKey.from_public_bytes(decode_public("A", decode_claims(jwt)["iss"]))
    issuer.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode())


def test_a_devices_jwt_holds_its_name_and_key_and_no_permissions() -> None:
    jwt = device_jwt(SIGNING, ACCOUNT.public, "pi-1", DEVICE.public)
    claims = decode_claims(jwt)
    verify(jwt)
    assert (claims["name"], claims["sub"]) == ("pi-1", DEVICE.public)
    assert claims["iss"] == SIGNING.public
    assert claims["nats"] == {"type": "user", "version": 2, "issuer_account": ACCOUNT.public}
    assert "exp" not in claims


def test_an_expiry_is_signed_with_the_rest() -> None:
    jwt = device_jwt(SIGNING, ACCOUNT.public, "pi-1", DEVICE.public, expires=1_900_000_000)
    verify(jwt)
    assert decode_claims(jwt)["exp"] == 1_900_000_000


def test_a_jwt_that_was_changed_does_not_verify() -> None:
    head, payload, signature = device_jwt(SIGNING, ACCOUNT.public, "pi-1", DEVICE.public).split(".")
    other = device_jwt(SIGNING, ACCOUNT.public, "pi-2", DEVICE.public).split(".")[1]
    assert payload != other
    with pytest.raises(InvalidSignature):
        verify(f"{head}.{other}.{signature}")


@given(st.text() | st.sampled_from(["*", ">", "", "a.b", "pi-1.*", "PI", "pi-1\n", "{{name()}}"]))
def test_only_a_device_id_is_signed_as_a_name(name: str) -> None:
    if DEVICE_ID.fullmatch(name):
        assert (
            decode_claims(device_jwt(SIGNING, ACCOUNT.public, name, DEVICE.public))["name"] == name
        )
        return
    with pytest.raises(InvalidValue):
        device_jwt(SIGNING, ACCOUNT.public, name, DEVICE.public)


@pytest.mark.parametrize(
    "public",
    [
        "",
        "*",
        DEVICE.public[:-1],
        DEVICE.public.lower(),
        DEVICE.seed_text(),
        ACCOUNT.public,
        encode_public("U", bytes(33)),
    ],
    ids=["nothing", "a wildcard", "cut off", "lower case", "a seed", "an account's", "too long"],
)
def test_only_a_whole_public_key_of_a_user_is_signed(public: str) -> None:
    with pytest.raises(InvalidValue):
        device_jwt(SIGNING, ACCOUNT.public, "pi-1", public)


def test_every_jwt_has_an_identity_that_follows_from_its_content() -> None:
    one, same, other = (
        decode_claims(encode_jwt(SIGNING, DEVICE.public, name, {}, 1)) for name in ("a", "a", "b")
    )
    assert one["jti"] == same["jti"] or one["iat"] != same["iat"]
    assert one["jti"] != other["jti"]


def test_a_key_pair_is_read_back_from_its_seed_and_never_printed() -> None:
    assert KeyPair.parse("A", ACCOUNT.seed_text()).public == ACCOUNT.public
    assert ACCOUNT.seed_text() not in repr(ACCOUNT)
    assert repr(ACCOUNT.seed) not in repr(ACCOUNT)


def test_a_control_plane_user_holds_the_seed_of_the_key_that_its_jwt_names() -> None:
    user = user_credentials(ACCOUNT, "operator")
    verify(user.jwt)
    assert decode_claims(user.jwt)["sub"] == user.public_key()
