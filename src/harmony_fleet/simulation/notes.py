"""What the dead-man timer and the guard leave for each other, on the simulated disk."""

from harmony_fleet.agent.upgrade.deadman import Controls
from harmony_fleet.agent.upgrade.events import ExpiryMark
from harmony_fleet.simulation.disk import CONTROLS, EXPIRED, STATE, Disk
from harmony_fleet.simulation.files import backed


class DiskNotes:
    """`guard_command.Notes`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def mark(self) -> ExpiryMark | None:
        found = self._disk.seen(EXPIRED)
        return found if isinstance(found, ExpiryMark) else None

    def controls(self) -> Controls | None:
        found = self._disk.seen(CONTROLS)
        return found if isinstance(found, Controls) else None

    def leave_mark(self, mark: ExpiryMark) -> bool:
        return self._leave(EXPIRED, mark)

    def leave_controls(self, controls: Controls) -> bool:
        return self._leave(CONTROLS, controls)

    def _leave(self, name: str, note: ExpiryMark | Controls) -> bool:
        try:
            backed(self._disk, lambda: self._disk.put(name, note))
            self._disk.sync(STATE)
        except OSError:
            return False
        return True
