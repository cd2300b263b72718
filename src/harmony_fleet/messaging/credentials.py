"""Who a connection is: a JWT signed by the control plane, and the seed that only its owner has.

Reads and writes the `.creds` files and key texts that all NATS tools use. Issues nothing: signing
JWTs is the control plane's. Key texts are base32 of a prefix, 32 bytes and a CRC-16 (XMODEM).
"""

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.messaging import ed25519

_PREFIX: Final = {"O": 14 << 3, "A": 0, "U": 20 << 3}
_SEED: Final = 18 << 3
MAX_JWT_LENGTH: Final = 16 * 1024
"""Ten times what a device's has."""
_JWT: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_BLOCK: Final = re.compile(
    r"-+BEGIN (?P<name>NATS USER JWT|USER NKEY SEED)-+\s+(?P<text>\S+)\s+-+END (?P=name)-+"
)
_CREDS: Final = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

Whoever holds this file is this user: keep it secret.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


class CredentialsUnreadable(FleetError):
    """A credentials file is missing, unreadable, or not one. The text names the file."""

    kind = "credentials_unreadable"


@dataclass(frozen=True, slots=True)
class Credentials:
    jwt: str
    seed: bytes = field(repr=False)
    """The 32 raw bytes of the Ed25519 secret key."""

    @classmethod
    def load(cls, path: Path) -> "Credentials":
        """Raises CredentialsUnreadable, which never quotes the file's content."""
        try:
            return decode_creds(path.read_text("ascii"))
        except OSError as error:
            what = error.strerror or error
            raise CredentialsUnreadable(f"credentials file {path}: {what}") from error
        except (UnicodeDecodeError, InvalidValue) as error:
            raise CredentialsUnreadable(f"credentials file {path}: {error}") from error

    def sign(self, nonce: bytes) -> bytes:
        return ed25519.sign(self.seed, nonce)

    def public_key(self) -> str:
        """As an nkey, `U…`: what the JWT must name as its subject."""
        return encode_public("U", ed25519.public_key(self.seed))


def new_user_seed() -> bytes:
    return os.urandom(32)


def encode_creds(jwt: str, seed: bytes) -> str:
    """The text of a `.creds` file."""
    return _CREDS.format(jwt=jwt, seed=encode_seed("U", seed))


def decode_creds(text: str) -> Credentials:
    """Raises InvalidValue if a block is missing or the seed is damaged or not a user's."""
    blocks = {match["name"]: match["text"] for match in _BLOCK.finditer(text)}
    if blocks.keys() != {"NATS USER JWT", "USER NKEY SEED"}:
        raise InvalidValue("it needs one NATS USER JWT block and one USER NKEY SEED block")
    return Credentials(blocks["NATS USER JWT"], decode_seed("U", blocks["USER NKEY SEED"]))


@dataclass(frozen=True, slots=True)
class Claims:
    """What a user's JWT says. Its signature is the message plane's to check."""

    public_key: str
    name: str
    kind: str
    """`user`, or what else NATS signs JWTs for."""


def read_claims(jwt: str) -> Claims:
    """Raises InvalidValue: not a JWT, or one without these claims."""
    if len(jwt) > MAX_JWT_LENGTH or _JWT.fullmatch(jwt) is None:
        raise InvalidValue("it is no JWT: three words of base64 with dots between them")
    body = jwt.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        found = Claims(claims["sub"], claims["name"], claims["nats"]["type"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidValue("it is no JWT of NATS: it lacks sub, name or nats.type") from error
    if not all(isinstance(text, str) for text in (found.public_key, found.name, found.kind)):
        raise InvalidValue("it is no JWT of NATS: sub, name and nats.type must be texts")
    return found


def encode_public(kind: str, raw: bytes) -> str:
    """`kind` is O, A or U, and the first letter of the result."""
    return _encode(bytes([_PREFIX[kind]]) + raw)


def decode_public(kind: str, text: str) -> bytes:
    """Raises InvalidValue unless `text` is a whole public key of that kind.

    A seed, which somebody may give by mistake, is not quoted.
    """
    secret = text.lstrip().startswith("S")
    data = _decode(text, f"public key of kind {kind}", secret=secret)
    if len(data) != 33 or data[0] != _PREFIX[kind]:
        shown = "the text, a private key," if secret else repr(text[:60])
        raise InvalidValue(f"{shown} is not a public key of kind {kind}")
    return data[1:]


def encode_seed(kind: str, seed: bytes) -> str:
    """`S`, then the kind. Two prefixes share two bytes, five bits each."""
    prefix = _PREFIX[kind]
    return _encode(bytes([_SEED | prefix >> 5, (prefix & 31) << 3]) + seed)


def decode_seed(kind: str, text: str) -> bytes:
    """Raises InvalidValue, without quoting it, unless `text` is a whole seed of that kind."""
    data = _decode(text, "seed", secret=True)
    prefix = _PREFIX[kind]
    if len(data) != 34 or data[:2] != bytes([_SEED | prefix >> 5, (prefix & 31) << 3]):
        raise InvalidValue(f"the seed is not one of kind {kind}")
    return data[2:]


def _encode(data: bytes) -> str:
    checksum = binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data + checksum).decode().rstrip("=")


def _decode(text: str, name: str, *, secret: bool = False) -> bytes:
    shown = "the text" if secret else repr(text[:60])
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError as error:
        raise InvalidValue(f"{shown} is not a {name}: not base32") from (None if secret else error)
    if len(data) < 3 or binascii.crc_hqx(data[:-2], 0).to_bytes(2, "little") != data[-2:]:
        raise InvalidValue(f"{shown} is not a {name}: its checksum does not match")
    return data[:-2]
