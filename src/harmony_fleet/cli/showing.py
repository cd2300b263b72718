"""The three ways to show upgrades under way: a picture, lines in a pipe, JSON lines."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harmony_fleet.cli.following import Followed, changed, tally
from harmony_fleet.cli.layout import PHASE, Row, Table, name_for, phase_and_progress
from harmony_fleet.cli.output import on_terminal, remark, say, say_line, say_wrapped
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.words import (
    NOTHING,
    cause_in_full,
    count,
    duration,
    evidence_lines,
    named,
    percent,
)
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.printable import printable

if TYPE_CHECKING:
    from harmony_fleet.cli.render import Picture

EVIDENCE_LINES = 8
"""The last ones say most; `fleet why` and `fleet device show` have all."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at the upgrades that are waited for."""

    before: Sequence[Followed]
    """At the last look; empty at the first one, which is the order itself."""
    now: list[Followed]
    elapsed_s: float


class Show(Protocol):
    def step(self, moment: Moment) -> None:
        """After each look, also where nothing has changed."""

    def lost(self, sentence: str) -> None:
        """After each look that found no operator."""

    def end(self, followed: list[Followed], elapsed_s: float) -> None: ...


@contextmanager
def show_for(settings: Settings) -> Iterator[Show]:
    if settings.as_json:
        yield JsonLines()
    elif on_terminal():
        from harmony_fleet.cli.render import Screen

        with Screen().live() as picture:
            yield Live(picture)
    else:
        yield PlainLines()


class _Remarks:
    """Says an absence of the operator once."""

    def __init__(self) -> None:
        self._is_lost = False

    def lost(self, sentence: str) -> None:
        if not self._is_lost:
            remark(f"fleet: {sentence} (trying again)")
        self._is_lost = True

    def found(self) -> None:
        self._is_lost = False


class PlainLines(_Remarks):
    def step(self, moment: Moment) -> None:
        self.found()
        for one in changed(moment.before, moment.now):
            phase = one.phase if moment.before else "ordered"
            cause = f"  {cause_in_full(one.cause)}" if one.cause else ""
            say(f"{one.device_id}  {one.to_version}  {phase}{cause}")

    def end(self, followed: list[Followed], elapsed_s: float) -> None:
        for line in failures(followed):
            say(line)
        say(closing(followed, elapsed_s))


class JsonLines(_Remarks):
    """One line for each transition; the last one has `outcome`."""

    def step(self, moment: Moment) -> None:
        self.found()
        for one in changed(moment.before, moment.now):
            say_line(document(one))

    def end(self, followed: list[Followed], elapsed_s: float) -> None:
        last = {"outcome": outcome(followed), "elapsed_s": round(elapsed_s, 1)}
        say_line({**last, "devices": [document(one) for one in followed]})


class Live:
    def __init__(self, picture: "Picture") -> None:
        self._picture = picture
        self._last = Moment((), [], 0.0)

    def step(self, moment: Moment) -> None:
        self._last = moment
        self._draw()

    def lost(self, sentence: str) -> None:
        self._draw(note=f"{sentence} (trying again)")

    def end(self, followed: list[Followed], elapsed_s: float) -> None:
        self._picture.draw(
            closing(followed, elapsed_s), table_of(followed, self._picture.columns), whole=True
        )
        self._picture.stop()
        for line in failures(followed):
            say_wrapped(line, indent=4)

    def _draw(self, note: str = "") -> None:
        """What is under way comes first where not all fit: it must not be what is left out."""
        followed = self._last.now
        if len(followed) > self._picture.room:
            followed = sorted(followed, key=lambda one: one.final)
        title = f"{tally(followed)} after {duration(self._last.elapsed_s)}"
        self._picture.draw(title, table_of(followed, self._picture.columns), note)


def table_of(followed: list[Followed], columns: int) -> Table:
    rows = tuple(_row(one, columns) for one in followed)
    return Table(("DEVICE", "FROM", "TO", PHASE, ""), rows)


def _row(one: Followed, columns: int) -> Row:
    progress = percent(one.progress) if one.phase is Phase.STAGING else NOTHING
    cells = (
        name_for(columns, one.device_id),
        one.from_version or NOTHING,
        one.to_version,
        phase_and_progress(one.phase, progress),
        _note(one),
    )
    return Row(cells, one.phase, phase_cell=3)


def _note(one: Followed) -> str:
    if one.cause is not None:
        return cause_in_full(one.cause)
    return f"waits for {printable(one.waits_for)}" if one.waits_for and not one.final else ""


def failures(followed: list[Followed]) -> list[str]:
    """Each cause once, with the devices that it stopped and the last of one's evidence below it."""
    stopped: dict[str, list[Followed]] = {}
    for one in followed:
        if one.final and not one.succeeded:
            cause = cause_in_full(one.cause) if one.cause else "no cause was given"
            stopped.setdefault(f"{one.phase}, {cause}", []).append(one)
    found = []
    for why, devices in stopped.items():
        found.append(f"{named([one.device_id for one in devices])}: {why}")
        found += [f"    {line}" for line in _evidence(devices[0])]
    return found


def _evidence(one: Followed) -> list[str]:
    return evidence_lines(one.cause)[-EVIDENCE_LINES:] if one.cause else []


def closing(followed: list[Followed], elapsed_s: float) -> str:
    return f"{count(len(followed), 'upgrade')}: {tally(followed)} after {duration(elapsed_s)}"


def outcome(followed: list[Followed]) -> str:
    if not all(one.final for one in followed):
        return "timed_out"
    return "succeeded" if all(one.succeeded for one in followed) else "failed"


def document(one: Followed) -> dict[str, Any]:
    """One upgrade's state, in words that are the API's."""
    names = ("device_id", "upgrade_id", "from_version", "to_version", "phase", "final", "cause")
    every = asdict(one)
    return {name: every[name] for name in names}
