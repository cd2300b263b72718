"""Provides the k3d program: one pinned version, verified before it can be run.

Where the pins come from: the SHA-256 sums are those that independent packagers give for this
release (the Arch User Repository's `rancher-k3d-bin` 5.8.3 among them). No source names the exact
sizes, so a pin bounds the size and the digest decides.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from harmony_fleet.asset import DownloadableAsset, Limits
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import check_version

EXECUTABLE: Final = 0o755
SIZE_LIMIT_BYTES: Final = 128 * 1024 * 1024
"""Several times what a k3d program has been so far, and small enough for any disk."""

DEFAULT_LIMITS: Final = Limits()


class UnsupportedPlatform(FleetError):
    """There is no pinned k3d for this machine."""

    kind = "unsupported_platform"


@dataclass(frozen=True, slots=True)
class K3dRelease:
    """One k3d program. Raises InvalidValue on construction where the version is not one."""

    version: str
    program: DownloadableAsset

    def __post_init__(self) -> None:
        check_version(self.version)


def _pin(version: str, architecture: str, sha256: str) -> K3dRelease:
    url = f"https://github.com/k3d-io/k3d/releases/download/v{version}/k3d-linux-{architecture}"
    return K3dRelease(version, DownloadableAsset(url, SIZE_LIMIT_BYTES, sha256, size_is_limit=True))


_AMD64 = _pin("5.8.3", "amd64", "dbaa79a76ace7f4ca230a1ff41dc7d8a5036a8ad0309e9c54f9bf3836dbe853e")
_ARM64 = _pin("5.8.3", "arm64", "0b8110f2229631af7402fb828259330985918b08fefd38b7f1b788a1c8687216")

PINNED: Final[Mapping[tuple[str, str], K3dRelease]] = MappingProxyType(
    {
        ("Linux", "x86_64"): _AMD64,
        ("Linux", "amd64"): _AMD64,
        ("Linux", "aarch64"): _ARM64,
        ("Linux", "arm64"): _ARM64,
    }
)
"""By system and machine, as `platform` names them."""


def pinned_release(system: str | None = None, machine: str | None = None) -> K3dRelease:
    """The pin for a platform, by default for this machine's.

    Raises:
        UnsupportedPlatform: none is pinned.
    """
    wanted = (system or platform.system(), machine or platform.machine())
    if (release := PINNED.get(wanted)) is None:
        raise UnsupportedPlatform(
            f"no k3d is pinned for {' '.join(wanted)}, only for Linux on amd64 and arm64;"
            " install k3d by hand"
        )
    return release


def ensure_k3d(
    folder: Path, release: K3dRelease | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> Path:
    """The path of the verified, executable program, in `folder`, which is made where missing.

    One that is there already is used, without a request. Its name carries the version, so that
    another pin never replaces a program that is running.

    Raises:
        UnsupportedPlatform
        DownloadError: nothing is executable that was not before.
        OSError: the folder cannot be made.
    """
    chosen = release or pinned_release()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"k3d-v{chosen.version}"
    chosen.program.fetch(path, limits=limits, mode=EXECUTABLE)
    return path
