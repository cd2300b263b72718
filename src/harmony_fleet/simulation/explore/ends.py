"""Where a world ends that moves by itself: what leads to which states. Pure.

What is possible again and again is done some time. So a world ends in what it cannot leave,
and it ends well where from every state a way leads to where nothing but settled states follows.
"""

from array import array
from collections.abc import Iterable

Back = tuple["array[int]", "array[int]"]
"""The moves by their targets: where those of each state begin, and from where they come."""


def stuck(settled: list[int], edges: "array[int]", ends: "array[int]") -> int:
    """The first state from which no way leads to where only settled ones follow, or -1.

    `edges` holds the targets of the moves, state by state; `ends` where those of each end.
    """
    total, back = len(ends), _back(edges, ends)
    is_settled = bytearray(total)
    for number in settled:
        is_settled[number] = 1
    goes_on = _leading_to((n for n in range(total) if not is_settled[n]), back, total)
    return _leading_to((n for n in range(total) if not goes_on[n]), back, total).find(0)


def _back(edges: "array[int]", ends: "array[int]") -> Back:
    total = len(ends)
    begins = array("Q", bytes(8 * (total + 1)))
    for target in edges:
        begins[target + 1] += 1
    for number in range(total):
        begins[number + 1] += begins[number]
    sources, place = array("I", bytes(4 * len(edges))), array("Q", begins)
    begin = 0
    for number in range(total):
        for position in range(begin, ends[number]):
            target = edges[position]
            sources[place[target]] = number
            place[target] += 1
        begin = ends[number]
    return begins, sources


def _leading_to(targets: Iterable[int], back: Back, total: int) -> bytearray:
    """Of each state, by its number, whether a way leads from it to one of `targets`."""
    begins, sources = back
    reached, waiting = bytearray(total), list(targets)
    for number in waiting:
        reached[number] = 1
    while waiting:
        number = waiting.pop()
        for position in range(begins[number], begins[number + 1]):
            source = sources[position]
            if not reached[source]:
                reached[source] = 1
                waiting.append(source)
    return reached
