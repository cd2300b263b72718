"""What a backup says of itself, checked as it is read. No I/O.

A backup may come from anybody: only names that the data folder itself has are let through, so
that none can leave it, and none can be larger than such a file can be.
"""

import re
from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts.codec import decode
from harmony_fleet.contracts.errors import FleetError, InvalidValue, MalformedMessage
from harmony_fleet.contracts.identity import check_count, check_sha256, check_text
from harmony_fleet.operator.releases import ARTIFACT_NAME
from harmony_fleet.release.manifest import MAX_ARTIFACT_BYTES

SCHEMA: Final = 1
MANIFEST: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 8 << 20
MAX_FILES: Final = 20_000

STORE: Final = "fleet.db"
TOKEN: Final = "token"  # noqa: S105 - a file's name
NATS_PORT: Final = "nats-port"
ACCOUNTS: Final = "nats/accounts/"
ARTIFACTS: Final = "artifacts/"
KEYS: Final = tuple(
    f"{ACCOUNTS}{name}" for name in ("keys.json", "operator.jwt", "operator.creds", "system.creds")
)
REQUIRED: Final = (STORE, TOKEN, NATS_PORT, *KEYS)
CERTIFICATES: Final = tuple(f"tls/{name}" for name in ("ca.pem", "ca.key", "server.pem"))
"""Where the installation was ever open to a network. The authority's key may be kept elsewhere."""

MAX_STORE_BYTES: Final = 64 << 30
MAX_SMALL_BYTES: Final = 1 << 20
_RESOLVED: Final = re.compile(rf"{ACCOUNTS}resolver/A[A-Z2-7]{{55}}\.jwt", re.ASCII)


class BackupUnusable(FleetError):
    """The file is no backup, is damaged, or is of a newer version. Nothing was changed."""

    kind = "backup_unusable"


@dataclass(frozen=True, slots=True)
class BackupFile:
    name: str
    """Its path in the data folder."""
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_sha256(self.sha256)
        check_count(self.size_bytes, "size_bytes")
        if self.size_bytes > _most_bytes(self.name):
            raise InvalidValue(f"{self.name} of {self.size_bytes} bytes is too large")


@dataclass(frozen=True, slots=True)
class Manifest:
    product_version: str
    made_at: str
    """RFC 3339, UTC."""
    devices: int
    releases: int
    files: tuple[BackupFile, ...]
    missing: tuple[str, ...] = ()
    """Artifacts that were lost or damaged already when the backup was made."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        check_text(self.product_version, "product_version", 64)
        check_text(self.made_at, "made_at", 64)
        check_count(self.devices, "devices")
        check_count(self.releases, "releases")
        names = [file.name for file in self.files]
        if len(names) > MAX_FILES or len(set(names)) != len(names):
            raise InvalidValue(f"{len(names)} files: too many, or one of them twice")
        if lacking := [name for name in REQUIRED if name not in names]:
            raise InvalidValue(f"{lacking[0]} is missing from it")

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class _Head:
    schema: int


def read_manifest(data: bytes) -> Manifest:
    """Raises BackupUnusable."""
    try:
        head = decode(_Head, data, MAX_MANIFEST_BYTES)
        if head.schema > SCHEMA:
            raise BackupUnusable(
                f"it was made by a newer harmony-fleet (backup schema {head.schema}, this one "
                f"knows {SCHEMA}): restore it with the newer one"
            )
        return decode(Manifest, data, MAX_MANIFEST_BYTES)
    except MalformedMessage as error:
        raise BackupUnusable(
            f"its manifest cannot be used ({error}): take another backup"
        ) from error


def _most_bytes(name: str) -> int:
    """How large a file of that name can be. Raises InvalidValue where a backup has no such name."""
    if name == STORE:
        return MAX_STORE_BYTES
    if name in (*REQUIRED, *CERTIFICATES) or _RESOLVED.fullmatch(name):
        return MAX_SMALL_BYTES
    if name.startswith(ARTIFACTS) and ARTIFACT_NAME.fullmatch(name.removeprefix(ARTIFACTS)):
        return MAX_ARTIFACT_BYTES
    raise InvalidValue(f"{name[:120]!r} is no name of a control plane's file")
