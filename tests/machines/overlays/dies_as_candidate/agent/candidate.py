"""The candidate of a release that dies at once."""

from harmony_fleet.agent.config import Config


class Candidate:
    def __init__(self, config: Config, *_: object) -> None:
        pass

    async def run(self) -> None:
        raise RuntimeError("no such sensor: /dev/sensor0")
