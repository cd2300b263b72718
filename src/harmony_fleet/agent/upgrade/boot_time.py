"""Instants on the boot clock, which stands still while the machine sleeps, and never jumps."""

from dataclasses import dataclass

from harmony_fleet.contracts.identity import check_token


@dataclass(frozen=True, slots=True)
class BootTime:
    """An instant on this machine's boot clock: comparable within one boot only."""

    boot_id: str
    seconds: float

    def __post_init__(self) -> None:
        check_token(self.boot_id)
