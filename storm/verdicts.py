"""What became of one attempt, and whether its verdict is right. Pure.

Rules
1. No bad release succeeds.
2. A good release is blamed only where its own candidate or self-test was killed: from one that died
   by itself that cannot be told. A cut, or a kill of anything else, is held against no release.
3. Where nothing was hit, a good release succeeds, and a bad one ends as such a version must.
4. None ends Unresolved: nothing here damages a journal.
"""

from dataclasses import dataclass

from soak.faults import Fault, Kind

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind
from storm.plan import Attempt

_UNDONE = {CauseKind.CRASH_LOOP, CauseKind.NO_CONTACT}
"""After the commit. Whether the guard's count or its timer comes first is a matter of speed."""
_ITS_OWN = {"fleet-agent-candidate", "fleet-agent-self-test"}
"""Units that run the version that is tried, and are not its commit."""


@dataclass(frozen=True, slots=True)
class Ended:
    attempt: Attempt
    device: str
    from_version: str
    to_version: str
    hit: str | None
    """What was hit, None if it was nothing: the plan named none, or there was none to be hit."""
    hit_in: str
    """The phase then, as the operator knew it."""
    phase: str
    cause: str | None
    took_s: float
    """From the order until the device had settled."""

    @property
    def runs(self) -> str:
        """What must run now."""
        return self.to_version if self.succeeded else self.from_version

    @property
    def succeeded(self) -> bool:
        return self.phase == AgentUpgradePhase.SUCCEEDED


def judge(ended: Ended) -> list[Fault]:
    wrong = _wrong(ended)
    return [Fault(Kind.VERDICT, f"{named(ended)}: {wrong}")] if wrong else []


def named(ended: Ended) -> str:
    to = f"{ended.from_version} to {ended.to_version}"
    return f"attempt {ended.attempt.number} on {ended.device}, {to}, {words_of(ended)}"


def words_of(ended: Ended) -> str:
    return f"{ended.phase}, {ended.cause}" if ended.cause else ended.phase


def _wrong(ended: Ended) -> str | None:
    bad = ended.attempt.bad
    if bad is not None and ended.succeeded:
        return "succeeded, and is bad"
    if ended.phase == AgentUpgradePhase.UNRESOLVED:
        return "no journal was damaged"
    touched = ended.hit is not None
    if touched and ended.hit not in _ITS_OWN and bad is None and _blames(ended):
        return "is good, and is blamed"
    if not touched and not _as_expected(ended):
        return "nothing was hit"
    return None


def _as_expected(ended: Ended) -> bool:
    bad = ended.attempt.bad
    if bad is None:
        return ended.succeeded
    causes = {*bad.causes, *(_UNDONE if _UNDONE & set(bad.causes) else ())}
    return ended.phase == bad.phase and ended.cause in causes


def _blames(ended: Ended) -> bool:
    return ended.cause is not None and CauseKind(ended.cause).counts_against_release
