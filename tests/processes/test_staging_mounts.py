"""Staging where nothing may be executed: on a real mount, which goes with its process."""

import sys
from pathlib import Path

import pytest
from tests.processes.test_preflight_mounts import SCRIPT, alone, refused

STAGE = """
import asyncio, sys
from pathlib import Path
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT, UpgradeFault
from harmony_fleet.agent.upgrade.staging import ProgramOnDisk
from harmony_fleet.contracts.upgrade import Artifact

mounted, root = Path(sys.argv[1]), Path(sys.argv[2])
layout = Layout(FLEET_AGENT, Paths(mounted, root / "link", root / "previous", root))
artifact = Artifact("http://127.0.0.1:9/a", 1_000, "ab" * 32)
try:
    asyncio.run(ProgramOnDisk(layout).stage("2.0.0", artifact, lambda _: None))
except UpgradeFault as fault:
    print(fault.cause, fault.sentence)
    print(list(mounted.iterdir()))
"""

pytestmark = pytest.mark.machine_may_refuse


def test_a_folder_where_nothing_may_be_executed_is_refused_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    if why := refused():
        pytest.skip(f"nothing can be mounted here: {why}")
    mounted, root = tmp_path / "mounted", tmp_path / "root"
    mounted.mkdir()
    root.mkdir()
    done = alone(SCRIPT, "noexec", str(mounted), str(root), sys.executable, STAGE)
    assert done.returncode == 0, done.stderr
    said, left = done.stdout.splitlines()
    assert said.startswith(f"device_fault {mounted}, the folder of versions, "), said
    assert "noexec" in said
    assert left == "[]"
