"""The message plane loses, compares and hands out again as the real one does, line by line.

Both models are held to it: the simulated server, and what the explorer keeps of one. Not compared:
the status before one that was lost, of which the explorer says that it tells nobody more; that more
than the last write of a marker may be lost; and what becomes of a heartbeat before somebody has
made its stream anew.
"""

import asyncio
from pathlib import Path

from tests.contract.explored_planes import over_the_explored_one
from tests.contract.nats_planes import over_the_real_server, over_the_simulated_one


def test_what_the_simulated_server_does_the_real_one_does(tmp_path: Path) -> None:
    assert over_the_simulated_one() == asyncio.run(over_the_real_server(tmp_path / "nats"))


def test_what_the_explorer_s_plane_does_the_simulated_server_does() -> None:
    assert over_the_explored_one() == over_the_simulated_one()
