"""The error of a machine that was told something that cannot be."""

from harmony_fleet.contracts.errors import FleetError


class IllegalEvent(FleetError):
    """An event that cannot happen in this state. Nothing was changed."""

    kind = "illegal_event"

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"{type(event).__name__} cannot happen in {type(state).__name__}")
        self.state, self.event = state, event
