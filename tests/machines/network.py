"""The links of the machines: each has a network of its own, tied to the hub's switch by one cable.

It outlives the machine's boots: what was cut stays cut until it is mended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.machines.hub import BRIDGE, PLUG, Hub

INTERFACE = "eth0"
_NOTHING, _ALL = "0", "3"
"""The states of a bridge's port: disabled, forwarding."""


@dataclass(frozen=True, slots=True)
class Link:
    hub: Hub
    network: str | None
    """None: whoever opens the tap that the plug is has the other end."""
    number: int

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    @property
    def plug(self) -> str:
        """The switch's end of the cable."""
        return f"to-{self.number}"

    @classmethod
    def lay(cls, hub: Hub, name: str) -> "Link":
        link = cls(hub, name, hub.take_number())
        hub.run("ip", "netns", "add", name)
        hub.run("ip", "link", "add", link.plug, "type", "veth", "peer", INTERFACE, "netns", name)
        hub.run("ip", "link", "set", link.plug, "master", BRIDGE, "up")
        hub.run("ip", "-n", name, "link", "set", "lo", "up")
        hub.run("ip", "-n", name, "address", "add", f"{link.address}/24", "dev", INTERFACE)
        hub.run("ip", "-n", name, "link", "set", INTERFACE, "up")
        return link

    @classmethod
    def lay_tap(cls, hub: Hub) -> "Link":
        """A virtual machine's. A boot mends it."""
        link = cls(hub, None, hub.take_number())
        hub.run("ip", "tuntap", "add", link.plug, "mode", "tap")
        hub.run("ip", "link", "set", link.plug, "master", BRIDGE, "up")
        return link

    def remove(self) -> None:
        self.hub.run("ip", "link", "delete", self.plug)
        if self.network is not None:
            self.hub.run("ip", "netns", "delete", self.network)
        self.hub.give_back(self.number)

    def cut(self) -> None:
        """Packets are lost without a word, both ways: the machine sees its cable in its place."""
        _let(self.hub, self.plug, _NOTHING)

    def mend(self) -> None:
        _let(self.hub, self.plug, _ALL)


@contextmanager
def hub_cut_off(hub: Hub) -> Iterator[None]:
    """No machine reaches the hub meanwhile, nor it a machine; they reach each other."""
    _let(hub, PLUG, _NOTHING)
    try:
        yield
    finally:
        _let(hub, PLUG, _ALL)


def _let(hub: Hub, plug: str, through: str) -> None:
    hub.run("bridge", "link", "set", "dev", plug, "state", through)
