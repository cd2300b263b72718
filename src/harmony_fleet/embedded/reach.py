"""Where an installation is reached: the address it listens at, the names it has there, TLS or not.

A value, without I/O. Rule: TLS wherever the address is not this machine's loopback.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts.errors import InvalidValue

LOOPBACK: Final = "127.0.0.1"
NATS_PORT: Final = 4222
"""Where the message plane listens for a network, unless said: one that a firewall can be told."""
MOST_NAMES: Final = 32

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
"""RFC 1123, section 2.1."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Made by `at`; without arguments the loopback address, which no other machine reaches."""

    address: str = LOOPBACK
    names: tuple[str, ...] = ()
    """Host names and addresses under which it is called, the first one in what devices are told."""
    tls: bool = False

    @classmethod
    def at(cls, address: str, names: Sequence[str] = ()) -> "Reach":
        """Raises InvalidValue."""
        ip = _address(address)
        if len(names) > MOST_NAMES:
            raise InvalidValue(f"{len(names)} names: {MOST_NAMES} are the most")
        checked = tuple(dict.fromkeys(_name(name) for name in names))
        if ip.is_unspecified and not checked:
            raise InvalidValue(
                f"{address} stands for every address of this machine, and none that a device could "
                "call: say by --name under which name or address devices reach it"
            )
        return cls(str(ip), checked, tls=not ip.is_loopback)

    @property
    def name(self) -> str:
        """What devices are told."""
        return self.names[0] if self.names else self.address

    @property
    def here(self) -> str:
        """The address under which this machine itself reaches it."""
        ip = _address(self.address)
        if not ip.is_unspecified:
            return self.address
        return LOOPBACK if ip.version == 4 else "::1"

    @property
    def hosts(self) -> frozenset[str]:
        """What a request may call it, and what its certificate is for."""
        return frozenset({*self.names, self.here, "localhost"})

    def api(self, port: int) -> str:
        """The URL for devices."""
        return f"{self._http}://{_in_url(self.name)}:{port}"

    def api_here(self, port: int) -> str:
        """The URL on this machine."""
        return f"{self._http}://{_in_url(self.here)}:{port}"

    def plane(self, port: int) -> str:
        """The message plane's URL for devices."""
        return f"{self._nats}://{_in_url(self.name)}:{port}"

    def plane_here(self, port: int) -> str:
        """The message plane's URL on this machine."""
        return f"{self._nats}://{_in_url(self.here)}:{port}"

    @property
    def _http(self) -> str:
        return "https" if self.tls else "http"

    @property
    def _nats(self) -> str:
        return "tls" if self.tls else "nats"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidValue(
            f"{text[:80]!r} is no address to listen at: give an IP address of this machine, or "
            "0.0.0.0 for all of them"
        ) from error
    if ip.version == 6 and ip.scope_id:
        raise InvalidValue(f"{text[:80]!r} is an address of one link only: give another")
    if ip.version == 6 and ip.ipv4_mapped:
        raise InvalidValue(f"{text[:80]!r} is an address of IPv4: give {ip.ipv4_mapped}")
    return ip


def _name(text: str) -> str:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        name = text.lower()
        if _HOST_NAME.fullmatch(name) and not name.rpartition(".")[2].isdigit():
            return name
    else:
        if not (ip.is_unspecified or (ip.version == 6 and (ip.scope_id or ip.ipv4_mapped))):
            return str(ip)
    raise InvalidValue(
        f"{text[:80]!r} is no name: give a host name or an address that devices can call"
    )


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
