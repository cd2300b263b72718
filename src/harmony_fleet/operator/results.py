"""What comes of an order that a person gives: a result for each device, or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.labels import Selector

Wanted = Sequence[str] | Selector
"""Devices by their names, or by their labels."""


class UnknownDevice(FleetError):
    """No device of that name was declared or has ever been heard. Nothing was changed."""

    kind = "unknown_device"

    def __init__(self, device_id: str) -> None:
        super().__init__(f"there is no device {device_id!r}: see `fleet device list`")


class UnknownRelease(FleetError):
    """No release of that version was added. Nothing was changed."""

    kind = "unknown_release"


class ReleaseWithdrawn(FleetError):
    """Somebody has withdrawn that version. Nothing was changed."""

    kind = "release_withdrawn"

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(
            f"release {version} was withdrawn: {reason.rstrip('.')}; order another version, or "
            f"take that back by `fleet release withdraw {version} --undo`"
        )


class ReleaseRefused(FleetError):
    """That version is described in a way that nothing can be ordered by. Nothing was changed."""

    kind = "release_refused"

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(f"release {version} cannot be ordered: {reason}")


class NothingSelected(FleetError):
    """No device has such labels. Nothing was changed."""

    kind = "nothing_selected"

    def __init__(self, selector: Selector) -> None:
        super().__init__(
            f"no device has labels that {str(selector)!r} selects: see `fleet device list --labels`"
        )


@dataclass(frozen=True, slots=True)
class OrderResult:
    device_id: str
    upgrade_id: str | None
    """Of the order; of a pause or its end, that of an upgrade under way, which goes on."""
    reason: str | None
    """Why nothing was ordered."""
    kind: str | None = None
    """Of the error that it was."""
    to_version: str | None = None
    """What the order leads to, or would have led to; beside a pause, what is under way."""
