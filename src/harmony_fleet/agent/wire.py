"""How this device appears on the message plane."""

from harmony_fleet.agent.config import Config
from harmony_fleet.contracts import subjects
from harmony_fleet.messaging.connection import Endpoint
from harmony_fleet.messaging.credentials import Credentials


def endpoint(config: Config, part: str) -> Endpoint:
    """Raises CredentialsUnreadable."""
    return Endpoint(
        servers=config.plane.servers,
        credentials=Credentials.load(config.plane.credentials),
        name=f"{config.device_id} {part}",
        inbox_prefix=subjects.inbox_prefix(config.device_id),
        ca=config.plane.ca,
    )
