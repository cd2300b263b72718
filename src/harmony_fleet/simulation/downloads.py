"""What a device gets where it downloads."""

import asyncio
from enum import StrEnum

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.simulation.lives import chance_here
from harmony_fleet.simulation.programs import Behaviour
from harmony_fleet.simulation.surroundings import Surroundings


class Serving(StrEnum):
    WELL = "well"
    CUT_OFF = "cut-off"
    """Each connection ends early; what came is kept, and it is resumed."""
    CORRUPTED = "corrupted"
    ENDLESS = "endless"
    """It goes on behind the size that was announced."""
    STALLED = "stalled"
    REFUSED = "refused"


class Downloads:
    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.serving = Serving.WELL

    def mend(self) -> None:
        self.serving = Serving.WELL

    async def fetch(self, artifact: Artifact) -> str:
        """The SHA-256 of what came. Raises UpgradeFault."""
        pace = self._around.pace
        slower_s = pace.download_spread * chance_here() if pace.download_spread else 0.0
        await asyncio.sleep(pace.download + slower_s)
        match self.serving:
            case Serving.CUT_OFF:
                await asyncio.sleep(3 * pace.download)
            case Serving.STALLED:
                await asyncio.sleep(pace.download_gives_up)
                raise _failed(artifact, "fell silent")
            case Serving.REFUSED:
                raise _failed(artifact, "was refused")
            case Serving.CORRUPTED | Serving.ENDLESS:
                return _other(artifact)
            case Serving.WELL:
                pass
        program = self._around.programs.get(artifact.sha256)
        if program is None or program.behaviour is Behaviour.WRONG_BYTES:
            return _other(artifact)
        return artifact.sha256


def _other(artifact: Artifact) -> str:
    return artifact.sha256[::-1]


def _failed(artifact: Artifact, how: str) -> UpgradeFault:
    return UpgradeFault(CauseKind.DOWNLOAD_FAILED, f"{artifact.url} {how}")
