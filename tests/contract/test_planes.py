"""The message plane loses, compares and hands out again as the real one does, line by line.

Both models are held to it: the simulated server, and what the explorer keeps of one. Not compared:
what of several buckets is lost together; a status that comes back in the place of a lost one,
of which the explorer says that it tells nobody more; what happens to heartbeats before somebody
has made their stream anew.
"""

import asyncio
from pathlib import Path

from tests.contract.explored_planes import over_the_explored_one
from tests.contract.nats_planes import over_the_real_server, over_the_simulated_one


def test_what_the_simulated_server_does_the_real_one_does(tmp_path: Path) -> None:
    assert over_the_simulated_one() == asyncio.run(over_the_real_server(tmp_path / "nats"))


def test_what_the_explorer_s_plane_does_the_simulated_server_does() -> None:
    assert over_the_explored_one() == over_the_simulated_one()
