"""The service manager and the permanent unit: what a preflight makes of what it said. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_fleet.contracts.preflight import Check, CheckName, CheckState, check


@dataclass(frozen=True, slots=True)
class Unit:
    """The permanent unit, as its service manager has it."""

    name: str
    state: str
    """In the manager's own word."""
    running: bool
    main_pid: int | None
    flaws: tuple[str, ...] = ()
    """What else keeps it from a handover, each as the end of a sentence."""
    remarks: tuple[str, ...] = ()
    """What does not, and should be looked at."""


@dataclass(frozen=True, slots=True)
class Manager:
    name: str
    flaws: tuple[str, ...] = ()
    """Why it cannot be used, each a sentence."""
    unit: Unit | str = "it was not asked"
    """Or why it could not be asked."""


def judge_service(manager: Manager, own_pid: int) -> tuple[Check, Check]:
    return _judge_manager(manager), _judge_unit(manager.unit, own_pid)


def _judge_manager(manager: Manager) -> Check:
    if manager.flaws:
        return check(CheckName.SERVICE_MANAGER, CheckState.FAILED, _joined(manager.flaws))
    return check(CheckName.SERVICE_MANAGER, CheckState.OK, f"{manager.name} is there")


def _judge_unit(unit: Unit | str, own_pid: int) -> Check:
    if isinstance(unit, str):
        return check(CheckName.UNIT, CheckState.UNKNOWN, unit)
    if not unit.running:
        words = f"{unit.name} is {unit.state}, and this agent, process {own_pid}, is not its"
        return check(CheckName.UNIT, CheckState.FAILED, words)
    if unit.main_pid != own_pid:
        words = f"{unit.name} runs process {unit.main_pid}, and this agent is process {own_pid}"
        return check(CheckName.UNIT, CheckState.FAILED, words)
    if unit.flaws:
        return check(CheckName.UNIT, CheckState.FAILED, f"{unit.name} {_joined(unit.flaws)}")
    if unit.remarks:
        return check(CheckName.UNIT, CheckState.WARNING, f"{unit.name} {_joined(unit.remarks)}")
    return check(CheckName.UNIT, CheckState.OK, f"{unit.name} runs this agent")


def _joined(flaws: Sequence[str]) -> str:
    return "; ".join(flaws)
