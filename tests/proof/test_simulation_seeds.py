"""Two thousand simulated worlds without a violation; `make simulate` runs any number of others."""

import pytest

from harmony_fleet.simulation.totals import run_seeds

SEEDS = 2000
PIECE = 100


@pytest.mark.parametrize("first", range(1, SEEDS + 1, PIECE))
def test_no_seed_shows_a_violation(first: int) -> None:
    totals = run_seeds(first, PIECE)
    told = [f"make simulate SEED={seed}: {violation}" for seed, violation in totals.violations]
    assert told == []
    assert totals.upgrades > PIECE
