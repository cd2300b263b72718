"""What the operator needs from the world. Each port has a fake or an embedded adapter.

`DeviceStore` is the operator's truth: everything else can be lost and is written again from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Release


class StoreError(FleetError):
    """The store could not do it. Nothing was written."""

    kind = "store"
    retryable = True


class Conflict(StoreError):
    """Somebody else wrote this record since it was read: read it again, decide again."""

    kind = "conflict"


class NotDeclared(FleetError):
    """Only declared devices are taken in, and this one is not. Nothing was done."""

    kind = "not_declared"

    def __init__(self, device_id: str) -> None:
        super().__init__(
            f"{device_id} is heard, and nobody has declared it: declare it, or take its "
            "credentials from it"
        )


class ReleaseExists(FleetError):
    """That version is there already, with other bytes. Nothing was changed."""

    kind = "release_exists"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"release {version} is there already, with other bytes: a version is never changed; "
            "build the new bytes under a new version"
        )


@dataclass(frozen=True, slots=True)
class Versioned:
    """A record and the revision it was read at; 0 for one that is not stored yet."""

    record: DeviceRecord
    revision: int


class DeviceStore(Protocol):
    """Durable when a method returns. Several operators may use one store at once."""

    async def load(self, device_id: str) -> Versioned | None:
        """Raises StoreError."""

    async def load_all(self) -> Sequence[Versioned]:
        """In the order of their device ids. Raises StoreError."""

    async def save(
        self, record: DeviceRecord, revision: int, happenings: Sequence[Happening] = ()
    ) -> int:
        """Write record and history in one transaction; the new revision.

        Compare-and-set: `revision` is that of the read, 0 to create. Raises Conflict, StoreError.
        """

    async def events(self, device_id: str | None, after: int, limit: int) -> Sequence[DeviceEvent]:
        """Events with a number above `after`, oldest first. None: of all devices."""

    async def add_release(self, release: Release) -> Release:
        """Idempotent for equal bytes: the stored one is returned. Raises ReleaseExists."""

    async def replace_release(self, release: Release) -> Release:
        """Add it, or write it anew where the same bytes are there: they may lie elsewhere now.

        One that is withdrawn stays so, whatever is said here; what is stored is returned. Raises
        ReleaseExists: other bytes are there.
        """

    async def withdraw_release(self, version: str, reason: str | None) -> Release | None:
        """Say why no order names it any more; None: any may again. Nothing else of it is touched.

        Idempotent. The release as it is stored then; None: there is none of that version.
        """

    async def release(self, version: str) -> Release | None: ...

    async def releases(self) -> Sequence[Release]:
        """In the order in which they were added."""


class Clock(Protocol):
    def now(self) -> str:
        """RFC 3339, UTC: for people."""

    def monotonic(self) -> float:
        """Seconds: for durations."""

    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    def upgrade_id(self) -> str:
        """Random; 32 hexadecimal digits."""

    def nonce(self) -> str:
        """Random; 16 hexadecimal digits."""
