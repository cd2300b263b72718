"""Tries to import every module of the agent, in a process that ends afterwards.

It runs the very code that this process runs, from the same open file, by the same interpreter.
"""

import subprocess
import sys
from typing import Final

from harmony_fleet.agent.bootstrap import pinned_descriptor

LIMIT_S: Final = 20.0

CODE: Final = """
import sys
sys.path[:] = sys.argv[1:]
from harmony_fleet.agent import bootstrap, modules
bootstrap.refuse_optional_imports()
modules.main()
"""


def try_imports() -> tuple[int, str]:
    """Exit status and output. Blocks.

    Raises:
        OSError, subprocess.TimeoutExpired: it could not be started, or did not end.
    """
    pinned = pinned_descriptor()
    ran = subprocess.run(
        [sys.executable, "-BIS", "-c", CODE, *sys.path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_S,
        check=False,
        pass_fds=() if pinned is None else (pinned,),
    )
    return ran.returncode, ran.stdout.decode("utf-8", "replace")
