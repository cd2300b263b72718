"""Releases as AgentRelease objects. They are few, and read from the API server each time."""

from collections.abc import Sequence
from typing import Any, Final

from harmony_fleet.operator.kubernetes.cluster import Cluster
from harmony_fleet.operator.kubernetes.names import GROUP, object_name
from harmony_fleet.operator.kubernetes.objects import (
    AgentRelease,
    AgentReleaseSpec,
    Metadata,
    ReleaseArtifact,
    Withdrawn,
)
from harmony_fleet.operator.ports import Clock, Conflict, ReleaseExists, StoreError
from harmony_fleet.operator.records import Release

ADDED_AT: Final = f"{GROUP}/added-at"
NUMBER: Final = f"{GROUP}/number"
"""Grows with each release that the operator adds: objects are dated by the second only."""
TRIES: Final = 5


class KubernetesReleases:
    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock

    async def get(self, version: str) -> Release | None:
        """Raises StoreError."""
        found = await self._find(version)
        return None if found is None else release_of(found)

    async def all(self) -> Sequence[Release]:
        """In the order in which they were added. Raises StoreError."""
        return [release_of(one) for one in sorted(await self._all(), key=_place)]

    async def add(self, release: Release) -> Release:
        """Idempotent. Raises ReleaseExists, StoreError."""
        there = await self.get(release.version)
        if there is None:
            there = await self._create(release)
        if there.sha256 != release.sha256:
            raise ReleaseExists(release.version)
        return there

    async def replace(self, release: Release) -> Release:
        """Raises ReleaseExists, StoreError."""
        for _ in range(TRIES):
            there = await self._find(release.version)
            if there is None:
                return await self.add(release)
            if release_of(there).sha256 != release.sha256:
                raise ReleaseExists(release.version)
            try:
                return await self._write_anew(there, release)
            except Conflict:
                continue
        raise StoreError(f"release {release.version} is written by others all the time: try again")

    async def withdraw(self, version: str, reason: str | None) -> Release | None:
        """What others write beside it is no conflict: only `withdrawn` is. Raises StoreError."""
        there = await self._find(version)
        if there is None:
            return None
        known, patch = there.metadata, {"spec": {"withdrawn": reason and {"reason": reason}}}
        return release_of(
            await self._cluster.merge(AgentRelease, known.namespace, known.name, patch)
        )

    async def _create(self, release: Release) -> Release:
        name = object_name(release.version)
        number = max((_number(one) for one in await self._all()), default=0) + 1
        annotations = {ADDED_AT: release.added_at, NUMBER: str(number)}
        metadata = Metadata(name, self._cluster.namespace, annotations=annotations)
        try:
            made = await self._cluster.create(
                AgentRelease(metadata=metadata, spec=spec_of(release))
            )
        except Conflict:
            found = await self._find(release.version)  # somebody was faster
            if found is None:
                raise
            return release_of(found)
        return release_of(made)

    async def _write_anew(self, there: AgentRelease, release: Release) -> Release:
        known, spec = there.metadata, spec_of(release)
        file = {"url": "", "file": "", **_set(spec.artifacts[0])}
        patch = {
            "metadata": {
                "resourceVersion": known.resource_version,
                "annotations": {ADDED_AT: release.added_at},
            },
            "spec": {
                "artifacts": [{k: v for k, v in file.items() if v != ""}],
                "python": spec.python or None,
            },
        }
        return release_of(
            await self._cluster.merge(AgentRelease, known.namespace, known.name, patch)
        )

    async def _find(self, version: str) -> AgentRelease | None:
        name = object_name(version)
        found = await self._cluster.get(AgentRelease, self._cluster.namespace, name)
        if found is not None and found.spec.version != version:
            raise StoreError(
                f"the AgentRelease {name} is for {found.spec.version}, not {version}: delete it, "
                f"and create it under the name {object_name(found.spec.version)}"
            )
        return found

    async def _all(self) -> Sequence[AgentRelease]:
        return await self._cluster.list(AgentRelease, self._cluster.namespace)


def release_of(one: AgentRelease) -> Release:
    spec, (file,), metadata = one.spec, one.spec.artifacts, one.metadata
    return Release(
        version=spec.version,
        artifact_name=file.file,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        python=spec.python,
        added_at=metadata.annotations.get(ADDED_AT, metadata.creation_timestamp),
        url=file.url or None,
        withdrawn=spec.withdrawn.reason if spec.withdrawn else None,
        refused=_refusal(one),
    )


def _refusal(one: AgentRelease) -> str | None:
    """Of what stands there now; None: it can be ordered, or nobody has looked at it yet."""
    told = one.status.conditions if one.status else ()
    stalled = (each for each in told if each.type == "Stalled" and each.status == "True")
    now = (each.message for each in stalled if each.observed_generation == one.metadata.generation)
    return next(now, None)


def spec_of(release: Release) -> AgentReleaseSpec:
    file = ReleaseArtifact(
        url=release.url or "",
        file=release.artifact_name,
        size_bytes=release.size_bytes,
        sha256=release.sha256,
    )
    withdrawn = Withdrawn(release.withdrawn) if release.withdrawn else None
    return AgentReleaseSpec(release.version, (file,), release.python, withdrawn)


def _set(file: ReleaseArtifact) -> dict[str, Any]:
    return {
        "platform": file.platform,
        "url": file.url,
        "file": file.file,
        "sizeBytes": file.size_bytes,
        "sha256": file.sha256,
    }


def _number(one: AgentRelease) -> int:
    text = one.metadata.annotations.get(NUMBER, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _place(one: AgentRelease) -> tuple[str, int, str]:
    return one.metadata.creation_timestamp, _number(one), one.metadata.name
