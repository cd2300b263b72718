"""An agent that is never asked for a preflight does not carry one."""

import subprocess
import sys

LOADED = """
import sys
import harmony_fleet.agent.main, harmony_fleet.agent.primary
import harmony_fleet.agent.upgrade.upgrading, harmony_fleet.agent.upgrade.installed
print(*(name for name in sys.modules if name.startswith("harmony_fleet.")))
"""


def test_what_a_primary_loads_holds_nothing_of_a_preflight_nor_of_its_download() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "harmony_fleet.agent.command_server" in loaded, done.stderr
    assert [name for name in loaded if "preflight" in name or ".asset" in name] == []
