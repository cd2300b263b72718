"""Which of the ordered upgrades has come how far, each known by its own `upgrade_id`. Pure.

Rules
1. Only what is said of that very upgrade moves it: a newer order for the same device does not.
2. What is final stays. Where the newest order is another one, the operator is asked for this one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harmony_fleet.cli.views import CauseView, DeviceView, ProgressView, Result, UpgradeView
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase


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
    """The device has a newer order, or this one is kept no more."""

    @property
    def succeeded(self) -> bool:
        return self.phase is Phase.SUCCEEDED


def begin(results: Iterable[Result], version: str = "") -> list[Followed]:
    """One for each that was ordered; `version` where the result does not say its own."""
    return [
        Followed(result.device_id, result.upgrade_id, result.to_version or version)
        for result in results
        if result.ordered and result.upgrade_id is not None
    ]


def seen(followed: Followed, device: DeviceView | None) -> Followed:
    if followed.final or device is None or device.upgrade is None:
        return followed
    if device.upgrade.upgrade_id != followed.upgrade_id:
        return replace(followed, replaced=True)
    shown = told(followed, device.upgrade)
    return replace(shown, from_version=shown.from_version or device.current_version, replaced=False)


def told(followed: Followed, upgrade: UpgradeView) -> Followed:
    """As the operator shows that very upgrade."""
    if followed.final or upgrade.upgrade_id != followed.upgrade_id:
        return followed
    return replace(
        followed,
        from_version=upgrade.from_version or followed.from_version,
        phase=upgrade.phase,
        final=upgrade.final,
        cause=upgrade.cause,
        progress=upgrade.progress,
        waits_for=upgrade.waits_for,
    )


def forgotten(followed: Followed) -> Followed:
    """Nobody will ever tell how it ends: no success."""
    cause = CauseView("unknown", "the operator keeps no record of this upgrade any more")
    return replace(followed, phase=Phase.UNRESOLVED, final=True, cause=cause, waits_for=None)


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
