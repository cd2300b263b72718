"""This device's own key pair, and the credentials that the control plane signed for it.

Rules
1. The private key is made here and stays here: it is never printed, and not a part of any error.
2. A key that is there is used, never replaced; one that cannot be read is left as it is.
3. What was signed is kept only where it is for this key and this device.
"""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from harmony_fleet.agent.upgrade.durable import PRIVATE, write_file
from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.messaging.credentials import (
    MAX_JWT_LENGTH,
    Credentials,
    decode_seed,
    encode_creds,
    encode_seed,
    new_user_seed,
    read_claims,
)

SUFFIX = ".key"


class DeviceKeyUnusable(FleetError):
    """The device's key cannot be read or written. It was left as it is."""

    kind = "device_key_unusable"


class CredentialsRefused(FleetError):
    """What was handed over is not for this device's key. Nothing was changed."""

    kind = "credentials_refused"


class DeviceKey:
    def __init__(self, credentials: Path) -> None:
        """`credentials`: the file that the agent reads; the key stands beside it."""
        self.credentials = credentials
        self.file = credentials.with_name(credentials.name + SUFFIX)

    def public(self) -> str:
        """An nkey of a user, `U…`. The key is made, durably, where there is none.

        Raises DeviceKeyUnusable, CredentialsUnreadable.
        """
        seed = self._seed()
        if seed is None:
            seed = new_user_seed()
            self._write(self.file, encode_seed("U", seed) + "\n")
        return Credentials("", seed).public_key()

    def accept(self, signed: BinaryIO, device_id: str) -> bool:
        """Keep the JWT for the agent. False: it was kept already.

        Raises CredentialsRefused, DeviceKeyUnusable, CredentialsUnreadable.
        """
        seed = self._seed()
        if seed is None:
            raise CredentialsRefused(
                f"this device has no key yet, so nothing can be signed for it: `fleet-agent "
                f"credentials` makes {self.file} and prints its public half"
            )
        jwt = signed.read(MAX_JWT_LENGTH + 1).decode("ascii", "replace").strip()
        _refuse_unless_for(Credentials(jwt, seed), device_id)
        text = encode_creds(jwt, seed)
        if self._kept() == text:
            _keep_private(self.credentials)
            return False
        self._write(self.credentials, text)
        return True

    def _seed(self) -> bytes | None:
        """Of the key's file; of the credentials, where a whole file of them was put there."""
        try:
            text = self.file.read_text("ascii").strip()
            _keep_private(self.file)
            return decode_seed("U", text)
        except FileNotFoundError:
            return Credentials.load(self.credentials).seed if self.credentials.exists() else None
        except OSError as error:
            raise self._unusable(self.file, error) from error
        except ValueError:
            raise DeviceKeyUnusable(
                f"{self.file} holds no private key of a device: put it back; or remove it, and "
                "have a new one signed"
            ) from None  # whatever was there may be a part of the key

    def _kept(self) -> str | None:
        with suppress(OSError, ValueError):
            return self.credentials.read_text("ascii")
        return None

    def _write(self, file: Path, text: str) -> None:
        try:
            write_file(file, text.encode())
        except OSError as error:
            raise self._unusable(file, error) from error

    def _unusable(self, file: Path, error: OSError) -> DeviceKeyUnusable:
        return DeviceKeyUnusable(
            f"{file}: {error.strerror or error}: make its folder, and run as the agent's user"
        )


def _keep_private(file: Path) -> None:
    """Raises OSError. Touches nothing where it is so already."""
    if file.stat().st_mode & 0o777 != PRIVATE:
        file.chmod(PRIVATE)


def _refuse_unless_for(credentials: Credentials, device_id: str) -> None:
    try:
        claims = read_claims(credentials.jwt)
    except InvalidValue as error:
        raise CredentialsRefused(
            f"standard input: {error}: hand over what `fleet device credentials` printed"
        ) from error
    public_key = credentials.public_key()
    if claims.kind != "user":
        raise CredentialsRefused(f"this JWT is one of {claims.kind[:40]!r}, not of a user")
    if claims.public_key != public_key:
        raise CredentialsRefused(
            f"this JWT is for the key {claims.public_key[:60]!r}, and this device's is "
            f"{public_key}: have that one signed"
        )
    if claims.name != device_id:
        raise CredentialsRefused(
            f"this JWT is for the device {claims.name[:80]!r}, and this one is {device_id}"
        )
