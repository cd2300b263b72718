"""The primary of a release that says READY, and has the whole machine reboot; each time."""

import subprocess
import threading

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.notify import Notify


class Primary:
    def __init__(self, config: Config, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass

    async def run(self) -> int:
        Notify().ready()
        take_down()
        return 1


def take_down() -> None:
    subprocess.run(["systemctl", "--no-block", "reboot"], check=False)
    threading.Event().wait()
