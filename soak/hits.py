"""When something was hit, and which upgrades that may excuse. Pure.

Rule: a blow excuses what was under way at any moment from then until `AFTERMATH_S` after what was
hit had been brought back. What ended before it, or was ordered later, has no excuse.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from soak.plane import Upgrade

CONTROL_PLANE = "the control plane"
"""Among what was hit."""
AFTERMATH_S = 10.0
"""For the start of a machine, an agent or a server, and for everyone to be connected again."""


@dataclass(slots=True)
class Hit:
    what: str
    """A device, or CONTROL_PLANE."""
    began: datetime
    ended: datetime | None = None
    """When it was brought back, or thawed; None: not yet."""

    def touches(self, upgrade: Upgrade) -> bool:
        """By the operator's clock, which is this machine's: when it was ordered, and ended."""
        if upgrade.since < self.began:
            return False
        return self.ended is None or upgrade.ordered_at < self.ended + timedelta(
            seconds=AFTERMATH_S
        )


def hit_during(upgrade: Upgrade, hits: Iterable[Hit]) -> set[str]:
    return {hit.what for hit in hits if hit.touches(upgrade)}
