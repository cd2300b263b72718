"""The program's files on this device: what a preflight makes of what was found. Pure.

What the upgrade itself puts right is a warning at most: it points the link and `previous` anew, and
writes the file to go back to once more where the program that runs still holds the right bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.preflight import Check, CheckName, CheckState, check
from harmony_fleet.contracts.upgrade import AgentUpgradePhase


class Kind(StrEnum):
    """What lies at a link's place."""

    LINK = "link"
    FILE = "file"
    NOTHING = "nothing"
    OTHER = "other"
    """A folder, or a device: nothing that a link can take the place of."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a link is to be."""

    path: str
    kind: Kind
    leads_to: str = ""
    """A link's text."""
    version: str | None = None
    """Whose file in the versions' folder it leads to."""
    flaw: str | None = None
    """Why that file cannot be run, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """The version that runs: what an upgrade would go back to."""

    version: str
    kept: str
    """The path of its file."""
    damage: str | None
    """Why the file is not the one to go back to, as the end of a sentence."""
    known: bool
    """Its digest is known: the journal recorded it, or it was read from what runs."""
    mendable: bool
    """The program that runs is held open, and has that digest."""
    clash: bool = False
    """The link's place holds a plain file, and another program is kept as that version."""


def judge_link(place: Place, running: str) -> Check:
    match place.kind:
        case Kind.LINK if place.version == running and place.flaw is None:
            return _link(CheckState.OK, f"leads to version {running}, which runs")
        case Kind.LINK if place.version == running:
            return _link(CheckState.WARNING, f"leads to version {running}, whose file {place.flaw}")
        case Kind.LINK:
            elsewhere = place.version or place.leads_to
            words = f"leads to {elsewhere}, while version {running} runs: a restart would change it"
            return _link(CheckState.WARNING, words)
        case Kind.FILE:
            words = "is a plain file: the first upgrade keeps it, and puts a link in its place"
            return _link(CheckState.OK, f"{place.path} {words}")
        case Kind.NOTHING:
            words = "is gone, so the service could not be started again: put the link back"
            return _link(CheckState.WARNING, f"{place.path} {words}")
        case Kind.OTHER:
            words = "is neither a link nor a file, so no link can take its place: remove it"
            return _link(CheckState.FAILED, f"{place.path} {words}")
        case _:
            assert_never(place.kind)


def _link(state: CheckState, words: str) -> Check:
    return check(CheckName.LINK, state, words)


def judge_previous(place: Place, journal: Journal) -> Check:
    """Where it is missing, no guard runs until the next upgrade points it anew."""
    unguarded = "until the next upgrade no guard stands before a start"
    match place.kind:
        case Kind.LINK if place.version is not None and place.flaw is None:
            return _previous(CheckState.OK, f"leads to version {place.version}")
        case Kind.LINK:
            flaw = place.flaw or "is no version's file"
            words = f"{place.path} leads to {place.leads_to}, which {flaw}: {unguarded}"
            return _previous(CheckState.WARNING, words)
        case Kind.NOTHING if not _was_cut_over(journal):
            return _previous(CheckState.OK, "there is none before the first cutover")
        case Kind.NOTHING | Kind.FILE:
            gone = "is gone" if place.kind is Kind.NOTHING else "is no link"
            return _previous(CheckState.WARNING, f"{place.path} {gone}: {unguarded}")
        case Kind.OTHER:
            words = "is neither a link nor a file, so no link can take its place: remove it"
            return _previous(CheckState.FAILED, f"{place.path} {words}")
        case _:
            assert_never(place.kind)


def _was_cut_over(journal: Journal) -> bool:
    """An upgrade came so far, once: only then is there a version that guards."""
    if journal.installed is not None:
        return True
    return any(one.phase is AgentUpgradePhase.ROLLED_BACK for one in journal.ended)


def _previous(state: CheckState, words: str) -> Check:
    return check(CheckName.PREVIOUS, state, words)


def judge_target(target: Target) -> Check:
    if target.clash:
        words = "and the plain file in the link's place are different programs: remove the former"
        return _target(CheckState.FAILED, f"{target.kept} {words}")
    if target.damage is None:
        how = "has the digest that is known of it" if target.known else "is whole by its own sums"
        return _target(CheckState.OK, f"the file of version {target.version} {how}")
    if target.mendable:
        mend = "the upgrade writes it anew from the program that runs"
        return _target(CheckState.WARNING, f"{mend}, since {target.kept} {target.damage}")
    mend = "put that version's file there again"
    return _target(CheckState.FAILED, f"{mend}, since {target.kept} {target.damage}")


def _target(state: CheckState, words: str) -> Check:
    return check(CheckName.ROLLBACK_TARGET, state, words)


def judge_quarantine(sha256: str, quarantined: Sequence[str]) -> Check:
    if sha256 in quarantined:
        words = "this very artifact failed on this device before: order it with --retry"
        return check(CheckName.QUARANTINE, CheckState.FAILED, words)
    return check(CheckName.QUARANTINE, CheckState.OK, "this artifact has not failed here before")
