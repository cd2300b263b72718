"""Random numbers from one seed, of each party its own: what one draws moves no other's."""

from random import Random


class Chances:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._of: dict[str, Random] = {}

    def of(self, who: str) -> Random:
        """The same each time."""
        known = self._of.get(who)
        if known is None:
            known = self._of[who] = Random(f"{self._seed} {who}")
        return known
