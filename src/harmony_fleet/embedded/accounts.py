"""The embedded server's accounts: made once in a folder, opened again ever after.

`keys.json` holds every seed and is written last: a folder without it is no account folder yet, and
whatever a killed process left there is made anew. `resolver/` is the server's own from then on: it
keeps revocations there, so an account's JWT is never written back over it.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.agent.upgrade.durable import sync, write_file
from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.embedded.account_claims import (
    Claims,
    devices_claims,
    ops_claims,
    system_claims,
)
from harmony_fleet.messaging.credentials import Credentials, CredentialsUnreadable, encode_creds
from harmony_fleet.operator.credentials import KeyPair, device_jwt, encode_jwt, user_credentials

SERVER_CONFIGURATION: Final = "nats-server.conf"
"""Beside the accounts' folder, and written once they are whole: the server has run with them."""
KEYS: Final = {"operator": "O", "system": "A", "ops": "A", "devices": "A", "device_signing": "A"}
_USE_ANOTHER: Final = "make it writable for you, or choose another one"
_NOT_YOURS: Final = "run as the user who owns it"
_REFUSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

Amend = Callable[[str, Claims], Claims]
"""Takes an account's name and claims, gives the claims to sign: how tests take a protection out."""


class DataFolderUnusable(FleetError):
    """The folder cannot be written, or what is in it is damaged. The text names it."""

    kind = "data_folder_unusable"


def unusable(folder: Path, error: OSError) -> DataFolderUnusable:
    where = Path(error.filename or folder)
    what = f"{folder}: {'' if where == folder else f'{where}: '}{error.strerror or error}"
    mend = ""
    if error.errno in _FULL:
        mend = ": free some space on its disk"
    elif error.errno in _REFUSED:
        mend = f": {_USE_ANOTHER if where == folder else _NOT_YOURS}"
    return DataFolderUnusable(f"data folder {what}{mend}")


@dataclass(frozen=True)
class Accounts:
    folder: Path
    operator_credentials: Credentials
    """Of the operator in OPS, with all rights there."""
    system_credentials: Credentials
    """Of the server's own account: statistics and, later, revocations."""
    keys: Mapping[str, KeyPair]

    @classmethod
    def open(cls, folder: Path, amend: Amend = lambda _, claims: claims) -> "Accounts":
        """Make the folder's accounts, or read those that are there; `amend` is for the first time.

        Raises:
            DataFolderUnusable: unwritable or damaged; what is there is left as it was.
        """
        try:
            if not (folder / "keys.json").exists():
                _refuse_where_it_was_lost(folder)
                _make(folder, amend)
            return cls(
                folder,
                Credentials.load(folder / "operator.creds"),
                Credentials.load(folder / "system.creds"),
                _read_keys(folder / "keys.json"),
            )
        except OSError as error:
            raise unusable(folder, error) from error
        except (InvalidValue, CredentialsUnreadable) as error:
            if isinstance(error.__cause__, OSError):
                raise unusable(folder, error.__cause__) from error
            raise DataFolderUnusable(
                f"account folder {folder} is damaged: {error}: put it back from a backup"
            ) from error

    @property
    def operator_jwt(self) -> Path:
        """For the server's configuration, as is `resolver`."""
        return self.folder / "operator.jwt"

    @property
    def resolver(self) -> Path:
        return self.folder / "resolver"

    @property
    def system_public(self) -> str:
        return self.keys["system"].public

    def mint_device(self, device_id: str, public_key: str, expires: int | None = None) -> str:
        """A JWT for the device that holds this key. Raises InvalidValue as `device_jwt` does."""
        devices, signing = self.keys["devices"], self.keys["device_signing"]
        return device_jwt(signing, devices.public, device_id, public_key, expires)


def _refuse_where_it_was_lost(folder: Path) -> None:
    """New keys would lock out every device, and leave nothing to put the old ones back to."""
    if (folder.parent / SERVER_CONFIGURATION).exists():
        raise DataFolderUnusable(
            f"{folder / 'keys.json'} is gone, and without it no device can be let in: put it back "
            f"from a backup; or remove {folder.parent} to begin anew, with new devices"
        )


def _make(folder: Path, amend: Amend) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    shutil.rmtree(folder / "resolver", ignore_errors=True)
    (folder / "resolver").mkdir(mode=0o700)
    keys = {name: KeyPair.new(kind) for name, kind in KEYS.items()}
    for name, jwt in _account_jwts(keys, amend).items():
        write_file(folder / "resolver" / f"{keys[name].public}.jwt", jwt.encode())
    operator = encode_jwt(
        keys["operator"],
        keys["operator"].public,
        "harmony-fleet",
        {"type": "operator", "system_account": keys["system"].public},
    )
    write_file(folder / "operator.jwt", operator.encode())
    for name, account in (("operator", "ops"), ("system", "system")):
        user = user_credentials(keys[account], name)
        write_file(folder / f"{name}.creds", encode_creds(user.jwt, user.seed).encode())
    sync(folder)
    seeds = {name: key.seed_text() for name, key in keys.items()}
    write_file(folder / "keys.json", json.dumps(seeds, indent=2).encode())


def _account_jwts(keys: Mapping[str, KeyPair], amend: Amend) -> dict[str, str]:
    claims = {
        "system": system_claims(),
        "ops": ops_claims(),
        "devices": devices_claims(keys["ops"].public, keys["device_signing"].public),
    }
    return {
        name: encode_jwt(keys["operator"], keys[name].public, name.upper(), amend(name, claim))
        for name, claim in claims.items()
    }


def _read_keys(path: Path) -> dict[str, KeyPair]:
    try:
        seeds = json.loads(path.read_bytes())
        return {name: KeyPair.parse(kind, seeds[name]) for name, kind in KEYS.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidValue(f"{path.name}: {error!r}") from error


def usable_folder(folder: Path) -> None:
    """Make it, for its owner alone. Raises DataFolderUnusable where it cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise unusable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataFolderUnusable(f"data folder {folder} is not writable: {_USE_ANOTHER}")
