"""A Lease in memory that keeps the port's promises, for any number of replicas."""

from dataclasses import dataclass, replace
from typing import Final

from harmony_fleet.operator.kubernetes.lease import Held
from harmony_fleet.operator.ports import Conflict, StoreError

NONE_YET: Final = Held("", "", "", 0, "")


@dataclass
class FakeLease:
    held: Held = NONE_YET
    broken: StoreError | None = None
    """While set, every call raises it and changes nothing."""
    _writes: int = 0

    async def read(self) -> Held:
        self._works()
        return self.held

    async def write(self, held: Held) -> Held:
        self._works()
        if self.held.version not in {"", held.version}:
            raise Conflict("the Lease was written by another since it was read")
        self._writes += 1
        self.held = replace(held, version=str(self._writes))
        return self.held

    def delete(self) -> None:
        """As somebody with kubectl would. A version that was is never one again."""
        self.held = NONE_YET

    def _works(self) -> None:
        if self.broken is not None:
            raise self.broken
