"""What a person wants rehearsed, as scenarios; and what came of it, as devices by phase. Pure.

Devices meet nowhere but at the message plane and the operator, and how much these can bear is not
simulated. So a fleet is rehearsed in shares of some devices: each share is a world with an operator
and a plane of its own, and the same outages at the same instants, of the operators too.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harmony_fleet.agent.config import HeartbeatConfig, UpgradeConfig
from harmony_fleet.simulation.picture import NOT_ORDERED
from harmony_fleet.simulation.programs import FIRST, Behaviour, Durations, Pace, Program
from harmony_fleet.simulation.scenario import OPERATORS, Ask, Fault, FaultKind, Scenario

SHARE: Final = 100
"""Devices of one world: more of them make it no faster, and need more memory at once."""
NEXT: Final = "1.1.0"
LEAD_S: Final = 15.0
"""A world begins so long before its order, or before an outage that its devices know of."""
LATER_S: Final = 120.0
"""An outage is over for a device after this: it has long connected again."""


class Release(StrEnum):
    """What is wrong with the release, by names for people."""

    GOOD = "none"
    WRONG_BYTES = "wrong-bytes"
    FAILS_SELF_TEST = "fails-self-test"
    HANGS_IN_SELF_TEST = "hangs-in-self-test"
    NEVER_READY = "never-ready"
    CANDIDATE_CRASHES = "candidate-crashes"
    CANDIDATE_SILENT = "candidate-silent"
    LIES = "lies-about-its-version"
    CRASH_AT_ONCE = "crash-at-once-after-commit"
    CRASH = "crash-after-commit"
    HANG = "hang-after-commit"
    NO_CONTACT = "no-contact-after-commit"
    REBOOTS = "reboots-after-commit"


BEHAVIOURS: Final[Mapping[Release, Behaviour]] = {
    Release.GOOD: Behaviour.GOOD,
    Release.WRONG_BYTES: Behaviour.WRONG_BYTES,
    Release.FAILS_SELF_TEST: Behaviour.FAILS_SELF_TEST,
    Release.HANGS_IN_SELF_TEST: Behaviour.HANGS_IN_SELF_TEST,
    Release.NEVER_READY: Behaviour.CANDIDATE_NEVER_READY,
    Release.CANDIDATE_CRASHES: Behaviour.CANDIDATE_DIES_AT_ONCE,
    Release.CANDIDATE_SILENT: Behaviour.CANDIDATE_SILENT,
    Release.LIES: Behaviour.LIES,
    Release.CRASH_AT_ONCE: Behaviour.CRASHES_AT_ONCE,
    Release.CRASH: Behaviour.CRASHES_LATER,
    Release.HANG: Behaviour.HANGS,
    Release.NO_CONTACT: Behaviour.NO_CONTACT,
    Release.REBOOTS: Behaviour.REBOOTS,
}
FAILS_LATER: Final = frozenset({Release.CRASH, Release.HANG, Release.REBOOTS})
"""These do so `fails_after_s` after each of their starts."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Durations in seconds; outages begin so long after the first order."""

    devices: int
    release: Release = Release.GOOD
    plane_outage_s: float = 0.0
    operator_outage_s: float = 0.0
    outage_at_s: float = 10.0
    at_once: int = 0
    """0: all."""
    every_s: float = 900.0
    probation_s: float = 600.0
    heartbeat_s: float = 30.0
    download_s: float = 5.0
    fails_after_s: float = 20.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Share:
    scenario: Scenario
    begins_s: float
    """On the rehearsal's clock, whose 0 is the first order."""


@dataclass(frozen=True, slots=True)
class Change:
    """The operator knows of a device's new phase."""

    at_s: float
    before: str
    phase: str


def durations_of(asked: Asked) -> Durations:
    """The product's own defaults, where nothing else is asked for."""
    pace = Pace(
        self_test=1.0,
        download=asked.download_s,
        download_spread=asked.download_s,
        download_gives_up=60.0,
        crash=asked.fails_after_s,
        start_limit=60.0,
        watchdog=30.0,
        stop_limit=20.0,
        boot=20.0,
        deadman=60.0,
    )
    upgrade = UpgradeConfig(probation_s=asked.probation_s)
    bounds_s = (upgrade.overall_limit_s, asked.probation_s, asked.download_s, asked.heartbeat_s)
    return Durations(
        pace,
        HeartbeatConfig(asked.heartbeat_s, min(1.0, asked.heartbeat_s)),
        upgrade,
        reconnect_max_s=30.0,
        relist_s=300.0,
        command_limit_s=5.0,
        patience_s=asked.operator_outage_s + LATER_S,
        looks_s=10.0,
        quiet_limit_s=3600.0 + 2 * sum(bounds_s) + 10 * asked.fails_after_s,
    )


def shares(asked: Asked) -> Iterator[Share]:
    """All of one share are ordered at one instant."""
    group = asked.at_once or asked.devices
    first, number = 0, 0
    while first < asked.devices:
        end_of_group = min(asked.devices, (first // group + 1) * group)
        last = min(first + SHARE, end_of_group)
        yield _share(asked, number, range(first, last), (first // group) * asked.every_s)
        first, number = last, number + 1


def _share(asked: Asked, number: int, devices: range, ordered_s: float) -> Share:
    begins_s = _begins_s(asked, ordered_s)
    names = tuple(f"dev-{one + 1}" for one in devices)
    asks = tuple(Ask(ordered_s - begins_s, name, NEXT) for name in names)
    programs = (Program(FIRST), Program(NEXT, BEHAVIOURS[asked.release]))
    scenario = Scenario(
        asked.seed * 1_000_000 + number,
        names,
        frozenset(),
        programs,
        asks,
        tuple(_faults(asked, begins_s)),
        durations=durations_of(asked),
        retries=f"retries {asked.seed}",
    )
    return Share(scenario, begins_s)


def _begins_s(asked: Asked, ordered_s: float) -> float:
    """Before an order there is nothing to rehearse but an outage that has not passed yet."""
    outage_s = max(asked.plane_outage_s, asked.operator_outage_s)
    over_s = asked.outage_at_s + outage_s + LATER_S
    begins_s = ordered_s - LEAD_S
    if outage_s and asked.outage_at_s < ordered_s < over_s:
        return min(begins_s, asked.outage_at_s - LEAD_S)
    return begins_s


def meets_outage(share: Share) -> bool:
    return bool(share.scenario.faults)


def _faults(asked: Asked, begins_s: float) -> Iterator[Fault]:
    at_s = asked.outage_at_s - begins_s
    if at_s < 0:
        return
    if asked.plane_outage_s:
        yield Fault(at_s, FaultKind.PLANE_KILLED, for_s=asked.plane_outage_s)
    if asked.operator_outage_s:
        yield Fault(at_s, FaultKind.OPERATOR_KILLED, OPERATORS[0], asked.operator_outage_s)


# What came of it


def counted(
    changes: Iterable[Change], devices: int, instants: Sequence[float]
) -> dict[str, list[int]]:
    """Devices of each phase at each instant, a change of that very instant included."""
    steps: dict[str, list[int]] = {}

    def moved(phase: str, place: int, by: int) -> None:
        steps.setdefault(phase, [0] * (len(instants) + 1))[place] += by

    moved(NOT_ORDERED, 0, devices)
    for change in changes:
        place = bisect_right(instants, change.at_s)
        if place and instants[place - 1] == change.at_s:
            place -= 1
        moved(change.before, place, -1)
        moved(change.phase, place, 1)
    return {phase: _summed(found) for phase, found in steps.items()}


def _summed(steps: Sequence[int]) -> list[int]:
    total, sums = 0, []
    for step in steps[:-1]:
        total += step
        sums.append(total)
    return sums


@dataclass(frozen=True, slots=True)
class Span:
    """Of the devices that came to a phase: when the first one did, and the last one."""

    devices: int
    first_s: float
    last_s: float


def spans(changes: Iterable[Change]) -> dict[str, Span]:
    found: dict[str, list[float]] = {}
    for change in changes:
        found.setdefault(change.phase, []).append(change.at_s)
    return {phase: Span(len(times), min(times), max(times)) for phase, times in found.items()}


def ends_of(ends: Counter[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Phase, cause and devices, the most frequent first."""
    ordered = sorted(ends.items(), key=lambda one: (-one[1], one[0]))
    return [(phase, cause, devices) for (phase, cause), devices in ordered]
