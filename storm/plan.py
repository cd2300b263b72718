"""What is done, as a pure function of the seed: upgrades, each with a hit at a random instant.

Rules
1. Good and bad releases in turn. The attempt of a number is the same whatever came before it, so a
   failure is seen again by its number alone.
2. A hit is planned for an instant, from the order on, up to a little after the time that such an
   upgrade takes where nothing is hit. What the device is doing by then is not planned.
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.machines.bad_versions import BAD, Bad

GOOD = ("1.0.0", "2.0.0", "3.0.0")
"""The first is what each device is installed with; the next that it does not run is ordered."""
GOOD_LASTS_S = 6.0
BUSY_S = 2.0
"""In about that time everything up to the handover is done; half of the hits fall into it."""
_LAST_S = {
    "needs_missing_module": 2.0,
    "dies_as_candidate": 3.0,
    "never_heartbeats": 15.0,
    "crashes_as_primary": 8.0,
    "dies_soon_as_primary": 20.0,
    "hangs_as_primary": 20.0,
    "silent_as_primary": 20.0,
    "reboots_machine": 20.0,
}
"""By overlay, about, at the pace of `tests.machines.device.TIMING`; a wrong hash takes a moment."""
_AFTER_THE_END = 1.1
"""Times as long: some hit a device that has just come to rest."""


UNTOUCHED = (None, *(one for one in BAD if one.overlay in (None, "crashes_as_primary")))
"""Power cuts begin with these, hit by nothing: a good one, a wrong hash, one that crashes."""


class Target(StrEnum):
    PROCESS = "a process of the device's agent"
    POWER = "the device's power"
    OPERATOR = "the operator, NATS with it"
    NATS = "NATS"


_WEIGHTS = {Target.PROCESS: 10, Target.POWER: 8, Target.OPERATOR: 1, Target.NATS: 1}


@dataclass(frozen=True, slots=True)
class Hit:
    target: Target
    after_s: float
    """From the order on."""
    pick: float
    """From 0 up to 1: which of the processes that there are then."""


@dataclass(frozen=True, slots=True)
class Attempt:
    number: int
    bad: Bad | None
    """None: a good release."""
    hit: Hit | None


def storm(seed: int, number: int) -> Attempt:
    """`number` counts from 1; even ones are bad."""
    chance = random.Random(f"{seed} {number}")
    bad = chance.choice(BAD) if number % 2 == 0 else None
    (target,) = chance.choices(tuple(_WEIGHTS), weights=tuple(_WEIGHTS.values()))
    return Attempt(number, bad, _hit(chance, target, lasts_s(bad)))


def power_cuts(seed: int, number: int) -> Attempt:
    """After `UNTOUCHED` the power is cut in each; one in four is bad."""
    if number <= len(UNTOUCHED):
        return Attempt(number, UNTOUCHED[number - 1], None)
    chance = random.Random(f"{seed} {number}")
    bad = chance.choice(BAD) if number % 4 == 0 else None
    return Attempt(number, bad, _hit(chance, Target.POWER, lasts_s(bad)))


def lasts_s(bad: Bad | None) -> float:
    return GOOD_LASTS_S if bad is None else _LAST_S.get(bad.overlay or "", 1.0)


def _hit(chance: random.Random, target: Target, lasts: float) -> Hit:
    whole_s = _AFTER_THE_END * lasts
    after_s = chance.uniform(0.0, min(BUSY_S, whole_s) if chance.random() < 0.5 else whole_s)
    return Hit(target, round(after_s, 3), round(chance.random(), 6))
