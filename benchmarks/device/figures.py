"""From the turns of all rounds to figures: medians, their spread, the ratios and the goals."""

from collections.abc import Mapping, Sequence

from benchmarks.device.turn import Turn
from benchmarks.table import Figure, median

FASTER = 3.5
LESS_CPU = 100.0
