"""Every upgrade that was ordered, and what became of it. What it says of a verdict is pure.

Rules
1. No bad release ends Succeeded.
2. A good release is blamed only on a device that was itself hit during that upgrade (`hits` says
   how long a blow counts): a candidate that is killed from outside cannot be told from one that
   died. An operator or a NATS server that is away is no reason.
3. A good release is quarantined only where it was blamed.
4. Where neither the device nor the control plane was hit, a good release succeeds, and a bad one
   ends with its own cause, unless the soak aborted or replaced it, or it was blamed before.
5. None ends Unresolved: the soak damages no journal. None that was taken is unknown in the end.
6. What runs in the end is what the last success led to.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind
from soak.faults import Fault, Kind
from soak.hits import CONTROL_PLANE, Hit, hit_during
from soak.plane import ControlPlane, Taken, Upgrade
from soak.releases import BY_VERSION, FIRST


@dataclass
class Ledger:
    ended: dict[str, Upgrade] = field(default_factory=dict)
    open: dict[str, Upgrade] = field(default_factory=dict)
    blamed: set[tuple[str, str]] = field(default_factory=set)
    """Device and version: ended at least once with a cause that counts against the release."""
    ended_by_us: set[str] = field(default_factory=set)
    """The upgrades that the soak aborted or replaced, or may have."""
    _unread: dict[str, str] = field(default_factory=dict)
    """Upgrades that were taken, and of which nothing was asked yet, with their devices."""
    _heard: dict[str, int] = field(default_factory=dict)
    """The number of each device's last event that was read."""

    def ordered(self, device: str, taken: Taken) -> None:
        """It replaces what was open there, where it is taken."""
        if taken.upgrade_id is not None or not taken.answered:
            self.ended_by_us |= self._open_on(device)
        if taken.upgrade_id is not None:
            self._unread[taken.upgrade_id] = device

    def aborted(self, device: str, taken: Taken) -> None:
        if taken.upgrade_id is not None:
            self.ended_by_us.add(taken.upgrade_id)
        elif not taken.answered:
            self.ended_by_us |= self._open_on(device)

    def _open_on(self, device: str) -> set[str]:
        here = {one for one, upgrade in self.open.items() if upgrade.device == device}
        return here | {one for one, whose in self._unread.items() if whose == device}

    def read(self, plane: ControlPlane, devices: Iterable[str]) -> list[Upgrade]:
        """Those that have ended since. Blocking. Raises FleetError."""
        for device in devices:
            ids, last = plane.ordered_since(device, self._heard.get(device, 0))
            new = [one for one in ids if one not in self.ended]
            self._unread |= dict.fromkeys(new, device)
            self._heard[device] = last
        asked = self._unread | {one: upgrade.device for one, upgrade in self.open.items()}
        now = {one: plane.upgrade(device, one) for one, device in asked.items()}
        self._unread.clear()
        self.open = {one: upgrade for one, upgrade in now.items() if not upgrade.final}
        ended = [upgrade for upgrade in now.values() if upgrade.final]
        self.ended |= {upgrade.upgrade_id: upgrade for upgrade in ended}
        self.blamed |= {(one.device, one.version) for one in ended if _blames(one)}
        return ended

    def judge(self, ended: Sequence[Upgrade], hits: Sequence[Hit]) -> list[Fault]:
        """Those that ended just now; `hits`: all that may have touched them."""
        found = ((one, self._fault_of(one, hit_during(one, hits))) for one in ended)
        return [Fault(Kind.VERDICT, f"{_named(one)} {fault}") for one, fault in found if fault]

    def _fault_of(self, upgrade: Upgrade, hit: Set[str]) -> str | None:
        good = BY_VERSION[upgrade.version].good
        if not good and upgrade.phase == AgentUpgradePhase.SUCCEEDED:
            return "succeeded, and is bad"
        if good and _blames(upgrade) and upgrade.device not in hit:
            return f"is good, and is blamed for {upgrade.cause}"
        if good and upgrade.cause == CauseKind.QUARANTINED and not self._was_blamed(upgrade):
            return "is good, and is refused as quarantined"
        if upgrade.phase == AgentUpgradePhase.UNRESOLVED:
            return f"ended Unresolved, {upgrade.cause}, and no journal was damaged"
        if hit.isdisjoint({upgrade.device, CONTROL_PLANE}) and not self._untroubled(upgrade):
            return f"ended {upgrade.phase}, {upgrade.cause}, although nothing was hit"
        return None

    def _untroubled(self, upgrade: Upgrade) -> bool:
        """It ended as it has to where nothing is killed."""
        release = BY_VERSION[upgrade.version]
        early = upgrade.phase == AgentUpgradePhase.NEVER_STARTED
        if early or upgrade.cause == CauseKind.ABORTED:
            return upgrade.upgrade_id in self.ended_by_us
        if upgrade.cause == CauseKind.QUARANTINED:
            return self._was_blamed(upgrade)
        if release.good:
            return upgrade.phase == AgentUpgradePhase.SUCCEEDED
        return upgrade.cause in release.causes

    def _was_blamed(self, upgrade: Upgrade) -> bool:
        return (upgrade.device, upgrade.version) in self.blamed

    def wrongly_quarantined(self, device: str, versions: Iterable[str]) -> list[Fault]:
        """`versions`: those whose digests the device's own journal holds as quarantined."""
        return [
            Fault(Kind.VERDICT, f"{device}: {version} is good, never blamed, and quarantined")
            for version in versions
            if BY_VERSION[version].good and (device, version) not in self.blamed
        ]

    def should_run(self, device: str) -> str:
        done = [
            upgrade
            for upgrade in self.ended.values()
            if upgrade.device == device and upgrade.phase == AgentUpgradePhase.SUCCEEDED
        ]
        return max(done, key=lambda one: one.generation).version if done else FIRST.version


def _blames(upgrade: Upgrade) -> bool:
    return upgrade.cause is not None and CauseKind(upgrade.cause).counts_against_release


def _named(upgrade: Upgrade) -> str:
    return f"{upgrade.device}: {upgrade.version} (upgrade {upgrade.upgrade_id})"
