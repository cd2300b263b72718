"""What all machines and operators of one simulated world have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.simulation.chances import Chances
from harmony_fleet.simulation.loop import SimulatedLoop
from harmony_fleet.simulation.network import Network
from harmony_fleet.simulation.programs import SHORT, Durations, Pace, Program


class Witness(Protocol):
    """Sees what really happens. What it sees wrong, it keeps; nothing here ever raises."""

    def executed(self, device_id: str, what: str, version: str, program: Program | None) -> None:
        """A file was run, or could not be (None)."""

    def journaled(self, device_id: str, who: str, journal: Journal) -> None:
        """A write has returned: it is durable."""

    def half_journaled(self, device_id: str, who: str, journal: Journal) -> None:
        """Its writer did not live to see it durable: a power cut may take it back."""

    def unit(self, device_id: str, state: str) -> None:
        """The permanent unit's new state."""

    def exited(self, device_id: str, process: str, status: int | None) -> None:
        """A process ended. None: it was killed."""

    def said(self, who: str, what: str) -> None:
        """Something for the story alone."""


@dataclass(slots=True)
class Surroundings:
    loop: SimulatedLoop
    network: Network
    chances: Chances
    programs: Mapping[str, Program]
    """What can be downloaded, by SHA-256."""
    witness: Witness
    durations: Durations = SHORT
    retries: Random | None = None
    """What the operators' tries to connect go by, where not by chance alone."""
    store_s: float = 0.01
    """The longest that the operators' store takes."""
    store_away: bool = False
    """The operators' store cannot be reached."""

    @property
    def pace(self) -> Pace:
        return self.durations.pace

    def new_id(self) -> str:
        return f"{self.chances.of('ids').getrandbits(128):032x}"
