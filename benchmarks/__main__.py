"""`make bench`: every figure with its goal. Exit status 1 if one misses it."""

import asyncio
import logging
import sys

from benchmarks import agent, download, fleet, reconnect, upgrade
from benchmarks.table import Figure, print_figure
from benchmarks.world import world


async def _main() -> int:
    logging.disable(logging.WARNING)
    figures: list[Figure] = []

    def show(figure: Figure) -> None:
        figures.append(figure)
        print_figure(figure)

    for figure in download.measure():
        show(figure)
    async with world() as ready:
        for part in (agent.measure, upgrade.measure, upgrade.measure_operator):
            async for figure in part(ready):
                show(figure)
    unfinished = 0
    for whole in (fleet.measure, reconnect.measure):
        try:
            async for figure in whole():
                show(figure)
        except TimeoutError as error:
            unfinished += 1
            print(f"not measured to its end: {error}")
    missed = sum(not figure.met for figure in figures)
    print(f"{len(figures)} figures, {missed} above their goal; {unfinished} parts unfinished")
    return 1 if missed or unfinished else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
