"""The conditions of an AgentRelease: `release_conditions(seen)`. Pure.

Ready    the operator has taken it in as it stands: it may be ordered, or, withdrawn, may not
Stalled  nothing can be ordered by it: somebody has to write another one

A release that is withdrawn is Ready: that is what its spec asks for, and it is so. Were it not, the
sync of whoever withdraws a bad release by GitOps would hang, or fail, at the worst of times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_version
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.operator.kubernetes.conditions import Obstacle, State
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.records import Release

_SOMEWHERE: Final = "http://operator"
_SHOWN: Final = 16


@dataclass(frozen=True, slots=True)
class SeenRelease:
    """All that the conditions are told from."""

    release: Release
    name: str
    """The object's."""
    ran: Mapping[str, str]
    """The SHA-256 of what ran under that version, each with a device on which it did."""


def release_conditions(seen: SeenRelease) -> tuple[State, State]:
    refusal, release = _refusal(seen), seen.release
    if refusal is not None:
        return (
            State("Ready", False, refusal.reason, refusal.sentence),
            State("Stalled", True, refusal.reason, refusal.sentence),
        )
    fine = State("Stalled", False, "NotStalled", "")
    if release.withdrawn is not None:
        return State(
            "Ready", True, "Withdrawn", f"no new order names it: {release.withdrawn}"
        ), fine
    return State("Ready", True, "Available", f"{release.version} may be ordered"), fine


def _refusal(seen: SeenRelease) -> Obstacle | None:
    release = seen.release
    try:
        expected = object_name(check_version(release.version))
        Artifact(release.url_below(_SOMEWHERE), release.size_bytes, release.sha256)
    except InvalidValue as error:
        return Obstacle("Invalid", f"{error}: mend it, or delete this AgentRelease")
    if seen.name != expected:
        return Obstacle(
            "Misnamed",
            f"the AgentRelease of {release.version} is called {expected}, and nothing finds this "
            "one: delete it, and create it under that name",
        )
    if seen.ran and release.sha256 not in seen.ran:
        return _other_bytes(seen)
    return None


def _other_bytes(seen: SeenRelease) -> Obstacle:
    sha256, device = min(seen.ran.items())
    known = f"SHA-256 {sha256[:_SHOWN]}…"
    return Obstacle(
        "BytesChanged",
        f"{seen.release.version} ran on {device} with other bytes ({known}), and a version's bytes "
        "never change: delete this AgentRelease, and build the new ones under a new version",
    )
