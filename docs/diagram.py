"""Draws docs/upgrade-states.md by running the device's machine itself.

    python docs/diagram.py            # writes it
    python docs/diagram.py --check    # exits 1 where the file differs from what would be written

Every edge is a step that `machine.step` made, over the samples that the tests use, too: what is
drawn can happen, and nothing is drawn by hand.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harmony_fleet.agent.upgrade.events import (
    GuardStarted,
    JournalRead,
    OrderRead,
    OrderUnusable,
    PrimaryStarted,
    Reported,
    ServiceStopping,
    StopReceived,
    TimeRanOut,
)
from harmony_fleet.agent.upgrade.states import (
    GuardDone,
    Leaving,
    Party,
    Probation,
    Starting,
    State,
    Trial,
)
from harmony_fleet.contracts.upgrade import Desired
from harmony_fleet.testing.upgrade_samples import NEW, OLD, Move, moves

PAGE = Path(__file__).with_name("upgrade-states.md")

HEAD = """\
# What one device does about an upgrade

Drawn by `docs/diagram.py`, which runs the shipped state machine over every pair of a state and an
event; do not edit it by hand (`make reference`). The rules, in words, are in protocol.md; the
decisions are in `src/harmony_fleet/agent/upgrade/machine.py`. An edge names the events that lead
along it; a state that an event leaves as it is has no edge for it, and from every state but
`Starting` SIGTERM (`ServiceStopping`) leads out in the end.
"""

PARTS = {
    Party.OLD: """\
## The old primary

It stages, verifies, cuts over, and waits for the operator's stop; leaving with exit status 75 is
the handover. Whoever idles is the old version of the next upgrade.
""",
    Party.NEW: """\
## The new primary

Committed by the operator it is in `Probation`; started without a guard before any commit it is on
`Trial`.
""",
    Party.GUARD: """\
## The guard

The previous version's code, before each start of the primary: in `GuardDone` the start goes on,
through the link. It does nothing where there is no `previous`, or where it is not the version that
this attempt would go back to.
""",
}


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    before: str
    after: str
    event: str


def parties(move: Move) -> set[Party]:
    """In whose diagram this step belongs."""
    if isinstance(move.event, GuardStarted):
        return {Party.GUARD}
    if isinstance(move.event, PrimaryStarted):
        return {Party.OLD} if move.event.running == OLD else {Party.NEW}
    party: Party | None = getattr(move.before, "party", None)
    if party is not None:
        return {party}
    if isinstance(move.before, Trial | Probation):
        return {Party.NEW}
    return set() if isinstance(move.before, Leaving | GuardDone) else {Party.OLD}


_FROM_OUTSIDE = (
    OrderRead,
    OrderUnusable,
    Reported,
    ServiceStopping,
    StopReceived,
    TimeRanOut,
)


def belongs(move: Move, party: Party) -> bool:
    """Without what the words say: other binaries, a guard with nothing to do."""
    event = move.event
    if isinstance(event, PrimaryStarted) and event.running not in {OLD, NEW}:
        return False
    if isinstance(event, GuardStarted):
        lost_at_once = event.starts_allowed == 0 and not isinstance(event.found, JournalRead)
        if event.running != OLD or event.previous is None or lost_at_once:
            return False
    if party is Party.GUARD and isinstance(event, _FROM_OUTSIDE):
        return False
    return party in parties(move)


def edges_of(party: Party) -> list[Edge]:
    found = {
        Edge(_name(move.before), _name(move.after), _label(move))
        for move in moves()
        if belongs(move, party) and move.before != move.after
    }
    return sorted(found)


def _name(state: State) -> str:
    if isinstance(state, Leaving):
        return f"Leaving{state.code}"
    return type(state).__name__


def _label(move: Move) -> str:
    event = move.event
    if isinstance(event, PrimaryStarted | GuardStarted):
        return _journal(event)
    if isinstance(event, TimeRanOut):
        return f"TimeRanOut({event.deadline})"
    if isinstance(event, OrderRead):
        return _order(move.before, event)
    return type(event).__name__


def _journal(event: PrimaryStarted | GuardStarted) -> str:
    """The stage that the journal is found in decides about a start."""
    if not isinstance(event.found, JournalRead):
        return "no journal"
    attempt = event.found.journal.open_attempt
    return f"journal: {attempt.stage}" if attempt else "journal: nothing open"


def _order(before: State, event: OrderRead) -> str:
    highest = 0 if isinstance(before, Starting) else before.journal.highest
    if event.marker.generation > highest:
        return "OrderRead(newer)"
    return "OrderRead(abort)" if event.marker.desired is Desired.ABORT else "OrderRead"


def diagram(party: Party) -> str:
    edges = edges_of(party)
    lines = ["stateDiagram-v2", "    [*] --> Starting"]
    lines += [f'    state "Leaving, exit {code}" as Leaving{code}' for code in _codes(edges)]
    for before, after in sorted({(edge.before, edge.after) for edge in edges}):
        labels = sorted(
            edge.event for edge in edges if (edge.before, edge.after) == (before, after)
        )
        lines.append(f"    {before} --> {after}: {_folded(labels)}")
    lines += [f"    {end} --> [*]" for end in _ends(edges)]
    drawn = "\n".join(lines)
    return f"\n{PARTS[party]}\n```mermaid\n{drawn}\n```\n"


def _folded(labels: Iterable[str]) -> str:
    """Of one family its members once: `TimeRanOut(stop, overall)`."""
    families: dict[str, list[str]] = {}
    for label in labels:
        family, _, member = re.sub(r"\)$", "", label.replace(": ", "(", 1)).partition("(")
        families.setdefault(family, []).append(member)
    return "<br>".join(
        f"{family}({', '.join(filter(None, members))})" if any(members) else family
        for family, members in families.items()
    )


def _codes(edges: Iterable[Edge]) -> list[str]:
    names = {edge.after for edge in edges}
    return sorted(name.removeprefix("Leaving") for name in names if name.startswith("Leaving"))


def _ends(edges: Iterable[Edge]) -> list[str]:
    names = {edge.after for edge in edges}
    return sorted(name for name in names if name.startswith("Leaving") or name == "GuardDone")


def page() -> str:
    return HEAD + "".join(diagram(party) for party in Party)


def main(arguments: list[str]) -> int:
    drawn = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == drawn:
            return 0
        print(f"{PAGE} is not what the code does: run `make reference`.", file=sys.stderr)  # noqa: T201
        return 1
    PAGE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
