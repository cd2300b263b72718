"""What the model of the disk says, on a real one: ext4, cut off between two system calls."""

import os
import pickle
import random
import shutil
from functools import cache
from pathlib import Path

import pytest
from tests.crash.ext4 import Loss, alone, probed
from tests.crash.real_cuts import Cut, Cuts
from tests.crash.stories import PLOTS, TIMING, recordings

SEED = 20261125
CUTS_OF_EACH_PLOT = 8

refused = cache(probed)


@pytest.mark.matrix
@pytest.mark.machine_may_refuse
@pytest.mark.parametrize("plot", PLOTS)
def test_ext4_keeps_what_the_model_allows_and_the_device_starts_in_one_story(
    plot: str, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if why := refused():
        pytest.skip(f"no ext4 can be cut off on this machine: {why}")
    cuts = Cuts(recordings().versions, TIMING.versions_kept, chosen(plot))
    (tmp_path / "cuts").write_bytes(pickle.dumps(cuts))
    done = alone("tests.crash.real_cuts", str(tmp_path / "cuts"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(cuts.cuts) >= CUTS_OF_EACH_PLOT
    print(f"{plot}: {done.stdout.strip()} cuts of a real ext4, seed {SEED}")  # noqa: T201


def chosen(plot: str) -> tuple[Cut, ...]:
    """Spread over all the steps; each of them where HARMONY_FLEET_FULL is set."""
    recording = recordings().by_plot[plot]
    chance = random.Random(f"{SEED} {plot}")
    counts = list(range(len(recording.operations) + 1))
    if not os.environ.get("HARMONY_FLEET_FULL"):
        counts = sorted(chance.sample(counts, CUTS_OF_EACH_PLOT))
    return tuple(
        Cut(
            plot,
            recording.before,
            recording.operations[:count],
            chance.choice(list(Loss)),
            chance.random() if number % 2 else None,
        )
        for number, count in enumerate(counts)
    )
