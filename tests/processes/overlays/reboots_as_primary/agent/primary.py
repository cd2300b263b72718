"""The primary of a release that says READY, and takes the whole machine down with it."""

import os
import signal

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.notify import Notify


class Primary:
    def __init__(self, config: Config, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass

    async def run(self) -> int:
        Notify().ready()
        os.kill(os.getppid(), signal.SIGKILL)  # its supervisor: the machine is down
        return 1
