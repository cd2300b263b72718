"""What is explored: how the ordered version behaves, what people want, how many operators."""

from dataclasses import dataclass
from typing import Final

from harmony_fleet.simulation.explore.world import Kind, Scenario, Wish


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario, and how many faults of it are explored completely."""

    scenario: Scenario
    quick: int
    """In `make test`."""
    whole: int
    """In `make prove`."""


_ABORTED: Final = (Wish.UPGRADE, Wish.ABORT)
PLANS: Final = (
    *(Plan(Scenario(f"to a version: {kind}", kind), 1, 2) for kind in Kind),
    Plan(Scenario("the first, over a plain install", plain=True), 1, 2),
    Plan(Scenario("a marker in three moves", looks=True), 1, 2),
    Plan(Scenario("an abort", wishes=_ABORTED), 1, 2),
    Plan(Scenario("an abort, and the same version again", wishes=(*_ABORTED, Wish.AGAIN)), 1, 1),
    Plan(Scenario("another order", wishes=(Wish.UPGRADE, Wish.OTHER)), 0, 1),
    Plan(Scenario("failed, and again", Kind.SILENT, (Wish.UPGRADE, Wish.AGAIN)), 1, 2),
    Plan(Scenario("failed, and again by retry", Kind.SILENT, (Wish.UPGRADE, Wish.RETRY)), 1, 2),
    Plan(Scenario("two operators, and an abort", operators=2, wishes=_ABORTED), 0, 1),
    Plan(Scenario("two operators", operators=2, looks=True), 0, 1),
)


def plan(name: str) -> Plan:
    """Raises KeyError."""
    return {plan.scenario.name: plan for plan in PLANS}[name]
