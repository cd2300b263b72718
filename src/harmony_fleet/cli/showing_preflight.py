"""A preflight's findings: one row for each device, and below the rows what was found, each once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from harmony_fleet.cli.errors import FAILED, CommandFailed
from harmony_fleet.cli.layout import Row, Table, lines, name_for
from harmony_fleet.cli.output import on_terminal, say, say_answer, say_wrapped
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import CheckView, Preflights, PreflightView, read
from harmony_fleet.cli.words import NOTHING, count, named
from harmony_fleet.contracts.preflight import CheckState
from harmony_fleet.printable import printable

ANSWER_LIMIT_S: Final = 900.0
"""The operator asks 64 devices at once, and gives each half a minute."""
HEADERS: Final = ("DEVICE", "VERDICT", "FINDINGS")
WORKS: Final = frozenset({CheckState.OK, CheckState.WARNING})

_WORST_FIRST: Final = (CheckState.FAILED, CheckState.UNKNOWN, CheckState.WARNING, CheckState.OK)
_WORDS: Final = {
    CheckState.OK: "would work",
    CheckState.WARNING: "would work with a warning",
    CheckState.FAILED: "would not work",
    CheckState.UNKNOWN: "unknown",
}


def show(settings: Settings, answer: bytes) -> int:
    """The exit status. Raises CommandFailed: there is no device at all."""
    results = read(Preflights, answer).results
    if settings.as_json:
        say_answer(answer)
    if not results:
        raise CommandFailed("there is no device yet: start some with `fleet device start-local 3`")
    if not settings.as_json:
        _say(results)
    return 0 if all(one.verdict in WORKS for one in results) else FAILED


def _say(results: Sequence[PreflightView]) -> None:
    if on_terminal():
        from harmony_fleet.cli.render import Screen

        screen = Screen()
        screen.show(for_terminal(results, screen.columns))
        for line in findings(results):
            say_wrapped(line, indent=4)
    else:
        for line in lines(for_pipe(results)):
            say(line)
    say(closing(results))


def for_pipe(results: Sequence[PreflightView]) -> Table:
    """Every sentence in its device's row."""
    rows = (Row((one.device_id, str(one.verdict), _in_full(one))) for one in results)
    return Table(HEADERS, tuple(rows))


def for_terminal(results: Sequence[PreflightView], columns: int) -> Table:
    """The names of what was found: the sentences have no room."""
    rows = (
        Row(
            (name_for(columns, one.device_id), str(one.verdict), _in_short(one)),
            one.verdict,
            phase_cell=1,
        )
        for one in results
    )
    return Table(HEADERS, tuple(rows))


def findings(results: Sequence[PreflightView]) -> list[str]:
    """The worst first, each sentence once, with the devices that said it."""
    said: dict[tuple[CheckState, str], list[str]] = {}
    for one in results:
        for check in _found(one):
            said.setdefault((check.state, _sentence(check)), []).append(one.device_id)
    worst = sorted(said.items(), key=lambda item: _WORST_FIRST.index(item[0][0]))
    return [f"{named(devices)}: {sentence}" for (_, sentence), devices in worst]


def closing(results: Sequence[PreflightView]) -> str:
    counted = Counter(one.verdict for one in results)
    told = (f"{counted[state]} {_WORDS[state]}" for state in reversed(_WORST_FIRST))
    parts = [part for part in told if not part.startswith("0 ")]
    return f"{count(len(results), 'device')}: {', '.join(parts)}"


def _found(one: PreflightView) -> Iterable[CheckView]:
    return (check for check in one.checks if check.state is not CheckState.OK)


def _in_full(one: PreflightView) -> str:
    return "; ".join(_sentence(check) for check in _found(one)) or NOTHING


def _in_short(one: PreflightView) -> str:
    return ", ".join(f"{printable(c.name)} {c.state}" for c in _found(one)) or NOTHING


def _sentence(check: CheckView) -> str:
    return f"{printable(check.name)} {check.state}: {printable(check.detail)}"
