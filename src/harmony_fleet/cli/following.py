"""Which of the ordered upgrades has come how far, each known by its own `upgrade_id`. Pure.

Rules
1. Only what is said of that very upgrade moves it: a newer order for the same device does not.
2. What is final stays. Where the newest order is another one, the device's events tell the end.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harmony_fleet.cli.views import CauseView, DeviceView, EventView, ProgressView, Result
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

_TOLD: Final = re.compile(r"\S+: (?P<phase>[A-Za-z]+)(, (?P<kind>[a-z_]+): (?P<sentence>.*))?")
"""An event of kind `phase`: the version, the phase, and a cause where there is one."""


@dataclass(frozen=True, slots=True)
class Followed:
    device_id: str
    upgrade_id: str
    to_version: str
    from_version: str | None = None
    phase: Phase = Phase.PENDING
    final: bool = False
    cause: CauseView | None = None
    progress: ProgressView | None = None
    waits_for: str | None = None
    replaced: bool = False
    """The device has a newer order; what is said of this one stands in its events alone."""

    @property
    def succeeded(self) -> bool:
        return self.phase is Phase.SUCCEEDED


def begin(results: Iterable[Result], version: str) -> list[Followed]:
    """One for each that was ordered."""
    return [
        Followed(result.device_id, result.upgrade_id, version)
        for result in results
        if result.ordered and result.upgrade_id is not None
    ]


def seen(followed: Followed, device: DeviceView | None) -> Followed:
    if followed.final or device is None or device.upgrade is None:
        return followed
    upgrade = device.upgrade
    if upgrade.upgrade_id != followed.upgrade_id:
        return replace(followed, replaced=True, waits_for="the device to end this older order")
    return replace(
        followed,
        from_version=upgrade.from_version or device.current_version,
        phase=upgrade.phase,
        final=upgrade.final,
        cause=upgrade.cause,
        progress=upgrade.progress,
        waits_for=upgrade.waits_for,
        replaced=False,
    )


def told(followed: Followed, events: Iterable[EventView]) -> Followed:
    """As its last event of kind `phase` leaves it."""
    for event in events:
        if event.upgrade_id == followed.upgrade_id and event.kind == "phase":
            followed = _entered(followed, event.sentence)
    return followed


def _entered(followed: Followed, sentence: str) -> Followed:
    match = _TOLD.fullmatch(sentence)
    if match is None or followed.final:
        return followed
    phase = Phase(match["phase"])
    if phase is Phase.UNKNOWN:
        return followed
    cause = CauseView(match["kind"], match["sentence"]) if match["kind"] else None
    return replace(followed, phase=phase, final=phase.final, cause=cause, progress=None)


def changed(before: Sequence[Followed], now: Sequence[Followed]) -> list[Followed]:
    """Those that entered another phase, or ended; all of them where there is no `before`."""
    known = {one.upgrade_id: (one.phase, one.final) for one in before}
    return [one for one in now if known.get(one.upgrade_id) != (one.phase, one.final)]


def tally(followed: Sequence[Followed]) -> str:
    """`2 succeeded, 1 failed, 3 under way`: only what there is."""
    succeeded = sum(one.succeeded for one in followed)
    failed = sum(one.final and not one.succeeded for one in followed)
    counts = {
        "succeeded": succeeded,
        "failed": failed,
        "under way": len(followed) - succeeded - failed,
    }
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)
