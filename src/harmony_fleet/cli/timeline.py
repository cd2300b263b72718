"""A device's history as a person reads it: a block for each upgrade, times counted from its order.

Pure. Every time is of the operator's clock: when it did something, and when it heard of something
that the device had done. What names no upgrade stands in the block of the one that it fell into,
else in a block of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from harmony_fleet.cli.views import CauseView, EventView, UpgradeView
from harmony_fleet.cli.words import cause_in_full, evidence_lines, exactly, time_of
from harmony_fleet.printable import printable

_OFFSET: Final = 13
_SIDE: Final = 8
_KIND: Final = 14
EVIDENCE: Final = 2 + _OFFSET + 2
"""Where evidence begins: it has long lines."""
INDENT: Final = EVIDENCE + _SIDE + 2 + _KIND + 2
"""Where the sentences begin."""
EVIDENCE_LINES: Final = 8


@dataclass(frozen=True, slots=True)
class Block:
    upgrade_id: str | None
    """None: what happened outside of any upgrade."""
    events: tuple[EventView, ...]
    upgrade: UpgradeView | None = None
    """As the operator keeps it; None where it keeps it no more."""

    @property
    def began_at(self) -> str:
        """The order; else the first thing that is still known."""
        return (self.upgrade.ordered_at if self.upgrade else "") or self.events[0].at


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    indent: int
    """Of what is broken off it."""


def blocks(events: Sequence[EventView], upgrades: Sequence[UpgradeView]) -> list[Block]:
    """In the order in which they began."""
    known = {upgrade.upgrade_id: upgrade for upgrade in upgrades}
    found: dict[tuple[str | None, int], list[EventView]] = {}
    outside = 0
    for event, upgrade_id in zip(events, _owners(events), strict=True):
        if upgrade_id is not None:
            outside += 1  # what comes after it begins another block
        found.setdefault((upgrade_id, 0 if upgrade_id else outside), []).append(event)
    return [
        Block(upgrade_id, tuple(own), known.get(upgrade_id) if upgrade_id else None)
        for (upgrade_id, _), own in found.items()
    ]


def _owners(events: Sequence[EventView]) -> Iterator[str | None]:
    """For each event its upgrade, or the newest one that was under way when it happened."""
    last = {event.upgrade_id: place for place, event in enumerate(events)}
    under_way: list[str] = []
    for place, event in enumerate(events):
        under_way = [one for one in under_way if last[one] > place]
        if event.upgrade_id is None:
            yield under_way[-1] if under_way else None
            continue
        if event.upgrade_id not in under_way:
            under_way.append(event.upgrade_id)
        yield event.upgrade_id


def head(block: Block) -> str:
    upgrade, began = block.upgrade, time_of(block.began_at)
    if block.upgrade_id is None:
        return f"outside of an upgrade, since {began}"
    if upgrade is None:
        return f"upgrade {block.upgrade_id}, kept no more; first known at {began}"
    way = f"{upgrade.from_version or 'nothing known'} to {upgrade.to_version}"
    took = _seconds(block.began_at, upgrade.since)
    after = f" after {exactly(took)}" if took is not None else ""
    state = f"{upgrade.phase}{after}" if upgrade.final else f"{upgrade.phase}, still under way"
    return f"{way}: {state}; ordered {began}, upgrade {block.upgrade_id}"


def lines(block: Block, *, whole: bool = False) -> Iterator[Line]:
    """One for each event, and the evidence below the report that it belongs to.

    Of the evidence the last lines, which say most, unless it is wanted `whole`.
    """
    blamed = _blamed(block)
    for event in block.events:
        offset = _seconds(block.began_at, event.at)
        when = f"+{exactly(max(0.0, offset))}" if offset is not None else time_of(event.at)
        words = f"  {when:>{_OFFSET}}  {event.side:{_SIDE}}  {printable(event.kind):{_KIND}}  "
        yield Line(words + printable(_sentence(event, block.upgrade)), INDENT)
        if event is blamed and block.upgrade and block.upgrade.cause:
            for line in _evidence(block.upgrade.cause, whole=whole):
                yield Line(f"{'':{EVIDENCE}}| {line}", EVIDENCE + 2)


def _evidence(cause: CauseView, *, whole: bool) -> list[str]:
    every = evidence_lines(cause)
    if whole or len(every) <= EVIDENCE_LINES:
        return every
    return ["… (all of it with --upgrade)", *every[1 - EVIDENCE_LINES :]]


def _blamed(block: Block) -> EventView | None:
    """The last event that says the cause which the upgrade ended with, or waits for."""
    cause = block.upgrade.cause if block.upgrade else None
    if cause is None:
        return None
    own = [event for event in block.events if event.upgrade_id == block.upgrade_id]
    said = [event for event in own if cause_in_full(cause) in printable(event.sentence)]
    return said[-1] if said else None


def _sentence(event: EventView, upgrade: UpgradeView | None) -> str:
    """Without the version before it, which the block's head says."""
    version = f"{upgrade.to_version}: " if upgrade else ""
    return event.sentence.removeprefix(version)


def _seconds(earlier: str, later: str) -> float | None:
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return None
