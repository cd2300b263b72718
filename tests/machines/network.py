"""The links of the machines: each has a network of its own, tied to the hub's bridge by one cable.

It outlives the machine's boots: what was cut stays cut until it is mended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.machines.hub import BRIDGE, Hub

INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class Link:
    hub: Hub
    network: str
    address: str
    plug: str
    """The hub's end of the cable."""

    @classmethod
    def lay(cls, hub: Hub, name: str) -> "Link":
        number = hub.next_number()
        link = cls(hub, name, f"10.77.0.{number}", f"to-{number}")
        hub.run("ip", "netns", "add", name)
        hub.run("ip", "link", "add", link.plug, "type", "veth", "peer", INTERFACE, "netns", name)
        hub.run("ip", "link", "set", link.plug, "master", BRIDGE, "up")
        hub.run("ip", "-n", name, "link", "set", "lo", "up")
        hub.run("ip", "-n", name, "address", "add", f"{link.address}/24", "dev", INTERFACE)
        hub.run("ip", "-n", name, "link", "set", INTERFACE, "up")
        return link

    def remove(self) -> None:
        self.hub.run("ip", "link", "delete", self.plug)
        self.hub.run("ip", "netns", "delete", self.network)

    def cut(self) -> None:
        """As if the cable were drawn at the switch: the machine's connections stay open."""
        self.hub.run("ip", "link", "set", self.plug, "down")

    def mend(self) -> None:
        self.hub.run("ip", "link", "set", self.plug, "up")


@contextmanager
def hub_cut_off(hub: Hub) -> Iterator[None]:
    """No machine reaches the hub, nor another machine, meanwhile."""
    hub.run("ip", "link", "set", BRIDGE, "down")
    try:
        yield
    finally:
        hub.run("ip", "link", "set", BRIDGE, "up")
