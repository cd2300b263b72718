"""What happens in one simulated world, as data: a pure function of a seed. Pure.

A scenario can be printed, run again, and made smaller by leaving something out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from harmony_fleet.simulation.programs import FIRST, SHORT, Behaviour, Durations, Program


class FaultKind(StrEnum):
    # Of the message plane. `amount`: last writes that were not on its disk.
    PLANE_KILLED = "plane-killed"
    PLANE_EMPTIED = "plane-emptied"
    # Of the connections of one device, or of one operator.
    CUT = "connection-cut"
    AWAY = "no-connection"
    BLACK_HOLE = "nothing-passes"
    LOSING = "messages-lost"
    DOUBLING = "messages-doubled"
    DELAYING = "messages-delayed"
    # Of one device. `role`: whom it hits; `amount`: at which of its steps.
    POWER_CUT = "power-cut"
    POWER_CUT_AT_STEP = "power-cut-at-step"
    KILLED = "killed"
    KILLED_AT_STEP = "killed-at-step"
    STOPPED_BY_HAND = "stopped-by-hand"
    RESTARTED_BY_HAND = "restarted-by-hand"
    REBOOTED = "rebooted"
    DISK_FULL = "disk-full"
    DISK_READ_ONLY = "disk-read-only"
    DOWNLOADS = "downloads"
    CLOCK_JUMPS = "clock-jumps"
    STALE_COMMANDS = "stale-commands"
    """The last ones but a few come again and again."""
    STALE_ORDER = "stale-order"
    STALE_HEARTBEATS = "stale-heartbeats"
    # Of one operator, or of the store.
    OPERATOR_KILLED = "operator-killed"
    OPERATOR_KILLED_AT_STEP = "operator-killed-at-step"
    SECOND_OPERATOR = "second-operator"
    STORE_BROKEN = "store-broken"


OPERATORS = ("operator-1", "operator-2")
_NET = (
    FaultKind.CUT,
    FaultKind.AWAY,
    FaultKind.BLACK_HOLE,
    FaultKind.LOSING,
    FaultKind.DOUBLING,
    FaultKind.DELAYING,
)
_OF_OPERATORS = (FaultKind.OPERATOR_KILLED, FaultKind.OPERATOR_KILLED_AT_STEP)
_OF_ALL = (
    FaultKind.PLANE_KILLED,
    FaultKind.PLANE_EMPTIED,
    FaultKind.SECOND_OPERATOR,
    FaultKind.STORE_BROKEN,
)
STALE = frozenset({FaultKind.STALE_COMMANDS, FaultKind.STALE_ORDER, FaultKind.STALE_HEARTBEATS})
_WAYS_TO_SERVE = ("cut-off", "corrupted", "endless", "stalled", "refused")
_ROLES = ("primary", "guard", "candidate", "any")
_MOST_STEPS = {"primary": 40, "guard": 8, "candidate": 6, "any": 40}
"""Of each role, about as many as it does in one upgrade."""
_AT_STEPS = (FaultKind.POWER_CUT_AT_STEP, FaultKind.KILLED_AT_STEP)
_LIKELY = (*FaultKind, *(2 * _AT_STEPS), FaultKind.OPERATOR_KILLED_AT_STEP)
"""What hits between two steps is drawn more often: there are many of them."""


@dataclass(frozen=True, slots=True)
class Fault:
    at_s: float
    kind: FaultKind
    target: str = ""
    for_s: float = 0.0
    amount: int = 0
    role: str = ""

    def __str__(self) -> str:
        words = [f"{self.at_s:8.3f} s", str(self.kind), self.target, self.role]
        if self.amount:
            words.append(f"({self.amount})")
        if self.for_s:
            words.append(f"for {self.for_s:g} s")
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person asks of an operator."""

    at_s: float
    device: str
    version: str | None
    """None: an abort."""
    retry: bool = False
    replace: bool = False

    def __str__(self) -> str:
        what = f"upgrade to {self.version}" if self.version else "abort"
        how = f"{' --retry' if self.retry else ''}{' --replace' if self.replace else ''}"
        return f"{self.at_s:8.3f} s {self.device}: {what}{how}"


@dataclass(frozen=True, slots=True)
class Slowness:
    """The longest that each of these takes, in seconds: slow ones let more overtake each other."""

    network: float = 0.002
    """A message, one way."""
    store: float = 0.0
    thread: float = 0.0
    """A piece of work on a disk."""


QUICK = Slowness()


@dataclass(frozen=True, slots=True)
class Scenario:
    seed: int
    devices: tuple[str, ...]
    plain: frozenset[str]
    """Devices whose first version is a regular file at the link's place."""
    programs: tuple[Program, ...]
    asks: tuple[Ask, ...]
    faults: tuple[Fault, ...]
    slowness: Slowness = QUICK
    durations: Durations = SHORT
    retries: str = ""
    """A seed. Worlds of one fleet have one operator in truth: with the same one here, theirs lose
    and find the message plane at the same instants."""

    @property
    def last_s(self) -> float:
        """When the last thing of it is over."""
        ends = [fault.at_s + fault.for_s for fault in self.faults]
        return max((0.0, *ends, *(ask.at_s for ask in self.asks)))

    def text(self) -> str:
        programs = [f"{p.version} {p.behaviour}" for p in self.programs[1:]]
        plain = ", ".join(sorted(self.plain)) or "none"
        lines = [
            f"seed {self.seed}: devices {', '.join(self.devices)} (plain installs: {plain})",
            f"releases: {', '.join(programs)}",
            *([f"slow: {self.slowness}"] if self.slowness != QUICK else []),
            *(f"  {ask}" for ask in self.asks),
            *(f"  {fault}" for fault in self.faults),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Rates:
    """Of what a seed makes. Shares are between 0 and 1."""

    most_devices: int = 2
    most_orders: int = 6
    """Of one device."""
    good: float = 0.6
    """Of the versions."""
    quiet: float = 0.15
    """Of the seeds, without any fault."""
    faults_per_order: float = 0.8
    aborts: float = 0.12
    """Of the orders."""
    slow: float = 0.2
    """Of the seeds, for each thing that can be slow."""


USUAL = Rates()


def scenario_of(seed: int, rates: Rates = USUAL) -> Scenario:
    random = Random(f"scenario {seed}")
    devices = tuple(f"dev-{n + 1}" for n in range(random.randint(1, rates.most_devices)))
    plain = frozenset(name for name in devices if random.random() < 0.15)
    programs: list[Program] = [Program(FIRST)]
    asks: list[Ask] = []
    for name in devices:
        asks += _asks_of(name, random, rates, programs)
    asks.sort(key=lambda ask: (ask.at_s, ask.device))
    faults = _faults(asks, random, rates)
    slowness = _slowness(random, rates)
    return Scenario(seed, devices, plain, tuple(programs), tuple(asks), faults, slowness)


def _slowness(random: Random, rates: Rates) -> Slowness:
    def spread(usual_s: float, slow_s: float) -> float:
        return slow_s if random.random() < rates.slow else usual_s

    network_s = random.choice((0.02, 0.4)) if random.random() < rates.slow else QUICK.network
    return Slowness(network_s, spread(QUICK.store, 0.5), spread(QUICK.thread, 0.3))


def _asks_of(name: str, random: Random, rates: Rates, programs: list[Program]) -> list[Ask]:
    asks: list[Ask] = []
    at_s = round(3.0 + random.uniform(0.0, 2.0), 3)
    for _ in range(random.randint(1, rates.most_orders)):
        version = _version(random, rates, programs)
        hasty = random.random() < 0.15
        asks.append(Ask(at_s, name, version, random.random() < 0.2, replace=hasty))
        if random.random() < rates.aborts:
            asks.append(Ask(round(at_s + random.uniform(0.0, 3.0), 3), name, None))
        gap_s = random.uniform(0.1, 6.0) if hasty else random.uniform(11.0, 18.0)
        at_s = round(at_s + gap_s, 3)
    return asks


def _version(random: Random, rates: Rates, programs: list[Program]) -> str:
    """A new one, now and then one that is there already."""
    if len(programs) > 1 and random.random() < 0.25:
        return random.choice(programs).version
    bad = [one for one in Behaviour if one is not Behaviour.GOOD]
    behaviour = Behaviour.GOOD if random.random() < rates.good else random.choice(bad)
    programs.append(Program(f"1.{len(programs)}.0", behaviour))
    return programs[-1].version


def _faults(asks: Sequence[Ask], random: Random, rates: Rates) -> tuple[Fault, ...]:
    if random.random() < rates.quiet:
        return ()
    orders = [ask for ask in asks if ask.version]
    most = max(1, round(2 * rates.faults_per_order * len(orders)))
    faults = []
    for _ in range(random.randint(1, most)):
        near = random.choice(orders)
        span_s = (0.0, 2.2) if random.random() < 0.6 else (-1.0, 9.0)
        at_s = round(max(0.5, near.at_s + random.uniform(*span_s)), 3)
        faults.append(_fault(at_s, random.choice(_LIKELY), near.device, random))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _fault(at_s: float, kind: FaultKind, device: str, random: Random) -> Fault:
    for_s = round(random.choice((0.3, 2.0, 8.0, 20.0)) * random.uniform(0.5, 1.5), 3)
    role = random.choice(_ROLES)
    fault = Fault(at_s, kind, device, for_s, random.randint(1, _MOST_STEPS[role]), role)
    if kind in _OF_ALL:
        return replace(fault, target="", role="", amount=random.randint(0, 12))
    if kind in _OF_OPERATORS:
        steps = random.randint(1, _MOST_STEPS["any"])
        return replace(fault, target=OPERATORS[0], role="", for_s=0.0, amount=steps)
    if kind in _NET:
        target = device if random.random() < 0.6 else random.choice(OPERATORS)
        return replace(fault, target=target, role="", amount=0)
    if kind is FaultKind.DOWNLOADS:
        return replace(fault, role=random.choice(_WAYS_TO_SERVE), amount=0)
    if kind in {*_AT_STEPS, FaultKind.KILLED}:
        return fault
    return replace(fault, role="", amount=random.randint(-3600, 3600))
