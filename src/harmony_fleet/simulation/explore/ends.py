"""Which states lead to one that is settled, going back from those along the moves. Pure."""

from array import array


def reached_back(settled: list[int], edges: "array[int]", ends: "array[int]") -> bytearray:
    """Of each state, by its number, whether a way leads from it to one of `settled`.

    `edges` holds the targets of the moves, state by state; `ends` where those of each end.
    """
    total = len(ends)
    counts = array("Q", bytes(8 * (total + 1)))
    for target in edges:
        counts[target + 1] += 1
    for number in range(total):
        counts[number + 1] += counts[number]
    sources, place = array("I", bytes(4 * len(edges))), array("Q", counts)
    begin = 0
    for number in range(total):
        for position in range(begin, ends[number]):
            target = edges[position]
            sources[place[target]] = number
            place[target] += 1
        begin = ends[number]
    reached, waiting = bytearray(total), list(settled)
    for number in waiting:
        reached[number] = 1
    while waiting:
        number = waiting.pop()
        for position in range(counts[number], counts[number + 1]):
            source = sources[position]
            if not reached[source]:
                reached[source] = 1
                waiting.append(source)
    return reached
