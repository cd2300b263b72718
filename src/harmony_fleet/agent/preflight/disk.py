"""Room, and folders that can be written: what a preflight makes of what was measured. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_fleet.contracts.preflight import Check, CheckName, CheckState, check


@dataclass(frozen=True, slots=True)
class Room:
    """One file system, and what an upgrade puts on it."""

    folder: str
    """A folder that lies on it."""
    free_bytes: int
    needed_bytes: int
    """For what the upgrade cannot do without."""
    spare_bytes: int
    """That should stay free beyond it, so that a way back is never short of room."""
    free_files: int | None = None
    """None: it does not count them."""


def judge_room(rooms: Sequence[Room]) -> Check:
    """The first file system with too little room is named; the others may have too little too."""
    if not rooms:
        words = "no folder that an upgrade writes is there to be measured"
        return check(CheckName.DISK_SPACE, CheckState.UNKNOWN, words)
    for room in rooms:
        if room.free_bytes < room.needed_bytes:
            return _space(CheckState.FAILED, room, f"{room.needed_bytes} bytes are needed")
        if room.free_files == 0:
            return _space(CheckState.FAILED, room, "no further file can be made there")
    for room in rooms:
        if room.free_bytes < room.needed_bytes + room.spare_bytes:
            spare = f"{room.needed_bytes} are needed, and {room.spare_bytes} should stay free"
            return _space(CheckState.WARNING, room, spare)
    least = min(rooms, key=lambda room: room.free_bytes - room.needed_bytes)
    return _space(CheckState.OK, least, f"{least.needed_bytes} are needed")


def _space(state: CheckState, room: Room, words: str) -> Check:
    sentence = f"{room.folder}: {room.free_bytes} bytes are free, {words}"
    return check(CheckName.DISK_SPACE, state, sentence)


def judge_folders(flaws: Sequence[str]) -> Check:
    """Of those that the upgrade writes: each flaw names its folder."""
    if flaws:
        return check(CheckName.FOLDERS, CheckState.FAILED, "; ".join(flaws))
    return check(CheckName.FOLDERS, CheckState.OK, "can be written, and executed from")
