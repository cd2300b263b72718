"""The API's releases, and the files that devices download."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse

from harmony_fleet.contracts.identity import check_version
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.operator.api_route import (
    Answer,
    ApiRoute,
    BadRequest,
    NotFound,
    Services,
    TooLarge,
    decoded,
)
from harmony_fleet.operator.records import Release
from harmony_fleet.operator.releases import ARTIFACT_NAME, Shelf, incoming_file
from harmony_fleet.release.manifest import MAX_ARTIFACT_BYTES, NotAnArtifact


@dataclass(frozen=True, slots=True)
class ReleaseView:
    version: str
    artifact_name: str
    """Empty where the file was never here."""
    size_bytes: int
    sha256: str
    python: str
    """What the artifact needs, such as `>=3.11`; empty where its manifest was never read here."""
    added_at: str
    """RFC 3339, UTC."""
    url: str
    """Where a device downloads it."""
    stored_here: bool
    """False: on somebody else's server."""
    withdrawn: str | None
    """Why no new order names it; null: any may."""


class ReferenceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an artifact is, and how a device knows it again."""

    url: str
    """http or https, without credentials."""
    size_bytes: int
    sha256: str
    """Lower-case hexadecimal."""


class WithdrawalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON merge patch (RFC 7396)."""

    withdrawn: Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=r"\S")] | None
    """Why no new order is to name it; null takes that back."""


@dataclass(frozen=True, slots=True)
class ReleaseList:
    releases: tuple[ReleaseView, ...]
    """In the order in which they were added."""


async def list_releases(services: Services, _request: Request) -> Answer:
    return Answer(
        ReleaseList(tuple(_view(services, one) for one in await services.store.releases()))
    )


async def show_release(services: Services, request: Request) -> Answer:
    version = check_version(request.path_params["version"])
    release = await services.store.release(version)
    if release is None:
        raise _no_release(version)
    return Answer(_view(services, release))


async def put_release(services: Services, request: Request) -> Answer:
    version = check_version(request.path_params["version"])
    shelf = Shelf(services.artifacts, services.store, services.clock)
    with incoming_file(services.artifacts) as path:
        await _receive(request, path)
        try:
            release, new = await shelf.add(path, version)
        except NotAnArtifact as error:
            # Its own words name the temporary file, which says nothing to whoever sent it.
            raise BadRequest(f"the file is not an agent's artifact: {error.reason}") from error
    return Answer(_view(services, release), 201 if new else 200)


async def put_reference(services: Services, request: Request) -> Answer:
    version = check_version(request.path_params["version"])
    asked = await decoded(request, ReferenceRequest)
    if asked.size_bytes > MAX_ARTIFACT_BYTES:
        raise TooLarge(f"the file is larger than {MAX_ARTIFACT_BYTES} bytes: no agent is")
    elsewhere = Artifact(asked.url, asked.size_bytes, asked.sha256)
    shelf = Shelf(services.artifacts, services.store, services.clock)
    release, new = await shelf.refer(version, elsewhere)
    return Answer(_view(services, release), 201 if new else 200)


async def withdraw_release(services: Services, request: Request) -> Answer:
    version = check_version(request.path_params["version"])
    asked = await decoded(request, WithdrawalRequest)
    release = await services.store.withdraw_release(version, asked.withdrawn)
    if release is None:
        raise _no_release(version)
    return Answer(_view(services, release))


async def send_artifact(services: Services, request: Request) -> FileResponse:
    """Open to every one on this machine: a device pins size and digest by its order."""
    name = request.path_params["name"]
    path = services.artifacts / name
    try:
        found = path.lstat() if ARTIFACT_NAME.fullmatch(name) else None
    except OSError:
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise NotFound(f"there is no artifact {name[:80]!r}")
    return FileResponse(path, media_type="application/octet-stream", stat_result=found)


def _no_release(version: str) -> NotFound:
    return NotFound(f"there is no release {version}: see `fleet release list`")


def _view(services: Services, release: Release) -> ReleaseView:
    return ReleaseView(
        version=release.version,
        artifact_name=release.artifact_name,
        size_bytes=release.size_bytes,
        sha256=release.sha256,
        python=release.python,
        added_at=release.added_at,
        url=release.url_below(services.artifact_base_url),
        stored_here=release.url is None,
        withdrawn=release.withdrawn,
    )


async def _receive(request: Request, path: Path) -> None:
    """At most MAX_ARTIFACT_BYTES, whatever length was announced. Raises TooLarge."""
    received = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received > MAX_ARTIFACT_BYTES:
                raise TooLarge(f"the file is larger than {MAX_ARTIFACT_BYTES} bytes: no agent is")
            file.write(chunk)


ROUTES: Final = (
    ApiRoute("GET", "/releases", "All releases.", list_releases, {200: ReleaseList}),
    ApiRoute(
        "GET", "/releases/{version}", "One release.", show_release, {200: ReleaseView}, (404,)
    ),
    ApiRoute(
        "PATCH",
        "/releases/{version}",
        "Withdraw a release, or take that back. No new order names it then; upgrades under way go "
        "on. Idempotent.",
        withdraw_release,
        {200: ReleaseView},
        (404, 413),
        body=WithdrawalRequest,
    ),
    ApiRoute(
        "PUT",
        "/releases/{version}",
        "Add an artifact, which must say itself that it is this version. Idempotent.",
        put_release,
        {201: ReleaseView, 200: ReleaseView},
        (409, 413),
        body=bytes,
    ),
    ApiRoute(
        "PUT",
        "/releases/{version}/reference",
        "Add an artifact on another server, which is not asked: what it is cannot be checked here. "
        "Idempotent; the same bytes may be said to lie elsewhere.",
        put_reference,
        {201: ReleaseView, 200: ReleaseView},
        (409, 413),
        body=ReferenceRequest,
    ),
)
