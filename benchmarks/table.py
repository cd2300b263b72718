"""One figure a line: what, how much, and what it should be."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    value: float
    unit: str
    goal: float | None = None
    """At most this much; None: told for information."""
    note: str = ""
    at_least: bool = False
    """The goal is the least that it should be, not the most."""

    @property
    def met(self) -> bool:
        if self.goal is None:
            return True
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def print_figure(figure: Figure, say: Callable[[str], None] = print) -> None:
    least = ">= " if figure.at_least else ""
    goal = "" if figure.goal is None else f"goal {least}{figure.goal:g} {figure.unit}"
    verdict = "" if figure.goal is None else ("ok" if figure.met else "MISSED")
    value = f"{figure.value:.4g} {figure.unit}"
    say(f"{figure.what:52} {value:>14}   {goal:18} {verdict:7}{figure.note}".rstrip())


def median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
