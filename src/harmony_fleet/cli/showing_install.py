"""What became of each device of an install or an uninstall, in words, and as one JSON document."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from harmony_fleet.cli.layout import Row, Table, lines
from harmony_fleet.cli.output import on_terminal, say, say_document
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.words import NOTHING, count
from harmony_fleet.install.ansible import Outcome
from harmony_fleet.install.targets import Target
from harmony_fleet.printable import printable

HEADERS: Final = ("HOST", "DEVICE", "STATE", "VERSION", "REMARK")
FAILED_CHECK: Final = "FAILED "
"""As a line of the agent's self-test begins."""
MOST_WORDS: Final = 600
"""Characters of a cause; ssh and Ansible can say much more."""

_HINTS: Final = {
    "Host key verification failed": "log in by ssh once, and check its key",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "its key is not the one that this machine knows",
    "Permission denied": "give the right --user and --ssh-key",
    "Missing sudo password": "--become takes a sudo that asks for no password",
}


class State(StrEnum):
    INSTALLED = "installed"
    TAKEN_OVER = "taken over"
    UNCHANGED = "unchanged"
    UNINSTALLED = "uninstalled"
    NOT_THERE = "not there"
    WOULD_CHANGE = "would change"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    host: str
    device_id: str | None
    state: State
    version: str = ""
    """That it was heard to run; before that, the one that its unit starts."""
    changed: tuple[str, ...] = ()
    remark: str = ""
    cause: str = ""
    started: bool = False
    """Its agent was started or restarted."""


def of_install(target: Target, outcome: Outcome, check: bool) -> Result:
    report = outcome.report
    return Result(
        target.host,
        target.device_id,
        State.FAILED if outcome.failed else _installed(outcome, check),
        version=str(report.get("starts", "")),
        changed=outcome.changed,
        remark=str(report.get("remark", "")),
        cause=_cause(outcome),
        started=bool(report.get("started", False)),
    )


def of_uninstall(target: Target, outcome: Outcome, check: bool) -> Result:
    removed = tuple(map(str, outcome.report.get("removed", ())))
    if outcome.failed:
        state = State.FAILED
    elif not removed and not outcome.changed:
        state = State.NOT_THERE
    else:
        state = State.WOULD_CHANGE if check else State.UNINSTALLED
    changed = tuple(f"Remove {path}" for path in removed)
    return Result(target.host, None, state, changed=changed, cause=_cause(outcome))


def not_heard(limit_s: float, self_test: str) -> str:
    """`self_test`: what the device's own said, if it could be asked."""
    failed = [line for line in self_test.splitlines() if line.startswith(FAILED_CHECK)]
    found = "; ".join(line.removeprefix(FAILED_CHECK).strip() for line in failed)
    why = found or "its self-test finds nothing, see `journalctl -u fleet-agent` there"
    return f"is installed, and was not heard within {limit_s:g} s: {why}"


def show(settings: Settings, results: Sequence[Result], check: bool) -> None:
    if settings.as_json:
        say_document({"check": check, "devices": [_document(one) for one in results]})
        return
    for line in lines(Table(HEADERS, tuple(map(_row, results)))):
        say(line.rstrip())
    for one in results if check else ():
        for what in one.changed:
            say(f"{one.host}: would {what[:1].lower()}{printable(what[1:])}")
    say(_closing(results, check))


@contextmanager
def progress(settings: Settings, hosts: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """On a terminal, what is just being done; it is gone afterwards."""
    if settings.as_json or not on_terminal():
        yield lambda _: None
        return
    from harmony_fleet.cli.render import passing

    with passing(f"reaching {count(hosts, 'host')}") as tell:
        yield lambda event: tell(_doing(event))


def _doing(event: Mapping[str, Any]) -> str:
    if "host" not in event:
        return "ending"
    return f"{printable(str(event['host']))}: {printable(str(event.get('task', '')))}"


def _installed(outcome: Outcome, check: bool) -> State:
    if not outcome.changed:
        return State.UNCHANGED
    if check:
        return State.WOULD_CHANGE
    return State.TAKEN_OVER if outcome.report.get("took_over") else State.INSTALLED


def _cause(outcome: Outcome) -> str:
    if not outcome.failed:
        return ""
    words = " ".join(outcome.message.split()) or "Ansible did not come to its end there"
    hint = next((hint for said, hint in _HINTS.items() if said in words), "")
    words = words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"
    return f"{words}: {hint}" if hint else words


def _document(result: Result) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if name != "started"}


def _row(result: Result) -> Row:
    said = "; ".join(word for word in (result.cause, result.remark) if word)
    cells = (
        printable(result.host),
        result.device_id or NOTHING,
        str(result.state),
        printable(result.version) or NOTHING,
        printable(said) or NOTHING,
    )
    return Row(cells)


def _closing(results: Sequence[Result], check: bool) -> str:
    quiet = {State.UNCHANGED, State.NOT_THERE}
    failed = sum(one.state is State.FAILED for one in results)
    changed = sum(one.state not in {State.FAILED, *quiet} for one in results)
    if failed:
        return f"{failed} of {count(len(results), 'device')} failed"
    if not changed:
        would = "nothing would be changed" if check else "nothing was changed"
        return f"{would} ({count(len(results), 'device')})"
    return f"{count(changed, 'device')} {'would be changed' if check else 'changed'}"
