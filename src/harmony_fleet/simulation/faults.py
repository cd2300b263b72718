"""Does to a world what its scenario says, when it says so; and takes it back where it ends."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from harmony_fleet.agent.upgrade.record import Stage
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.subjects import SEEN_HEARTBEAT, command, marker_key
from harmony_fleet.simulation.device import SimulatedDevice
from harmony_fleet.simulation.downloads import Serving
from harmony_fleet.simulation.judge import journal_on
from harmony_fleet.simulation.machine import Blow, DiskState, Trap
from harmony_fleet.simulation.network import FAIR, Weather
from harmony_fleet.simulation.scenario import OPERATORS, STALE, Fault, FaultKind
from harmony_fleet.simulation.stale import Stale

if TYPE_CHECKING:
    from harmony_fleet.simulation.world import World

_WEATHER = {
    FaultKind.AWAY: Weather(away=True),
    FaultKind.BLACK_HOLE: Weather(black_hole=True),
    FaultKind.LOSING: Weather(lost=0.4),
    FaultKind.DOUBLING: Weather(doubled=0.5, delay_s=1.0),
    FaultKind.DELAYING: Weather(delayed=0.5, delay_s=3.0),
}
_DISKS = {
    FaultKind.DISK_FULL: DiskState.FULL,
    FaultKind.DISK_READ_ONLY: DiskState.READ_ONLY,
}
_AT_STEP = {
    FaultKind.POWER_CUT_AT_STEP: Blow.POWER_CUT,
    FaultKind.KILLED_AT_STEP: Blow.KILL,
}
_SHORTEST_STAY_S = 2.0
_STALE_EACH_S = 0.08
"""While an upgrade is under way there and not committed: each of its moments may be the one."""
_STALE_ELSE_EACH_S = 1.0


class Faults:
    def __init__(self, world: "World") -> None:
        self._world = world
        self.hit: Counter[str] = Counter()
        self._stale = Stale(world.network.server)

    def schedule(self, faults: tuple[Fault, ...]) -> None:
        if any(fault.kind in STALE for fault in faults):
            self._stale.listen()
        for fault in faults:
            self._at(fault.at_s, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def _at(self, at_s: float, then: Callable[[], object]) -> None:
        loop = self._world.loop
        loop.call_at(at_s, then, context=loop.outside)

    def _end(self, fault: Fault, then: Callable[[], object]) -> None:
        self._at(fault.at_s + fault.for_s, then)

    def _strike(self, fault: Fault) -> None:
        self._world.judge.said("the world", str(fault).strip())
        device = self._world.devices.get(fault.target)
        if device is not None:
            hit = self._strike_device(fault, device)
        elif fault.target:
            hit = self._strike_operator(fault)
        else:
            hit = self._strike_all(fault)
        if hit:
            self.hit[fault.kind] += 1

    def _count(self, fault: Fault) -> Callable[[], None]:
        def count() -> None:
            self.hit[fault.kind] += 1

        return count

    # The message plane, and the store

    def _strike_all(self, fault: Fault) -> bool:
        world = self._world
        server = world.network.server
        match fault.kind:
            case FaultKind.PLANE_KILLED | FaultKind.PLANE_EMPTIED:
                if not server.running:
                    return False
                empty = fault.kind is FaultKind.PLANE_EMPTIED
                server.stop(losing=fault.amount, empty=empty)
                self._end(fault, server.start)
            case FaultKind.SECOND_OPERATOR:
                second = world.operators[OPERATORS[1]]
                second.start()
                self._at(fault.at_s + fault.for_s + _SHORTEST_STAY_S, second.stop)
            case FaultKind.STORE_BROKEN:
                world.around.store_away = True
                self._end(fault, self._mend_store)
            case _:
                raise ValueError(f"{fault.kind} needs a target")
        return True

    def _mend_store(self) -> None:
        self._world.around.store_away = False

    # An operator

    def _strike_operator(self, fault: Fault) -> bool:
        host = self._world.operators[fault.target]
        match fault.kind:
            case FaultKind.OPERATOR_KILLED:
                alive = host.process is not None
                host.kill()
                if fault.for_s:
                    host.stop()
                    self._end(fault, host.start)
                return alive
            case FaultKind.OPERATOR_KILLED_AT_STEP:
                host.steps_left = fault.amount
                return True
            case _:
                return self._weather(fault)

    # A device

    def _strike_device(self, fault: Fault, device: SimulatedDevice) -> bool:
        machine = device.machine
        match fault.kind:
            case FaultKind.POWER_CUT:
                powered = machine.powered
                device.cut_power(fault.for_s)
                return powered
            case FaultKind.POWER_CUT_AT_STEP | FaultKind.KILLED_AT_STEP:
                blow = _AT_STEP[fault.kind]
                sprung = self._count(fault)
                machine.traps.append(Trap(fault.role, fault.amount, blow, sprung))
                return False
            case FaultKind.KILLED:
                return machine.kill(fault.role)
            case FaultKind.STOPPED_BY_HAND:
                self._end(fault, device.start_by_hand)
                return device.stop_by_hand()
            case FaultKind.RESTARTED_BY_HAND:
                if not machine.powered or machine.going_down:
                    return False
                device.services.restart()
            case FaultKind.REBOOTED:
                device.reboot()
            case FaultKind.DISK_FULL | FaultKind.DISK_READ_ONLY:
                machine.disk_state = _DISKS[fault.kind]
                self._end(fault, machine.mend_disk)
            case FaultKind.DOWNLOADS:
                machine.downloads.serving = Serving(fault.role)
                self._end(fault, machine.downloads.mend)
            case FaultKind.CLOCK_JUMPS:
                machine.wall_skew_s += fault.amount
            case kind if kind in STALE:
                return self._again(fault)
            case _:
                return self._weather(fault)
        return True

    def _again(self, fault: Fault, last_s: float = -_STALE_ELSE_EACH_S) -> bool:
        """Until it is over. `last_s`: when it came last."""
        name, now_s = fault.target, self._world.loop.now_s
        if fault.kind is FaultKind.STALE_HEARTBEATS and now_s == fault.at_s:
            self._world.network.cut(OPERATORS[0])  # what it had seen counts no more
        journal = journal_on(self._world.devices[name].machine)
        attempt = journal.open_attempt if journal else None
        dense = attempt is not None and attempt.stage is not Stage.COMMITTED
        due = dense or now_s >= last_s + _STALE_ELSE_EACH_S
        if now_s + _STALE_EACH_S < fault.at_s + fault.for_s:
            came_s = now_s if due else last_s
            self._at(now_s + _STALE_EACH_S, lambda: self._again(fault, came_s))
        return due and self._stale.again(_subject(fault), journal.highest if journal else 0)

    # Connections

    def _weather(self, fault: Fault) -> bool:
        world, who = self._world, fault.target
        network = world.network
        if fault.kind is FaultKind.CUT:
            return network.cut(who)
        weather = _WEATHER[fault.kind]
        network.change(who, weather)
        if weather.away:
            network.cut(who)
        if weather.black_hole:
            network.notice_silence(who)
        self._end(fault, lambda: network.change(who, FAIR))
        return True


def _subject(fault: Fault) -> str:
    """Of what comes again."""
    match fault.kind:
        case FaultKind.STALE_COMMANDS:
            return command(fault.target)
        case FaultKind.STALE_ORDER:
            return marker_key(fault.target)
        case _:
            return f"{SEEN_HEARTBEAT}.{fault.target}.{Role.CANDIDATE}"
