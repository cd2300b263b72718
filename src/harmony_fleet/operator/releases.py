"""How a file becomes a release: looked at, named by its bytes, landed durably, then recorded.

A file on somebody else's server can be a release as well: then only its place is recorded.
The record in the store is written last: a file without one is not a release. A file's name holds
part of its digest, so that two that claim one version can never take each other's place.
Nothing is ever run.
"""

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.operator.ports import Clock, DeviceStore, ReleaseExists
from harmony_fleet.operator.records import Release
from harmony_fleet.release.manifest import ReleaseFile, describe

ARTIFACT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
"""Neither a path nor one of the temporary files, which begin with a dot."""
INCOMING: Final = ".incoming-"


class VersionMismatch(FleetError):
    """The artifact says that it is another version. Nothing was changed."""

    kind = "version_mismatch"


class ArtifactsUnwritable(FleetError):
    """The file could not be put into the artifacts folder. No release was added."""

    kind = "artifacts_unwritable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where releases are kept: their files, and the records of them."""

    folder: Path
    store: DeviceStore
    clock: Clock

    async def add(self, incoming: Path, version: str) -> tuple[Release, bool]:
        """Make the file a release; True where it was not one before. `incoming` is in the folder.

        The same bytes again change nothing, but mend a file that was lost or damaged.
        Raises NotAnArtifact, VersionMismatch, ReleaseExists, ArtifactsUnwritable, StoreError.
        """
        file = await asyncio.to_thread(describe, incoming)
        if file.manifest.version != version:
            raise VersionMismatch(
                f"the file is version {file.manifest.version} by its manifest, not {version}: "
                "add it under its own version"
            )
        there = await self.store.release(version)
        if there is not None and there.sha256 != file.sha256:
            raise ReleaseExists(version)
        here = there is not None and there.url is None
        release = there if there and here else self._release(file)
        path = self.folder / release.artifact_name
        with _translated(path):
            await asyncio.to_thread(_land, incoming, path, file.sha256)
        if there is not None and not here:
            kept = replace(release, added_at=there.added_at)
            return await self.store.replace_release(kept), False
        return await self._record(release, path), there is None

    async def refer(self, version: str, elsewhere: Artifact) -> tuple[Release, bool]:
        """Make a file on another server a release; True where it was not one before.

        Nothing is downloaded, so neither the version in its manifest nor the Python that it needs
        is known here. The same bytes again lie where it is said last. Raises InvalidValue: the
        size of a file that was here; ReleaseExists, StoreError.
        """
        there = await self.store.release(version)
        if there is not None and there.sha256 != elsewhere.sha256:
            raise ReleaseExists(version)
        if there is not None and there.artifact_name and there.size_bytes != elsewhere.size_bytes:
            raise InvalidValue(
                f"release {version} has {there.size_bytes} bytes, which were counted here, not "
                f"{elsewhere.size_bytes}"
            )
        release = there or Release(version, "", 0, elsewhere.sha256, "", self.clock.now())
        release = replace(release, url=elsewhere.url, size_bytes=elsewhere.size_bytes)
        return await self.store.replace_release(release), there is None

    def _release(self, file: ReleaseFile) -> Release:
        version = file.manifest.version
        return Release(
            version=version,
            artifact_name=f"{file.manifest.name}-v{version}-{file.sha256[:16]}",
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            python=file.manifest.python,
            added_at=self.clock.now(),
        )

    async def _record(self, release: Release, path: Path) -> Release:
        try:
            return await self.store.add_release(release)
        except ReleaseExists:
            # Somebody was faster with other bytes: no record will ever name this file.
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise


@contextmanager
def incoming_file(folder: Path) -> Iterator[Path]:
    """A name for a new file in the folder; whatever still has that name afterwards is removed."""
    path = folder / f"{INCOMING}{secrets.token_hex(8)}"
    try:
        with _translated(path):
            yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def sweep_incoming(folder: Path) -> None:
    """Remove what a killed process left. Only for the one who holds the data folder."""
    for path in folder.glob(f"{INCOMING}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _land(incoming: Path, path: Path, sha256: str) -> None:
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return
    incoming.chmod(0o644)
    _sync(incoming)
    incoming.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactsUnwritable(
            f"the artifacts folder {path.parent} cannot be written ({error.strerror or error}): "
            "check its permissions and its disk"
        ) from error
