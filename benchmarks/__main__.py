"""`make bench`: every figure with its goal. Exit status 1 if one misses it."""

import asyncio
import logging
import sys

from benchmarks import agent, download, upgrade
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
    missed = sum(not figure.met for figure in figures)
    print(f"{len(figures)} figures, {missed} above their goal")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
