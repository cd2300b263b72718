"""The local supervisor, asked for a preflight."""

from pathlib import Path
from typing import Final

from harmony_fleet.agent.preflight.service import Manager, Unit
from harmony_fleet.agent.upgrade.local import SupervisorUnavailable, ask
from harmony_fleet.agent.upgrade.local_messages import AskState, Machine, UnitState

NAME: Final = "the local supervisor"
ANSWER_LIMIT_S: Final = 10.0


async def look(socket: Path) -> Manager:
    """Never raises."""
    try:
        machine = await ask(socket, AskState(), Machine, ANSWER_LIMIT_S)
    except SupervisorUnavailable as error:
        return Manager(NAME, (str(error),))
    unit = Unit(
        "the permanent unit",
        str(machine.unit),
        running=machine.unit is UnitState.RUNNING,
        main_pid=machine.unit_pid,
    )
    flaws = ("the machine is going down",) if machine.stopping else ()
    return Manager(NAME, flaws, unit)
