"""The primary of a release that is fine beside the old one, and dies as soon as it stands alone."""

from harmony_fleet.agent.config import Config


class Primary:
    def __init__(self, config: Config, _device: object) -> None:
        self._config = config

    def stop(self) -> None:
        pass

    async def run(self) -> int:
        raise RuntimeError("the new cache index cannot be opened twice")
