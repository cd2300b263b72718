"""The primary of a release that is fine beside the old one, and hangs as soon as it stands alone.

It says READY, feeds no watchdog, and does not hear that it is to end.
"""

import time

from harmony_fleet.agent.config import Config
from harmony_fleet.agent.notify import Notify


class Primary:
    def __init__(self, _config: Config) -> None:
        pass

    def stop(self) -> None:
        pass

    async def run(self) -> int:
        Notify().ready()
        while True:
            time.sleep(60.0)  # noqa: ASYNC251 - as it says: it hangs
