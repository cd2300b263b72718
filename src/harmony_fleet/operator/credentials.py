"""Signs who may connect: nkey pairs and NATS JWTs, by the control plane alone.

A device makes its own key and shows the public half; what it is handed back carries its name and
nothing else, for the scoped signing key's template in the account holds the permissions. The name
is checked here, in the signer: a JWT for the name `*` would match every device's subjects.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harmony_fleet.contracts.identity import check_device_id
from harmony_fleet.messaging.credentials import (
    Credentials,
    decode_public,
    decode_seed,
    encode_public,
    encode_seed,
)

_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
UNLIMITED: Final = -1


@dataclass(frozen=True)
class KeyPair:
    kind: str
    """O for an operator, A for an account or its signing key, U for a user."""
    seed: bytes = field(repr=False)

    @classmethod
    def new(cls, kind: str) -> "KeyPair":
        return cls(kind, os.urandom(32))

    @classmethod
    def parse(cls, kind: str, text: str) -> "KeyPair":
        """From a seed's text. Raises InvalidValue unless it is whole and of that kind."""
        return cls(kind, decode_seed(kind, text))

    def seed_text(self) -> str:
        return encode_seed(self.kind, self.seed)

    @cached_property
    def public(self) -> str:
        return encode_public(self.kind, self._private.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def encode_jwt(
    signer: KeyPair, subject: str, name: str, nats: Mapping[str, Any], expires: int | None = None
) -> str:
    """A version 2 NATS JWT about the public key `subject`. `expires`: seconds since the epoch."""
    claims = {
        "iat": int(datetime.now(UTC).timestamp()),
        "iss": signer.public,
        "name": name,
        "nats": {**nats, "version": 2},
        "sub": subject,
    }
    if expires is not None:
        claims["exp"] = expires
    claims["jti"] = _base32(hashlib.new("sha512_256", _json(claims)).digest())
    signed = f"{_base64(_json(_HEADER))}.{_base64(_json(claims))}"
    return f"{signed}.{_base64(signer.sign(signed.encode()))}"


def decode_claims(jwt: str) -> dict[str, Any]:
    """What a JWT says. Its signature is not checked: only for one's own."""
    payload = jwt.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


def device_jwt(
    signing_key: KeyPair,
    account_public: str,
    device_id: str,
    device_public_key: str,
    expires: int | None = None,
) -> str:
    """Lets the holder of that key's seed connect as that device, until `expires`.

    `signing_key` must be one that the account scopes to devices: the JWT holds no permissions.
    Raises InvalidValue for anything but a device id and a user's public key.
    """
    decode_public("U", device_public_key)
    nats = {"type": "user", "issuer_account": account_public}
    return encode_jwt(signing_key, device_public_key, check_device_id(device_id), nats, expires)


def end_after(days: int) -> int:
    """Seconds since the epoch, that many days from now: for `expires`."""
    return int((datetime.now(UTC) + timedelta(days=days)).timestamp())


def user_credentials(account: KeyPair, name: str, expires: int | None = None) -> Credentials:
    """A new user with all of the account's rights: for the control plane itself."""
    user = KeyPair.new("U")
    nats = {"type": "user", "subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED}
    return Credentials(encode_jwt(account, user.public, name, nats, expires), user.seed)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
