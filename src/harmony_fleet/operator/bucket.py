"""What to do about one device's marker in the bucket: `bucket_write(case, marker, found)`. Pure."""

from enum import StrEnum

from harmony_fleet.contracts.upgrade import Marker
from harmony_fleet.operator.coordinator import Case


class BucketWrite(StrEnum):
    """What to do about the bucket's value for one device."""

    WRITE = "write"
    LEAVE = "leave"
    """It holds a newer order than the store knows of."""
    NOTHING = "nothing"
    """It holds what is wanted, or the store wants another one by now."""


def bucket_write(case: Case, marker: Marker, found: Marker | None) -> BucketWrite:
    """Asked again at the instant of writing: `found` is what the bucket held just before.

    An order is known by its generation: one that another store gave is never written over.
    """
    order = case.record.order
    if order is None or not order.open or order.marker(case.record.device_id) != marker:
        return BucketWrite.NOTHING
    if case.held_back:
        return BucketWrite.NOTHING
    if found is None:
        return BucketWrite.WRITE
    if found.generation > marker.generation:
        return BucketWrite.LEAVE
    return BucketWrite.NOTHING if found == marker else BucketWrite.WRITE
