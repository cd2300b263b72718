"""The primary of a release that says READY, and then does nothing any more: no watchdog is fed."""

import logging
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
        logging.error("waiting for a lock that nobody gives back")
        threading.Event().wait()
        return 0
