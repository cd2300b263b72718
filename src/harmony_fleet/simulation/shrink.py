"""Makes a scenario that shows a mistake smaller, as long as it still shows it. Pure.

Leaves out faults, orders and devices, halves before single ones, until nothing more can go; then
makes each version a good one that need not be bad.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from harmony_fleet.simulation.programs import Behaviour
from harmony_fleet.simulation.scenario import Scenario

T = TypeVar("T")
Fails = Callable[[Scenario], bool]

MOST_TRIES = 400


class _Enough(Exception):
    """It was tried often enough: what is there now is small enough."""


def shrink(scenario: Scenario, fails: Fails) -> Scenario:
    """`fails` says whether one still shows the mistake; it is asked `MOST_TRIES` times at most."""
    smallest = scenario
    tries = 0

    def take(candidate: Scenario) -> bool:
        nonlocal smallest, tries
        if candidate == smallest:
            return False
        tries += 1
        if tries > MOST_TRIES:
            raise _Enough
        if not fails(candidate):
            return False
        smallest = candidate
        return True

    try:
        while _smaller(lambda: smallest, take):
            pass
    except _Enough:
        pass
    return smallest


def _smaller(now: Callable[[], Scenario], take: Callable[[Scenario], bool]) -> bool:
    """Whether anything could go in one round."""
    taken = False
    for left in _with_less(now().faults):
        taken |= take(replace(now(), faults=left)) if _within(left, now().faults) else False
    for left_asks in _with_less(now().asks):
        taken |= take(replace(now(), asks=left_asks)) if _within(left_asks, now().asks) else False
    for device in now().devices:
        taken |= take(without_device(now(), device))
    for program in now().programs:
        if program.behaviour is not Behaviour.GOOD:
            good = replace(program, behaviour=Behaviour.GOOD)
            programs = tuple(good if one == program else one for one in now().programs)
            taken |= take(replace(now(), programs=programs))
    return taken


def _with_less(parts: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Without the first half, without the second; then quarters, and so on to single ones."""
    size = len(parts)
    while size > 0:
        for begin in range(0, len(parts), size):
            yield (*parts[:begin], *parts[begin + size :])
        size //= 2


def _within(some: Sequence[T], all_of: Sequence[T]) -> bool:
    """What was proposed of an earlier one is no proposal any more once others are gone."""
    return len(some) < len(all_of) and all(one in all_of for one in some)


def without_device(scenario: Scenario, device: str) -> Scenario:
    if len(scenario.devices) == 1:
        return scenario
    return replace(
        scenario,
        devices=tuple(name for name in scenario.devices if name != device),
        plain=scenario.plain - {device},
        asks=tuple(ask for ask in scenario.asks if ask.device != device),
        faults=tuple(fault for fault in scenario.faults if fault.target != device),
    )
