"""What an install does about the program that it finds on a device. Pure, and fit for Python 3.8.

Rules
1. While an upgrade may still have to be undone, an install changes nothing.
2. Where an agent runs, an install does not change its version: upgrades are the operator's.
3. A program in the link's place is kept at its versioned path before a link takes that place.
4. Two programs of one version are a contradiction that a person must solve.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

NOTHING = "nothing"
VERSION = "version"
PROGRAM = "program"
FOLDER = "folder"


@dataclass(frozen=True)
class Wanted:
    version: str
    sha256: str


@dataclass(frozen=True)
class Found:
    """On one device. The place is the link's."""

    place: str
    """NOTHING, also for a link that leads nowhere; VERSION, a link to a version's file; PROGRAM, a
    regular file, or a link to one that is elsewhere; FOLDER."""
    version: str | None = None
    """As the versioned path has it, or as the program says itself; None: it does not say it."""
    sha256: str = ""
    """Of the program in that place."""
    running: bool = False
    """The permanent unit has a process."""
    attempt_open: bool = False
    kept: dict[str, str] = field(default_factory=dict)
    """The digest of each version's file that matters here and is there."""


@dataclass(frozen=True)
class Decision:
    obstacle: str = ""
    """Why nothing can be done, and what to do; empty: there is none."""
    deliver: bool = False
    """The wanted version's file has to be brought."""
    preserve: str = ""
    """The version as which the program in the link's place is kept first."""
    link: str = ""
    """The version that the link is to lead to; empty: it stays as it is."""
    starts: str = ""
    """The version that the unit starts from then on; empty: one that does not say it."""
    took_over: bool = False
    remark: str = ""


def decide(found: Found, wanted: Wanted, link: str) -> Decision:
    """`link` is a path, for the sentences."""
    if found.attempt_open:
        return Decision(
            "an upgrade of this device may still have to be undone, which an install disturbs: "
            "wait until it has ended, or abort it; where no agent is alive there to end it, "
            "uninstall it first"
        )
    if found.place == FOLDER:
        return Decision(f"{link} is a folder, where the agent's link is to be: remove it")
    if found.place == PROGRAM:
        return _program(found, wanted, link)
    if found.place == VERSION and found.running and found.version != wanted.version:
        return Decision(starts=found.version or "", remark=_upgrade_it(found.version, wanted))
    leads_there = found.place == VERSION and found.version == wanted.version
    return _wanted(found, wanted, link="" if leads_there else wanted.version)


def _program(found: Found, wanted: Wanted, link: str) -> Decision:
    if found.version is None:
        return _nameless(found, wanted, link)
    kept = found.kept.get(found.version)
    beside = wanted.sha256 if found.version == wanted.version else kept
    if not {beside, kept} <= {None, found.sha256}:
        return Decision(
            f"{link} says that it is version {found.version}, and is another program than the one "
            "of that version: remove it, or install another version"
        )
    if found.version == wanted.version:
        return replace(_wanted(found, wanted, link=wanted.version), took_over=True)
    preserve = found.version if kept is None else ""
    if found.running:
        return Decision(
            preserve=preserve,
            link=found.version,
            starts=found.version,
            took_over=True,
            remark=_upgrade_it(found.version, wanted),
        )
    decision = _wanted(found, wanted, link=wanted.version)
    remark = f"version {found.version}, which was there and did not run, is kept"
    return replace(decision, preserve=preserve, took_over=True, remark=remark)


def _nameless(found: Found, wanted: Wanted, link: str) -> Decision:
    if not found.running:
        return Decision(
            f"{link} does not say its version (`--version`), and does not run as "
            "fleet-agent.service: it seems to be no agent; remove it"
        )
    decision = _wanted(found, wanted, link="")
    remark = f"{link} does not say its version: left as it is, its first upgrade will keep it"
    return replace(decision, starts="", took_over=True, remark=remark)


def _wanted(found: Found, wanted: Wanted, link: str) -> Decision:
    deliver = found.kept.get(wanted.version) != wanted.sha256
    return Decision(deliver=deliver, link=link, starts=wanted.version)


def _upgrade_it(version: str | None, wanted: Wanted) -> str:
    return f"runs {version}, and goes on with it: order an upgrade to have {wanted.version}"
