"""What is done to the fleet, as a pure function of the seed: orders, aborts, blows, and pauses.

Rules
1. The same seed and the same devices give the same rounds. When a step comes about is not planned:
   it is done as soon as the machine allows.
2. After each round there is calm: nothing is done until everything has settled.
3. In `SPARED` of every `CYCLE` rounds the control plane is not hit, so that its processes live
   long enough, ten minutes and more, for their growth to be seen.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count

from soak.releases import BAD, GOOD

STEPS = (12, 18)
"""In a round, at least and at most."""
PAUSE_S = (0.2, 3.5)
CYCLE, SPARED = 20, 14
GOOD_SHARE = 0.65
"""Of the orders."""


class Part(StrEnum):
    PRIMARY = "the primary"
    CANDIDATE = "the candidate"
    MACHINE = "the device's machine"
    OPERATOR = "the operator"
    NATS = "NATS"

    @property
    def of_device(self) -> bool:
        return self not in _OF_CONTROL_PLANE


_OF_CONTROL_PLANE = (Part.OPERATOR, Part.NATS)


class How(StrEnum):
    KILLED = "killed"
    FROZEN = "frozen"
    """SIGSTOP, and SIGCONT after a while."""


@dataclass(frozen=True, slots=True)
class Blow:
    part: Part
    how: How
    device: str | None
    """None for what the control plane has but once."""
    for_s: float
    """So long is it frozen, or without power. What restarts by itself does so when it likes."""


@dataclass(frozen=True, slots=True)
class Order:
    device: str
    version: str
    retry: bool
    replace: bool


@dataclass(frozen=True, slots=True)
class Abort:
    device: str


@dataclass(frozen=True, slots=True)
class Strike:
    blows: tuple[Blow, ...]
    """At once."""


Action = Order | Abort | Strike


@dataclass(frozen=True, slots=True)
class Step:
    pause_s: float
    """Before it."""
    action: Action


@dataclass(frozen=True, slots=True)
class Round:
    number: int
    spared: bool
    """The control plane is not hit."""
    steps: tuple[Step, ...]


def rounds(seed: int, devices: Sequence[str]) -> Iterator[Round]:
    """Without an end. Each round depends on its number only, not on those before it."""
    for number in count(1):
        chance = random.Random(f"{seed} {number}")
        spared = (number - 1) % CYCLE >= CYCLE - SPARED
        times = range(chance.randint(*STEPS))
        steps = (step for _ in times for step in _steps(chance, devices, spared))
        yield Round(number, spared, tuple(steps))


def _steps(chance: random.Random, devices: Sequence[str], spared: bool) -> Iterator[Step]:
    """One, and before a candidate is hit the order that brings it about."""
    pause_s = round(chance.uniform(*PAUSE_S), 2)
    kind = chance.random()
    if kind < 0.5:
        yield Step(pause_s, _order(chance, devices))
    elif kind < 0.6:
        yield Step(pause_s, Abort(chance.choice(devices)))
    else:
        strike = _strike(chance, devices, spared)
        for blow in strike.blows:
            if blow.part is Part.CANDIDATE and blow.device:
                yield Step(pause_s, replace(_order(chance, [blow.device]), replace=True))
        yield Step(pause_s, strike)


def _strike(chance: random.Random, devices: Sequence[str], spared: bool) -> Strike:
    parts = [part for part in Part if part.of_device or not spared]
    first = _blow(chance, parts, devices)
    if chance.random() > 0.3:
        return Strike((first,))
    others = [part for part in parts if part is not first.part]
    return Strike((first, _blow(chance, others, devices)))


def _order(chance: random.Random, devices: Sequence[str]) -> Order:
    releases = GOOD if chance.random() < GOOD_SHARE else BAD
    return Order(
        chance.choice(devices),
        chance.choice(releases).version,
        retry=chance.random() < 0.6,
        replace=chance.random() < 0.5,
    )


def _blow(chance: random.Random, parts: Sequence[Part], devices: Sequence[str]) -> Blow:
    part = chance.choice(parts)
    how = chance.choice(tuple(How))
    device = chance.choice(devices)
    for_s = round(chance.uniform(0.5, 4.0), 2)
    return Blow(part, how, device if part.of_device else None, for_s)
