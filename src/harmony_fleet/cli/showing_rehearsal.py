"""What came of a rehearsal: in words, as a picture, and as one JSON document."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from harmony_fleet.cli.layout import Row, Table, lines
from harmony_fleet.cli.output import say, say_document, say_wrapped
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.words import NOTHING, count, exactly
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.simulation.picture import Drawing, Outage, instants, moment
from harmony_fleet.simulation.programs import MISSED
from harmony_fleet.simulation.rehearsal import Asked, Release, counted, ends_of, spans
from harmony_fleet.simulation.rehearsing import Rehearsed

ASSUMED: Final = (
    "A simulation: agents and operator are the shipped code; devices, network, disks and time are "
    "not real. See docs/rehearsing.md for what it assumes."
)
RELEASES: Final[Mapping[Release, str]] = {
    Release.GOOD: "a good release",
    Release.WRONG_BYTES: "a release whose bytes are not those that were ordered",
    Release.FAILS_SELF_TEST: "a release that fails its self-test",
    Release.HANGS_IN_SELF_TEST: "a release whose self-test never ends",
    Release.NEVER_READY: "a release that starts and never gets ready",
    Release.CANDIDATE_CRASHES: "a release that crashes as it starts",
    Release.CANDIDATE_SILENT: "a release that starts and is never heard",
    Release.LIES: "a release that says it is another version",
    Release.CRASH_AT_ONCE: "a release that crashes at once after its commit",
    Release.CRASH: "a release that crashes again and again after its commit",
    Release.HANG: "a release that hangs after its commit",
    Release.NO_CONTACT: "a release that has no contact after its commit",
    Release.REBOOTS: "a release that reboots the machine after its commit",
}
_TOLD: Final = (
    (Phase.CUTOVER_READY, "both versions ran"),
    (Phase.COMMITTED, "committed"),
    (Phase.SUCCEEDED, "succeeded"),
    (Phase.FAILED, "failed"),
    (Phase.ROLLED_BACK, "rolled back"),
)
_OLD: Final = frozenset({Phase.FAILED, Phase.ROLLED_BACK})


def show(settings: Settings, asked: Asked, found: Rehearsed, picture: Path | None) -> None:
    if settings.as_json:
        say_document(document(asked, found, picture))
        return
    for line in _story(asked, found):
        say_wrapped(line)
    say()
    for line in lines(_table(found)):
        say(line)
    say()
    worlds = count(found.worlds, "world")
    say(
        f"{moment(found.ends_s)} were simulated, in {worlds} with "
        f"{_number(asked.devices)} in all; that took {exactly(found.took_s)} of real time"
    )
    if picture is not None:
        say(f"picture: {picture}")


def _story(asked: Asked, found: Rehearsed) -> Iterator[str]:
    yield title(asked)
    yield from details(asked)
    yield ASSUMED
    yield ""
    reached = spans(found.changes)
    wide = max(len(words) for _, words in _TOLD)
    for phase, words in _TOLD:
        if (span := reached.get(phase)) is not None:
            when = f"the first after {exactly(span.first_s)}, the last after {exactly(span.last_s)}"
            when = when if span.devices > 1 else f"after {exactly(span.first_s)}"
            yield f"{words:{wide}}  {_number(span.devices)}: {when}"
    yield ""
    yield _in_the_end(found)
    yield f"left without a working agent: {_number(found.without_agent)}"
    without = _at_most(found.interrupted, found.longest_without_process_s)
    yield f"without a process of the agent for a moment: {without}"
    silent = f"{MISSED} heartbeats ({moment(MISSED * asked.heartbeat_s)})"
    yield f"not heard for {silent} or longer: {_at_most(found.silent, found.longest_silence_s)}"
    if asked.plane_outage_s and found.spared:
        yield f"not looked at during the outage: {_number(found.spared)}, ordered when it was over"


def _number(devices: int) -> str:
    return "1 device" if devices == 1 else f"{devices:,} devices"


def _at_most(devices: int, seconds: float) -> str:
    return _number(devices) + (f", {exactly(seconds)} at most" if devices else "")


def _in_the_end(found: Rehearsed) -> str:
    old = sum(n for (phase, _), n in found.ends.items() if phase in _OLD)
    new = sum(n for (phase, _), n in found.ends.items() if phase == Phase.SUCCEEDED)
    told = [f"{new:,} run the new version"] if new else []
    told += [f"{old:,} run the old one"] if old else []
    if found.devices > old + new:
        told.append(f"{found.devices - old - new:,} ended without a verdict")
    return f"in the end {' and '.join(told)}"


def _table(found: Rehearsed) -> Table:
    rows = (Row((str(n), phase, cause or NOTHING)) for phase, cause, n in ends_of(found.ends))
    return Table(("DEVICES", "PHASE", "CAUSE"), tuple(rows))


# The picture


def title(asked: Asked) -> str:
    return f"{_number(asked.devices)}, {RELEASES[asked.release]}"


def details(asked: Asked) -> Iterator[str]:
    """Two lines: what is done to them, and what they are set to."""
    ordered = "all ordered at once"
    if 0 < asked.at_once < asked.devices:
        ordered = f"ordered {asked.at_once:,} at once, every {moment(asked.every_s)}"
    away = [
        f"{one.words} for {moment(one.to_s - one.from_s)} from {moment(one.from_s)} on"
        for one in outages(asked)
    ]
    yield ", ".join((*away, ordered))
    download = f"{moment(asked.download_s)} to {moment(2 * asked.download_s)}"
    yield (
        f"probation {moment(asked.probation_s)}, heartbeat {moment(asked.heartbeat_s)}, "
        f"download {download}; simulated, seed {asked.seed}"
    )


def outages(asked: Asked) -> list[Outage]:
    found = (
        (asked.plane_outage_s, "message plane away"),
        (asked.operator_outage_s, "operator away"),
    )
    at_s = asked.outage_at_s
    return [Outage(at_s, at_s + for_s, words) for for_s, words in found if for_s]


def drawing_of(asked: Asked, found: Rehearsed) -> Drawing:
    last_s = max((change.at_s for change in found.changes), default=0.0)
    at = instants(max(1.0, 1.05 * last_s, *(one.to_s for one in outages(asked))))
    first, second = details(asked)
    numbers = counted(found.changes, asked.devices, at)
    return Drawing(title(asked), (first, second), asked.devices, at, numbers, tuple(outages(asked)))


# As JSON


def document(asked: Asked, found: Rehearsed, picture: Path | None) -> dict[str, Any]:
    return {
        "simulated": True,
        "assumptions": ASSUMED,
        "asked": {**asdict(asked), "release": str(asked.release)},
        "ends": [
            {"phase": str(phase), "cause": cause or None, "devices": n}
            for phase, cause, n in ends_of(found.ends)
        ],
        "reached": {str(phase): asdict(span) for phase, span in spans(found.changes).items()},
        "without_working_agent": found.without_agent,
        "without_process": _worst(found.interrupted, found.longest_without_process_s),
        "not_heard": _worst(found.silent, found.longest_silence_s),
        "ordered_after_the_outage": found.spared if outages(asked) else 0,
        "over_time": _over_time(asked, found),
        "violations": found.violations,
        "worlds": found.worlds,
        "simulated_s": round(found.ends_s, 3),
        "took_s": round(found.took_s, 1),
        "picture": None if picture is None else str(picture),
    }


def _worst(devices: int, seconds: float) -> dict[str, float]:
    return {"devices": devices, "longest_s": round(seconds, 3)}


def _over_time(asked: Asked, found: Rehearsed) -> dict[str, Any]:
    """As in the picture; `not_ordered` is no phase."""
    drawn = drawing_of(asked, found)
    phases = {str(phase) or "not_ordered": list(n) for phase, n in drawn.counts.items()}
    return {"at_s": [round(at_s, 3) for at_s in drawn.instants], "devices": phases}
