"""What an operator in Kubernetes and its NATS servers are given: files of accounts, made once.

A file that is there already is never written again, so that a second run only adds what is missing.
The accounts' folder beside them holds every seed: whoever has it can make an account of their own.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.accounts import Accounts, unusable, usable_folder
from harmony_fleet.embedded.new_file import new_file
from harmony_fleet.messaging.credentials import encode_creds

ACCOUNTS: Final = "accounts"
PLANE_SECRET: Final = "harmony-fleet-plane"  # noqa: S105 - its name
API_SECRET: Final = "harmony-fleet-api"  # noqa: S105 - its name
_HEAD: Final = "# written by `fleet plane keys`"
_KEYS: Final = "keys.json"
_NAMES: Final = (
    "operator.creds",
    "signing.seed",
    "secret.yaml",
    "nats-values.yaml",
    "operator-values.yaml",
)


class KeysUnusable(FleetError):
    """The folder has files of accounts that are gone, or of somebody else. Nothing was changed."""

    kind = "plane_keys_unusable"


@dataclass(frozen=True, slots=True)
class PlaneKeys:
    folder: Path
    devices_account: str
    """Its public key."""
    made: tuple[str, ...]
    kept: tuple[str, ...]
    """Files that were there before; they are as they were."""


def make_plane_keys(folder: Path, namespace: str) -> PlaneKeys:
    """`namespace`: the operator's.

    Raises KeysUnusable, DataFolderUnusable, FileRefused, FileFailed.
    """
    _check(folder)
    usable_folder(folder)
    accounts = Accounts.open(folder / ACCOUNTS)
    files = _files(accounts, namespace)
    made = [name for name, text in files.items() if _made(folder / name, text)]
    kept = [name for name in files if name not in made]
    return PlaneKeys(folder, accounts.keys["devices"].public, tuple(made), tuple(kept))


def _check(folder: Path) -> None:
    """New accounts would not fit what was made of lost ones, and lock every device out."""
    if (folder / ACCOUNTS / _KEYS).exists():
        return
    try:
        there = {path.name for path in folder.iterdir()} - {ACCOUNTS}
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(folder, error) from error
    if left := sorted(there.intersection(_NAMES)):
        raise KeysUnusable(
            f"{folder / ACCOUNTS / _KEYS} is gone, from which {folder / left[0]} was made: put it "
            "back, or name a new folder to begin anew, with new devices"
        )
    if there:
        raise KeysUnusable(f"{folder} is not empty: name a folder that is not there yet")


def _made(path: Path, text: str) -> bool:
    if path.exists():
        return False
    with new_file(path) as filled:
        filled.write_text(text)
    return True


def _files(accounts: Accounts, namespace: str) -> dict[str, str]:
    operator = accounts.operator_credentials
    credentials = encode_creds(operator.jwt, operator.seed)
    seed = accounts.keys["device_signing"].seed_text() + "\n"
    plane = {"operator.creds": credentials, "signing.seed": seed}
    token = {"token": secrets.token_urlsafe(32)}
    secret = "---\n".join(
        _secret(name, namespace, content)
        for name, content in ((PLANE_SECRET, plane), (API_SECRET, token))
    )
    chart = {
        "plane": {
            "devicesAccount": accounts.keys["devices"].public,
            "secretName": PLANE_SECRET,
        },
        "api": {"tokenSecretName": API_SECRET},
    }
    texts = (
        credentials,
        seed,
        f"{_HEAD}: keep it as safe as what is in it\n{secret}",
        f"{_HEAD} for the chart of NATS, beside deploy/nats/values.yaml\n"
        + _yaml({"config": {"merge": _server(accounts)}}),
        f"{_HEAD} for the chart harmony-fleet\n{_yaml(chart)}",
    )
    return dict(zip(_NAMES, texts, strict=True))


def _server(accounts: Accounts) -> dict[str, Any]:
    """For the configuration of every NATS server."""
    try:
        jwts = {path.stem: path.read_text() for path in sorted(accounts.resolver.glob("*.jwt"))}
        operator = accounts.operator_jwt.read_text()
    except OSError as error:
        raise unusable(accounts.folder, error) from error
    return {
        "operator": operator,
        "system_account": accounts.system_public,
        "resolver_preload": jwts,
    }


def _secret(name: str, namespace: str, content: dict[str, str]) -> str:
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "stringData": content,
        }
    )


def _yaml(document: dict[str, Any], indent: str = "") -> str:
    """Of maps and texts; each text as JSON has it, which YAML reads too."""
    lines = []
    for name, value in document.items():
        below = isinstance(value, dict)
        lines.append(f"{indent}{name}:{'' if below else f' {json.dumps(value)}'}\n")
        lines.append(_yaml(value, f"{indent}  ") if below else "")
    return "".join(lines)
