"""The half of an executor that needs no service manager: the disk, and what is fetched onto it.

Every executor is one of these, and adds the processes.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harmony_fleet.agent.folders import look_at
from harmony_fleet.agent.upgrade import content
from harmony_fleet.agent.upgrade.layout import EXECUTABLE, Layout
from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import Artifact, CauseKind

if TYPE_CHECKING:
    import ssl

    from harmony_fleet.asset import Limits

CANCEL_LIMIT_S: Final = 15.0
"""A download notices within its connecting time, ten seconds, that it is no longer wanted."""

_CAUSES: Final = {
    "digest_mismatch": CauseKind.DIGEST_MISMATCH,
    "disk_full": CauseKind.DISK_FULL,
    "not_writable": CauseKind.DEVICE_FAULT,
}
"""Every other kind of DownloadError is DOWNLOAD_FAILED."""


class ProgramOnDisk:
    """`ports.Versions`, and the staging of `ports.UpgradeExecutor`."""

    def __init__(
        self, layout: Layout, limits: "Limits | None" = None, ca: Path | None = None
    ) -> None:
        """`ca`: the file of an authority to trust beside those of the system."""
        self._layout, self._limits, self._ca = layout, limits, ca

    async def stage(
        self, version: str, artifact: Artifact, progress: Callable[[int], None]
    ) -> None:
        # Here, and not above: an agent without an order does without the HTTP client, 1 MiB.
        from harmony_fleet.asset import DownloadableAsset, Limits
        from harmony_fleet.asset.errors import DownloadError

        self._refuse_where_nothing_may_run()
        asset = DownloadableAsset(
            artifact.url, artifact.size_bytes, artifact.sha256, trust=_trust(self._ca)
        )
        cancelled = threading.Event()
        fetch = partial(
            asset.fetch,
            self._layout.path_of(version),
            limits=self._limits or Limits(),
            progress=_in_loop(progress),
            cancelled=cancelled,
            mode=EXECUTABLE,
        )
        try:
            await _in_thread(fetch, cancelled)
        except DownloadError as error:
            cause = _CAUSES.get(error.kind, CauseKind.DOWNLOAD_FAILED)
            sentence = f"version {version} could not be fetched from {artifact.url}: {error}"
            raise UpgradeFault(cause, sentence) from error

    def _refuse_where_nothing_may_run(self) -> None:
        """Else the new version's self-test would be blamed for the device's file system."""
        folder = look_at("versions", self._layout.paths.versions)
        if folder.noexec:
            sentence = (
                f"{folder.path}, the folder of versions, {folder.flaw}: mount it otherwise, or "
                "name another folder as paths.versions"
            )
            raise UpgradeFault(CauseKind.DEVICE_FAULT, sentence)

    async def running_sha256(self) -> str:
        try:
            return await asyncio.to_thread(self._hash_running)
        except OSError as error:
            sentence = f"the program that runs could not be read: {error}; check its disk"
            raise UpgradeFault(CauseKind.DEVICE_FAULT, sentence) from error

    def _hash_running(self) -> str:
        digest = hashlib.sha256()
        if (descriptor := self._layout.own_descriptor) is not None:
            for chunk in content.chunks(descriptor):
                digest.update(chunk)
            return digest.hexdigest()
        with self._running_file().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _running_file(self) -> Path:
        if self._layout.own_version is None:
            raise FileNotFoundError("it has no version and keeps no file open")
        return self._layout.path_of(self._layout.own_version)

    # Versions

    def link_version(self) -> str | None:
        return self._layout.link_version()

    def link_gone(self) -> bool:
        return self._layout.link_gone()

    def previous_version(self) -> str | None:
        return self._layout.previous_version()

    def capture_revert_target(self, version: str) -> None:
        self._layout.capture_revert_target(version)

    def check_target(self, version: str, sha256: str | None) -> None:
        self._layout.check_target(version, sha256)

    def point_previous(self, version: str) -> None:
        self._layout.point_previous(version)

    def swap_link(self, version: str) -> None:
        self._layout.swap_link(version)

    def open_attempt(self) -> None:
        self._layout.open_attempt()

    def close_attempt(self) -> None:
        self._layout.close_attempt()

    def prune(self, keep: frozenset[str]) -> None:
        self._layout.prune(keep)

    def make_durable(self) -> None:
        self._layout.make_durable()


def _trust(ca: Path | None) -> "ssl.SSLContext | None":
    """None: the library's own. An authority that cannot be read is the device's fault."""
    if ca is None:
        return None
    from harmony_fleet.messaging.trust import AuthorityUnreadable, download_context

    try:
        return download_context(ca)
    except AuthorityUnreadable as error:
        raise UpgradeFault(CauseKind.DEVICE_FAULT, str(error)) from error


def _in_loop(progress: Callable[[int], None]) -> Callable[[int], None]:
    loop = asyncio.get_running_loop()

    def tell(held_bytes: int) -> None:
        loop.call_soon_threadsafe(progress, held_bytes)

    return tell


async def _in_thread(fetch: Callable[[], None], cancelled: threading.Event) -> None:
    """Cancelled, the thread is told, and given its time to end: nothing writes afterwards."""
    work = asyncio.ensure_future(asyncio.to_thread(fetch))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        cancelled.set()
        work.add_done_callback(_look_at)
        await asyncio.wait({work}, timeout=CANCEL_LIMIT_S)
        raise


def _look_at(work: asyncio.Future[None]) -> None:
    """Nobody waits for it: asyncio is not to complain of an error that nobody took."""
    if not work.cancelled():
        work.exception()
