"""The message plane loses, compares and hands out again as the real one does, line by line."""

import asyncio
from pathlib import Path

from tests.contract.nats_planes import over_the_real_server, over_the_simulated_one


def test_what_the_simulated_server_does_the_real_one_does(tmp_path: Path) -> None:
    assert over_the_simulated_one() == asyncio.run(over_the_real_server(tmp_path / "nats"))
