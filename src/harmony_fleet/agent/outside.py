"""What is outside an agent's process: the message plane, the machine's clock, its service manager.

Made here for the real agent, and handed to it: whoever runs an agent in a world of his own gives
it another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harmony_fleet.agent.clock import BootClock, rfc3339
from harmony_fleet.agent.ids import new_id
from harmony_fleet.agent.notify import Notify
from harmony_fleet.agent.wire import endpoint
from harmony_fleet.messaging.connection import Plane, Timing

if TYPE_CHECKING:
    from harmony_fleet.agent.config import Config
    from harmony_fleet.agent.upgrade.boot_time import BootTime
    from harmony_fleet.contracts.heartbeat import Role


class Clock(Protocol):
    """As the upgrade's, and what a heartbeat says of the boot."""

    @property
    def boot_id(self) -> str: ...

    def boot_time(self) -> "BootTime": ...

    async def sleep(self, seconds: float) -> None: ...


class Service(Protocol):
    """The service manager's ear. Nothing of it ever raises."""

    @property
    def watchdog_s(self) -> float | None:
        """`alive` has to be called more often than this; None: nobody waits for it."""

    def ready(self) -> None: ...

    def alive(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outside:
    clock: Clock
    plane: Plane
    notify: Service
    new_id: Callable[[], str]
    """Random: 32 hexadecimal digits."""
    now: Callable[[], str]
    """RFC 3339, for people."""


MakeOutside = Callable[["Config", "Role"], Outside]
"""Called once for each process, in its event loop."""


def this_machine(config: "Config", role: "Role") -> Outside:
    """Raises ConfigError, CredentialsUnreadable."""
    clock = BootClock(config.paths.boot_id)
    timing = Timing(longest_retry_s=config.plane.reconnect_max_s)
    return Outside(clock, Plane(endpoint(config, role), timing), Notify(), new_id, rfc3339)
