"""One simulated device: its machine and its service manager, and what can be done to it."""

from harmony_fleet.simulation.lives import SimulatedProcess
from harmony_fleet.simulation.machine import Blow, Machine, Trap
from harmony_fleet.simulation.programs import Program
from harmony_fleet.simulation.surroundings import Surroundings
from harmony_fleet.simulation.units import ServiceManager, Unit

OFF_S = 1.0
"""So long is it without power where nothing else is said."""


class SimulatedDevice:
    def __init__(
        self, around: Surroundings, device_id: str, first: Program, plain: bool = False
    ) -> None:
        self.machine = Machine(around, device_id, first, plain)
        self.services = ServiceManager(self.machine)
        self._around = around
        self._until_s = 0.0
        """No power before."""
        self.machine.sprung, self.machine.reboot = self._sprung, self.reboot

    def power_on(self) -> None:
        if not self.machine.powered and self._around.loop.now_s >= self._until_s:
            self._around.witness.said(self.machine.device_id, "the machine starts")
            self.machine.boot()
            self.services.booted()

    def cut_power(self, for_s: float = OFF_S) -> None:
        loop = self._around.loop
        self._around.witness.said(self.machine.device_id, "the power is cut")
        self.machine.lose_power()
        self.services.powerless()
        self._until_s = max(self._until_s, loop.now_s + for_s)
        loop.call_at(self._until_s, self.power_on, context=loop.outside)

    def reboot(self) -> None:
        """In order: every unit is told to end, the disk is synced."""
        if not self.machine.powered or self.machine.going_down:
            return
        self._around.witness.said(self.machine.device_id, "the machine goes down for a reboot")
        self.machine.going_down = True
        self.services.shut_down(self._down)

    def _down(self) -> None:
        if self.machine.going_down and self.machine.powered:
            self.machine.sync_all()
            self.cut_power(self._around.pace.boot)

    def _sprung(self, trap: Trap, process: SimulatedProcess) -> None:
        trap.sprung()
        if trap.blow is Blow.POWER_CUT:
            self.cut_power()
        else:
            self._around.witness.said(self.machine.device_id, f"kill -9 of {process.name}")
            process.kill()

    def stop_by_hand(self) -> bool:
        down = not self.machine.powered or self.machine.going_down
        if down or self.services.state in {Unit.OFF, Unit.STOPPED}:
            return False
        self.services.stop()
        return True

    def start_by_hand(self) -> None:
        if self.machine.powered and not self.machine.going_down:
            self.services.start()
