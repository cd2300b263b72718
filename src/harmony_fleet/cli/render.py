"""Layouts on a terminal: colours by phase, lines cut at its width, and pictures that change.

The only module that loads rich; NO_COLOR is honoured by it. In a pipe nothing here is used.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from harmony_fleet.cli.layout import GAP, Row, Table, padded, widths
from harmony_fleet.contracts.preflight import CheckState
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

STYLES: Final[Mapping[Phase | CheckState, str]] = {
    CheckState.OK: "green",
    CheckState.WARNING: "yellow",
    CheckState.FAILED: "bold red",
    CheckState.UNKNOWN: "magenta",
    Phase.PENDING: "dim",
    Phase.STAGING: "cyan",
    Phase.VERIFYING: "cyan",
    Phase.CUTOVER_READY: "blue",
    Phase.COMMITTED: "yellow",
    Phase.REVERTING: "yellow",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "bold red",
    Phase.ROLLED_BACK: "bold red",
    Phase.UNRESOLVED: "magenta",
    Phase.NEVER_STARTED: "magenta",
    Phase.UNKNOWN: "magenta",
}
_HEAD: Final = "bold"
_SILENT: Final = "red"
_KEPT_LINES: Final = 5
"""Of a terminal's height: title, headers, what is left out, a note, and the cursor's line."""


@contextmanager
def passing(first: str) -> Iterator[Callable[[str], None]]:
    """One line on stderr that says what is being done, and is gone afterwards."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with console.status(Text(first)) as status:
        yield lambda line: status.update(Text(line, overflow="ellipsis", no_wrap=True))


class Screen:
    """The terminal that stdout is."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)

    @property
    def columns(self) -> int:
        return self._console.width

    def show(self, table: Table) -> None:
        for line in _lines(table, self.columns):
            self._console.print(line)

    @contextmanager
    def live(self) -> Iterator["Picture"]:
        """A picture that is drawn anew in place; its last state stays when this ends."""
        with Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as live:
            yield Picture(self._console, live)


class Picture:
    """Made by `Screen.live`."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console, self._live = console, live

    @property
    def columns(self) -> int:
        return self._console.width

    @property
    def room(self) -> int:
        """So many rows fit on the terminal as it is now."""
        return max(1, self._console.height - _KEPT_LINES)

    def draw(self, title: str, table: Table, note: str = "", *, whole: bool = False) -> None:
        """The rows that fit; `whole` for the last time, when what scrolls away does no harm."""
        room = len(table.rows) if whole else self.room
        parts = [Text(title, _HEAD), *_lines(table, self.columns)[: room + 1]]
        if len(table.rows) > room:
            parts.append(Text(f"… and {len(table.rows) - room} more", "dim"))
        if note:
            parts.append(Text(note, "yellow"))
        self._live.vertical_overflow = "visible" if whole else "ellipsis"
        self._live.update(Group(*(_cut(part, self.columns) for part in parts)), refresh=True)

    def stop(self) -> None:
        """What is said from now on stands below the last picture."""
        self._live.stop()


def _lines(table: Table, columns: int) -> list[Text]:
    wide = widths(table)
    head = Text(GAP.join(padded(table.headers, wide)), _HEAD)
    return [_cut(line, columns) for line in [head, *(_line(row, wide) for row in table.rows)]]


def _line(row: Row, wide: tuple[int, ...]) -> Text:
    line = Text()
    for number, cell in enumerate(padded(row.cells, wide)):
        line.append(cell, _style(row, number)).append(GAP)
    line.rstrip()
    return line


def _style(row: Row, number: int) -> str:
    if number == row.phase_cell and row.phase is not None:
        return STYLES[row.phase]
    return _SILENT if number == row.silent_cell else ""


def _cut(line: Text, columns: int) -> Text:
    line.truncate(columns, overflow="ellipsis")
    line.no_wrap = True
    return line
